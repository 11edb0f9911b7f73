"""What a folder names runs only if the caller named it, trusts the folder, or recorded the run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

import trajlab
from trajlab.errors import MissingData, UntrustedCode
from trajlab.runs.trust import find_mark, leave_mark

FACTORY = "tests.runs.test_trust:network"

ATTACKS = {
    "a function of the operating system": ("os:system", {"command": "touch PWNED"}),
    "a function of the standard library": ("subprocess:call", {"args": ["touch", "PWNED"]}),
    "a class of the standard library": ("subprocess:Popen", {"args": ["touch", "PWNED"]}),
    "a module in the current directory": ("lying_here:build", {}),
}


def network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.ReLU())


def strange(folder: Path, factory: str, arguments: dict) -> Path:
    """Write a folder as a stranger leaves it, whose run.json names a factory."""
    rng = np.random.default_rng(0)
    for step in (0, 1, 2):
        target = folder / f"checkpoint-{step}"
        target.mkdir(parents=True)
        tensors = {"0.weight": rng.standard_normal((3, 2)), "0.bias": rng.standard_normal(3)}
        save_file({name: tensor.astype(np.float32) for name, tensor in tensors.items()}, target / "model.safetensors")
    described = {"model": {"factory": factory, "arguments": arguments}}
    facts = {"format": "trajlab-snapshots-1", "names": ["0.weight", "0.bias"], "gradients": None, "describe": described}
    (folder / "run.json").write_text(json.dumps(facts))
    inputs = rng.standard_normal((8, 2)).astype(np.float32)
    save_file({"inputs": inputs}, folder / "probe.safetensors")
    return folder


def record(folder: Path, **describe) -> Path:
    model = network()
    description = {"model": {"factory": FACTORY, "arguments": {}}} | describe
    with trajlab.Recorder(model, folder, probe=torch.randn(4, 2), describe=description) as recorder:
        for _ in range(3):
            model(torch.randn(5, 2)).sum().backward()
            recorder.step()
    return folder


def replayed(run: trajlab.Trajectory) -> list[str]:
    return list(trajlab.replay(run))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("stage", ["dead_neurons", "evaluation", "features", "attribution"])
def test_a_strangers_factory_is_not_run(tmp_path, monkeypatch, attack, stage):
    factory, arguments = ATTACKS[attack]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lying_here.py").write_text("open('PWNED', 'w')\n")
    run = trajlab.open(strange(tmp_path / "run", factory, arguments))
    with pytest.raises(MissingData) as wording:
        trajlab.run(stage, run).compute()
    assert factory in str(wording.value) and "--trust" in str(wording.value) and "--model" in str(wording.value)
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("attack", list(ATTACKS)[:3])
def test_a_trusted_folder_runs_nothing_of_the_standard_library(tmp_path, monkeypatch, attack):
    factory, arguments = ATTACKS[attack]
    monkeypatch.chdir(tmp_path)
    run = trajlab.open(strange(tmp_path / "run", factory, arguments), trust=True)
    with pytest.raises(UntrustedCode, match=factory):
        trajlab.run("dead_neurons", run)
    assert not (tmp_path / "PWNED").exists()


def test_a_trusted_folder_does_not_bring_the_current_directory_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lying_here.py").write_text("open('PWNED', 'w')\n")
    run = trajlab.open(strange(tmp_path / "run", "lying_here:build", {}), trust=True)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    with pytest.raises(MissingData, match="lying_here"):
        trajlab.run("dead_neurons", run)
    assert not (tmp_path / "PWNED").exists()


def test_a_folder_is_trusted_if_the_caller_says_so(tmp_path):
    folder = strange(tmp_path / "run", FACTORY, {})
    assert replayed(trajlab.open(folder, trust=True)) == ["1"]


def test_a_factory_that_the_caller_names_is_run(tmp_path):
    run = trajlab.open(strange(tmp_path / "run", "os:system", {"command": "touch PWNED"}))
    assert replayed(run.with_model(FACTORY)) == ["1"]


def test_a_run_recorded_here_is_trusted_where_it_was_recorded(tmp_path):
    folder = record(tmp_path / "run")
    assert replayed(trajlab.open(folder)) == ["1"]
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(UntrustedCode, match="trust"):
        replayed(trajlab.open(tmp_path / "copy"))


def test_a_store_packed_from_a_trusted_run_is_trusted(tmp_path):
    folder = record(tmp_path / "run")
    trajlab.pack(folder, tmp_path / "run.zarr")
    assert replayed(trajlab.open(tmp_path / "run.zarr")) == ["1"]
    shutil.copytree(folder, tmp_path / "copy")
    trajlab.pack(tmp_path / "copy", tmp_path / "copy.zarr")
    with pytest.raises(UntrustedCode):
        replayed(trajlab.open(tmp_path / "copy.zarr"))


def test_a_mark_holds_for_the_model_that_was_recorded_only(tmp_path):
    folder = record(tmp_path / "run")
    facts = json.loads((folder / "run.json").read_text())
    assert find_mark(folder, facts)
    facts["describe"]["model"]["arguments"] = {"width": 4}
    assert not find_mark(folder, facts)
    (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(UntrustedCode):
        replayed(trajlab.open(folder))


def test_a_recorded_run_finds_its_factory_from_any_folder(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "nets_of_mine.py").write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.Linear(2, 3), nn.ReLU())\n"
    )
    (tmp_path / "project" / "train.py").write_text(
        "import torch, trajlab\nfrom nets_of_mine import build\n\nmodel = build()\n"
        "describe = {'model': {'factory': 'nets_of_mine:build'}}\n"
        "with trajlab.Recorder(model, 'run', probe=torch.randn(4, 2), describe=describe) as recorder:\n"
        "    model(torch.randn(5, 2)).sum().backward()\n    recorder.step()\n"
    )
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path / "project", env=dict(os.environ), check=True)
    (tmp_path / "elsewhere").mkdir()
    show = "import trajlab; print(list(trajlab.replay(trajlab.open('../project/run'))))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", show], cwd=tmp_path / "elsewhere", env=dict(os.environ), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "['1']"


def test_marks_of_other_users_do_not_count(tmp_path, monkeypatch):
    facts = {"describe": {"model": {"factory": FACTORY}}}
    leave_mark(tmp_path / "run", facts)
    assert find_mark(tmp_path / "run", facts)
    monkeypatch.setattr(os, "getuid", lambda: 12345, raising=False)
    assert not find_mark(tmp_path / "run", facts)


def test_without_a_place_for_marks_a_run_is_recorded_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    folder = record(tmp_path / "run")
    with pytest.raises(UntrustedCode):
        replayed(trajlab.open(folder))
