"""Snapshots that somebody else left behind, without run.json, replayed with a model and a probe that are named."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import trajlab
from tests import command_line
from trajlab.cli import app
from trajlab.errors import BadSetting, DamagedData, MissingData, TrajlabError

FACTORIES = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))

def sized(width):
    return nn.Sequential(nn.Linear(2, width))

def wide():
    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3), nn.Tanh())

def broken():
    raise RuntimeError("no weights\\nto fetch")

number = 3
"""
STEPS = (0, 100, 250)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Factories, checkpoints of random networks in two forms, and probes."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "foreign_zoo.py").write_text(FACTORIES)
    names: dict = {}
    exec(FACTORIES, names)
    for seed, step in enumerate(STEPS):
        torch.manual_seed(seed)
        state = names["net"]().state_dict()
        state["0.bias"][seed] = -100.0
        for form in ("safetensors", "torch"):
            (folder / form).mkdir(exist_ok=True)
        (folder / "safetensors" / f"checkpoint-{step}").mkdir()
        save_file(state, folder / "safetensors" / f"checkpoint-{step}" / "model.safetensors")
        torch.save(state, folder / "torch" / f"step_{step}.pt")
    inputs, targets = torch.randn(11, 1, 6, 6), torch.randint(3, (11,))
    save_file({"inputs": inputs, "targets": targets}, folder / "probe.safetensors")
    np.savez(folder / "probe.npz", inputs=inputs.numpy(), targets=targets.numpy())
    np.save(folder / "probe.npy", inputs.numpy())
    torch.save(inputs, folder / "tensor.pt")
    torch.save((inputs, targets), folder / "probe.pt")
    torch.save({"inputs": inputs, "targets": targets}, folder / "dict.pth")
    return folder


@pytest.fixture(autouse=True)
def importable(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    yield
    sys.modules.pop("foreign_zoo", None)


def call(*arguments):
    """Call the command line in this process; give what it raised, or nothing."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    if done.exception and not isinstance(done.exception, TrajlabError):
        raise done.exception
    return done.exception


def by_hand(folder):
    """Return outputs and the values after the ReLU at each step, by torch alone."""
    inputs, targets = torch.load(folder / "probe.pt")
    actual = []
    for step in STEPS:
        net = sys.modules["foreign_zoo"].net().eval()
        net.load_state_dict(torch.load(folder / "torch" / f"step_{step}.pt"))
        with torch.no_grad():
            actual.append((net(inputs), net[:3](inputs)))
    outputs, hidden = (torch.stack(parts) for parts in zip(*actual, strict=True))
    return outputs, hidden, targets


@pytest.mark.parametrize("form", ["safetensors", "torch"])
@pytest.mark.parametrize("probe", ["probe.safetensors", "probe.npz", "probe.pt", "dict.pth"])
def test_evaluation__of_foreign_checkpoints_is_what_torch_gives(folder, tmp_path, form, probe):
    inputs = ("--model", "foreign_zoo:net", "--probe", folder / probe)
    assert call("evaluation", folder / form, tmp_path / "out.zarr", *inputs, "--prune", 0.1) is None

    actual = xr.open_zarr(tmp_path / "out.zarr").load()
    outputs, _, targets = by_hand(folder)
    losses = [nn.functional.cross_entropy(one, targets).item() for one in outputs]
    np.testing.assert_allclose(actual.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(actual.accuracy, (outputs.argmax(2) == targets).double().mean(1))
    assert actual.step.values.tolist() == list(STEPS)
    assert (actual.pruned_share > 0).all()


@pytest.mark.parametrize("form", ["safetensors", "torch"])
@pytest.mark.parametrize("probe", ["probe.npy", "tensor.pt", "probe.safetensors"])
def test_dead_neurons__of_foreign_checkpoints_is_what_torch_gives(folder, tmp_path, form, probe):
    inputs = ("--model", "foreign_zoo:net", "--probe", folder / probe)
    assert call("dead_neurons", folder / form, tmp_path / "out.zarr", *inputs) is None

    actual = xr.open_zarr(tmp_path / "out.zarr").load()
    _, hidden, _ = by_hand(folder)
    np.testing.assert_allclose(actual.active_fraction[:, 0], (hidden > 0).double().mean((1, 3, 4)))
    np.testing.assert_array_equal(actual.dead[:, 0, :3], np.eye(3))
    np.testing.assert_array_equal(actual.first_death[0, :3], [np.nan, 100, 250])
    assert actual.layer.values.tolist() == ["2"] and actual.source.values.tolist() == ["0"]


def test_the_command_itself_finds_modules_where_it_is_called(folder, tmp_path):
    command = [sys.executable, "-c", "from trajlab.cli import main; main()", "run", "torch", str(tmp_path / "out")]
    inputs = ["--stages", "dead_neurons,evaluation", "--model", "foreign_zoo:net", "--probe", "probe.npz"]
    done = subprocess.run([*command, *inputs], capture_output=True, text=True, timeout=120, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "trajlab: step = step in the name\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"dead_neurons.zarr", "evaluation.zarr"}

    inputs[-1] = "nowhere.npz"
    done = command_line.call("run", "torch", tmp_path / "b", *inputs, cwd=folder)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "nowhere.npz" in done.stderr and "no such file" in done.stderr


@pytest.mark.parametrize(
    ("model", "error", "actual"),
    [
        (
            "foreign_zoo:sized",
            BadSetting,
            "no arguments.*missing 1 required.*'width'.*name a function",
        ),
        ("foreign_zoo:broken", BadSetting, "RuntimeError: no weights to fetch"),
        ("foreign_zoo:number", BadSetting, "'int' object is not callable"),
        ("foreign_zoo:nets", MissingData, "has no nets;"),
        ("foreign_zoo", BadSetting, "foreign_zoo.*module:function"),
        ("foreign_zoo:wide", BadSetting, r"7 of another shape \(0.weight \[5, 1, 3, 3\] recorded as \[4, 1, 3, 3\]"),
    ],
)
@pytest.mark.parametrize("stage", ["evaluation", "dead_neurons"])
def test_a_model_that_can_not_be_used_is_told(folder, tmp_path, stage, model, error, actual):
    inputs = ("--model", model, "--probe", folder / "probe.pt")
    raised = call(stage, folder / "torch", tmp_path / "out.zarr", *inputs)
    assert isinstance(raised, error) and re.search(actual, str(raised)), raised
    assert "\n" not in str(raised)
    assert not (tmp_path / "out.zarr").exists()


def test_without_a_model_or_a_probe_it_is_told_how_to_give_them(folder, tmp_path):
    raised = call("evaluation", folder / "torch", tmp_path / "out.zarr", "--probe", folder / "probe.pt")
    assert isinstance(raised, MissingData) and "--model package.module:factory" in str(raised)
    raised = call("evaluation", folder / "torch", tmp_path / "out.zarr", "--model", "foreign_zoo:net")
    assert isinstance(raised, MissingData) and "--probe FILE" in str(raised)


def test_a_model_that_does_not_fit_names_what_does_not(folder, tmp_path):
    inputs = ("--model", "foreign_zoo:wide", "--probe", folder / "probe.pt")
    text = str(call("evaluation", folder / "torch", tmp_path / "out.zarr", *inputs))
    assert "of another shape (0.weight [5, 1, 3, 3] recorded as [4, 1, 3, 3], 0.bias [5] recorded as [4]" in text
    assert "--model" in text


def test_a_probe_that_does_not_fit_is_told(folder, tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((5, 36), np.float32))
    np.savez(tmp_path / "many.npz", inputs=np.zeros((5, 1, 6, 6), np.float32), targets=np.zeros(4, np.int64))
    np.savez(tmp_path / "odd.npz", inputs=np.zeros((5, 1, 6, 6), np.float32), targets=np.zeros((5, 2), np.int64))
    cases = {
        "flat.npy": (BadSetting, r"Sequential.*\[3, 36\]"),
        "many.npz": (DamagedData, "5 inputs and 4 targets"),
        "odd.npz": (BadSetting, r"targets .*labels of shape \(5,\).* values of shape \(5, 3\)"),
    }
    for name, (error, actual) in cases.items():
        raised = call(
            "evaluation", folder / "torch", tmp_path / "o", "--model", "foreign_zoo:net", "--probe", tmp_path / name
        )
        assert isinstance(raised, error) and re.search(actual, str(raised)), raised
    raised = call(
        "evaluation",
        folder / "torch",
        tmp_path / "o",
        "--model",
        "foreign_zoo:net",
        "--probe",
        folder / "probe.npy",
    )
    assert isinstance(raised, MissingData) and "no targets" in str(raised)


def test_a_layer_that_is_not_there_is_told_with_close_names(folder):
    run = trajlab.open(folder / "torch")
    with pytest.raises(BadSetting, match=r"'20'.*did you mean 2"):
        trajlab.replay(run, model="foreign_zoo:net", probe=trajlab.read_probe(folder / "probe.pt"), layers=["20"])


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "gpu", "meta"])
def test_a_device_that_is_not_there_is_told(folder, tmp_path, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    inputs = ("--model", "foreign_zoo:net", "--probe", folder / "probe.pt", "--device", device)
    raised = call("evaluation", folder / "torch", tmp_path / "out.zarr", *inputs)
    assert isinstance(raised, BadSetting), raised
    assert repr(device) in str(raised)
    assert "cpu" in str(raised) and "\n" not in str(raised)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_replay__on_cuda_gives_the_numbers_of_the_cpu_to_rounding(folder, tmp_path):
    for device in ("cpu", "cuda"):
        inputs = ("--model", "foreign_zoo:net", "--probe", folder / "probe.pt", "--device", device)
        for stage in ("evaluation", "dead_neurons"):
            more = ("--prune-relative", 0.5) if stage == "evaluation" else ()
            assert call(stage, folder / "torch", tmp_path / f"{stage}-{device}.zarr", *inputs, *more) is None
    for stage in ("evaluation", "dead_neurons"):
        cpu, cuda = (xr.open_zarr(tmp_path / f"{stage}-{device}.zarr").load() for device in ("cpu", "cuda"))
        xr.testing.assert_allclose(cuda, cpu, rtol=1e-3, atol=1e-4)


def test_info__says_how_to_replay_a_run_without_model_and_probe(folder):
    done = CliRunner().invoke(app, ["info", str(folder / "torch")])
    said = " ".join(done.stdout.split())
    assert "--probe FILE" in said
    assert "--model package" in said
