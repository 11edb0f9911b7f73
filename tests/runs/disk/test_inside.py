import json
import os
import shutil
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import trajlab
from trajlab.errors import DamagedData, MissingData, UntrustedCode


@pytest.fixture
def elsewhere(tmp_path):
    """Return a file of weights outside of the run's folder."""
    (tmp_path / "elsewhere").mkdir()
    save_file({"w": torch.ones(2, 2)}, tmp_path / "elsewhere" / "secret.safetensors")
    return tmp_path / "elsewhere" / "secret.safetensors"


@pytest.mark.parametrize("link", ["run/step1.safetensors", "run/checkpoint-1/model.safetensors"])
def test_open__a_link_that_leaves_the_folder_is_refused_and_named(tmp_path, elsewhere, link):
    (tmp_path / link).parent.mkdir(parents=True)
    os.symlink(elsewhere, tmp_path / link)
    with pytest.raises(UntrustedCode, match=rf"{link}: it is a symbolic link that leaves .*secret.*--trust"):
        trajlab.open(tmp_path / "run")
    assert trajlab.open(tmp_path / "run", trust=True).weights["w"].values.tolist() == [[[1, 1], [1, 1]]]


def test_open__a_linked_folder_in_the_run_is_refused(tmp_path, elsewhere):
    (tmp_path / "run").mkdir()
    elsewhere.rename(elsewhere.with_name("model.safetensors"))
    os.symlink(elsewhere.parent, tmp_path / "run" / "checkpoint-1")
    with pytest.raises(UntrustedCode, match="checkpoint-1"):
        trajlab.open(tmp_path / "run")


def test_open__links_within_the_folder_of_dvc_and_of_a_hub_are_followed(tmp_path, elsewhere):
    for cache in (tmp_path / "run" / "kept", tmp_path / ".dvc" / "cache", tmp_path / "blobs"):
        cache.mkdir(parents=True)
        shutil.copy(elsewhere, cache / "f00")
        os.symlink(cache / "f00", tmp_path / "run" / "step1.safetensors")
        assert len(trajlab.open(tmp_path / "run").steps) == 1
        (tmp_path / "run" / "step1.safetensors").unlink()


def test_open__a_run_that_is_named_by_a_link_opens(tmp_path, elsewhere):
    os.symlink(elsewhere.parent, tmp_path / "run")
    assert len(trajlab.open(tmp_path / "run").steps) == 1


@pytest.mark.parametrize("part", ["weights/w", "metrics", "probe"])
def test_open__a_store_whose_parts_lie_elsewhere_is_refused(tmp_path, part):
    run = trajlab.from_arrays({"w": np.ones((2, 3))}, metrics={"loss": [1.0, 2.0]})
    store = trajlab.pack(run, tmp_path / "run.zarr")
    if part == "probe":
        (store / "probe").mkdir()
        os.symlink("/etc/passwd", store / "probe" / "c")
    else:
        (store / part).rename(tmp_path / "moved")
        os.symlink(tmp_path / "moved", store / part)
    with pytest.raises(UntrustedCode, match="symbolic link"):
        trajlab.open(store)


@pytest.mark.parametrize("name", ["step1.safetensors", "step1.pt", "step1.npz", "model.safetensors.index.json"])
def test_open__a_pipe_or_a_device_does_not_hang(tmp_path, name):
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
        make(tmp_path / name)
        stopped = threading.Timer(20, os._exit, (1,))  # a read of a pipe cannot be interrupted otherwise
        stopped.start()
        with pytest.raises((DamagedData, MissingData)):
            trajlab.open(tmp_path, trust=True)
        stopped.cancel()
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    "name", ["run/config.json", "run/checkpoint-1/config.json", "run/checkpoint-1/trainer_state.json"]
)
def test_open__a_linked_configuration_is_refused(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    secret = {"model_type": "llama", "global_step": 1, "log_history": [{"step": 1, "loss": 0.5}]}
    (tmp_path / "elsewhere" / "secret.json").write_text(json.dumps(secret))
    folder = tmp_path / "inside" / "run" / "checkpoint-1"
    folder.mkdir(parents=True)
    save_file({"w": torch.ones(2, 2)}, folder / "model.safetensors")
    os.symlink(tmp_path / "elsewhere" / "secret.json", tmp_path / "inside" / name)
    with pytest.raises(UntrustedCode, match=f"{name}: it is a symbolic link that leaves"):
        trajlab.open(tmp_path / "inside" / "run")
    trusted = trajlab.open(tmp_path / "inside" / "run", trust=True)
    assert trusted.metrics.loss.item() == 0.5 if "trainer" in name else trusted.facts["config"] == secret
