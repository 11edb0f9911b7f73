import json
import subprocess
import sys
import time

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipelines import sweep
from trajlab.errors import MissingData

STUDY = {
    "inits": ["xavier_normal"],
    "optimizers": {"sgd": {"class": "SGD", "lr": 0.05}},
    "seeds": [0],
    "training": {
        "model": {"factory": "pipelines.zoo:digits_cnn", "arguments": {}},
        "dataset": "digits",
        "images": 160,
        "test_images": 50,
        "epochs": 2,
        "batch_size": 32,
        "weights_every": 5,
        "gradients": 8,
        "probe": 4,
    },
    "variants": {
        "flipped": {
            "parent": {"variant": "plain", "step": 5},
            "perturb": {"flip_signs": {"share": 1.0}},
            "reorder": 7,
        },
        "control": {"parent": {"variant": "plain", "step": 5}, "reorder": 7},
        "plain": {},
        "probe": {"gradient": "probe"},
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "params.yaml").write_text(yaml.safe_dump({"studies": {"digits/tiny": STUDY}}))
    sweep.main(params=folder / "params.yaml", data=folder, jobs=2, threads=1)
    return folder / "snapshots" / "digits" / "tiny"


@pytest.mark.slow
def test_sweep__that_is_killed_leaves_no_run_behind(tmp_path):
    endless = {**STUDY, "training": STUDY["training"] | {"epochs": 10**6}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"studies": {"digits/tiny": endless}}))
    arguments = ["--params", tmp_path / "params.yaml", "--data", tmp_path, "--jobs", "2"]
    running = subprocess.Popen([sys.executable, "-m", "pipelines.sweep", *arguments])
    try:
        until(lambda: list(tmp_path.glob("snapshots/digits/tiny/*/checkpoint-0")))
        workers = psutil.Process(running.pid).children()
        assert len(workers) >= 2
    finally:
        running.kill()
        running.wait()

    gone, left = psutil.wait_procs(workers, timeout=60)
    assert not left


def until(there, seconds=120):
    """Wait for something."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.2)


def weights(folder, variant, step):
    return load_file(folder / f"xavier_normal-sgd-{variant}-0" / f"checkpoint-{step}" / "model.safetensors")


def facts(folder, variant):
    return json.loads((folder / f"xavier_normal-sgd-{variant}-0" / "run.json").read_text())


@pytest.mark.slow
def test_sweep__trains_all_runs_for_the_epochs(trained):
    assert len(list(trained.iterdir())) == 4
    assert all(facts(trained, variant)["closed"] == 2 * (160 // 32) for variant in STUDY["variants"])
    assert facts(trained, "plain")["describe"]["images"] == 160
    assert len(list((trained.parents[2] / "metrics" / "digits" / "tiny").iterdir())) == 4


def test_restarts__start_at_the_snapshot_of_their_parent_and_say_so(trained):
    parent, control, flipped = (
        weights(trained, "plain", 5),
        weights(trained, "control", 0),
        weights(trained, "flipped", 0),
    )
    described = facts(trained, "flipped")["describe"]

    torch.testing.assert_close(control, parent, rtol=0, atol=0)
    torch.testing.assert_close(flipped["conv1.weight"], -parent["conv1.weight"], rtol=0, atol=0)
    assert (described["parent"], described["parent_step"]) == ("xavier_normal-sgd-plain-0", 5)
    assert described["perturb"] == {"flip_signs": {"share": 1.0}}
    assert "parent" not in facts(trained, "plain")["describe"]


def test_gradients__that_are_shown_are_no_part_of_the_training(trained):
    torch.testing.assert_close(weights(trained, "probe", 10), weights(trained, "plain", 10), rtol=0, atol=0)
    assert facts(trained, "probe")["describe"]["gradient"] == "probe"


def test_sweep__ends_at_the_first_run_that_fails(tmp_path):
    broken = STUDY | {"variants": {"plain": {"dataset": "nowhere"}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"studies": {"tiny": broken}}))
    with pytest.raises(MissingData, match="data set 'nowhere'"):
        sweep.main(params=tmp_path / "params.yaml", data=tmp_path, jobs=1, threads=1)
