import hashlib
import json

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file

import trajlab
from trajlab.errors import BadSetting
from trajlab.record import Recorder
from trajlab.record.probe import probe_facts, probe_tensors
from trajlab.replays.probe_kinds import probe_of
from trajlab.runs.inventory import inventory


def test_probe__is_written_and_hashed(tmp_path):
    inputs, targets = torch.randn(3, 2).T.contiguous().T, torch.tensor([2, 0, 1])
    with Recorder(torch.nn.Linear(2, 1), tmp_path / "run", probe=(inputs, targets)):
        pass
    stored = load_file(tmp_path / "run" / "probe.safetensors")
    assert stored.keys() == {"inputs", "targets"}
    assert torch.equal(stored["inputs"], inputs) and torch.equal(stored["targets"], targets)
    digest = hashlib.sha256(b"inputs float32 [3, 2]\n" + np.ascontiguousarray(inputs.numpy()).tobytes())
    digest.update(b"targets int64 [3]\n" + targets.numpy().tobytes())
    assert probe_facts(probe_tensors((inputs, targets)))["sha256"] == digest.hexdigest()


def test_probe__without_targets():
    facts = probe_facts(probe_tensors(torch.ones(4, 2, dtype=torch.bfloat16)))
    assert facts["inputs"] == [4, 2] and facts["targets"] is None


def test_probe__is_a_copy():
    inputs = torch.ones(2, 2)
    kept = probe_tensors(inputs)
    inputs.zero_()
    assert (kept["inputs"] == 1).all()


def test_probe__none():
    assert probe_facts(probe_tensors(None)) is None


def kinds():
    random = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(7, 2, generator=random), torch.arange(7)
    return {"valid": (inputs[:4], targets[:4]), "train": (inputs[4:], targets[4:]), "far": inputs[:2] * 100}


@pytest.fixture
def recorded(tmp_path):
    with Recorder(torch.nn.Linear(2, 1), tmp_path / "run", gradients=False, probe=kinds()) as recorder:
        recorder.step()
    return tmp_path / "run"


def test_probe__of_several_kinds_is_recorded_as_a_whole(recorded):
    stored = load_file(recorded / "probe.safetensors")
    facts = json.loads((recorded / "run.json").read_text())["probe"]
    run = trajlab.open(recorded)

    assert set(stored) == {"inputs", "targets", "train_inputs", "train_targets", "far_inputs"}
    assert set(run.probe) == set(stored)
    for name, tensor in stored.items():
        np.testing.assert_array_equal(run.probe[name], tensor)
    assert facts["sha256"] == probe_facts(probe_tensors(kinds()["valid"]))["sha256"], "the same as of the first alone"
    for kind in ("train", "far"):
        own = probe_facts(probe_tensors(kinds()[kind]))["sha256"]
        assert (
            facts["kinds"][kind]
            == run.probe.attrs[f"{kind}_sha256"]
            == probe_of(run.probe, kind).attrs["sha256"]
            == own
        )


def test_probe__of_several_kinds_is_packed(recorded, tmp_path):
    run, store = trajlab.open(recorded), trajlab.open(trajlab.pack(trajlab.open(recorded), tmp_path / "run.zarr"))
    xr.testing.assert_identical(store.probe.compute(), run.probe.compute())
    for kind in ("valid", "train", "far"):
        xr.testing.assert_identical(probe_of(store.probe, kind).compute(), probe_of(run.probe, kind).compute())


def test_probe__of_several_kinds_is_known_when_a_run_goes_on(recorded):
    with Recorder(torch.nn.Linear(2, 1), recorded, gradients=False, probe=kinds(), resume=1) as recorder:
        recorder.step()
    assert set(trajlab.open(recorded).probe) == {"inputs", "targets", "train_inputs", "train_targets", "far_inputs"}
    for changed in ({**kinds(), "train": kinds()["far"]}, kinds()["valid"], {"valid": kinds()["valid"]}):
        with pytest.raises(BadSetting, match="recorded with other settings: .*probe"):
            Recorder(torch.nn.Linear(2, 1), recorded, gradients=False, probe=changed, resume=1)


def test_probe__of_several_kinds_is_told_in_the_inventory(recorded):
    said = dict(inventory(trajlab.open(recorded)).facts)["probe"]
    wording = [part.partition(", sha256 ")[0] for part in said.split("; ")]
    assert wording == ["4 × 2", "far 2 × 2 without targets", "train 3 × 2"]


@pytest.mark.parametrize("kind", ["a b", "1st", ""])
def test_probe__kinds_are_names(kind):
    with pytest.raises(BadSetting, match="names such as valid and train"):
        probe_tensors({"valid": torch.ones(2, 2), kind: torch.ones(2, 2)})


def test_probe__each_kind_has_as_many_inputs_as_targets():
    with pytest.raises(BadSetting, match="3 inputs and 2 targets"):
        probe_tensors({"valid": torch.ones(2, 2), "train": (torch.ones(3, 2), torch.ones(2))})
