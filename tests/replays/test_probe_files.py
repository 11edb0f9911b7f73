"""Probes that are given: in memory, and as files."""

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

import trajlab
from trajlab.errors import DamagedData, MissingData
from trajlab.record.probe import probe_facts, probe_tensors
from trajlab.replays.probe_batches import as_probe
from trajlab.replays.probe_files import read_probe

INPUTS = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 1, 0])
SHA256 = probe_facts(probe_tensors((INPUTS, LABELS)))["sha256"]


def write(path, actual):
    if path.suffix == ".safetensors":
        save_file(actual, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: np.asarray(values) for name, values in actual.items()})
    elif path.suffix == ".npy":
        np.save(path, np.asarray(actual))
    else:
        torch.save(actual, path)
    return path


FILES = {
    "a.safetensors": {"inputs": INPUTS, "targets": LABELS},
    "a.npz": {"inputs": INPUTS, "targets": LABELS},
    "a.pt": (INPUTS, LABELS),
    "list.pt": [INPUTS, LABELS],
    "a.pth": {"inputs": INPUTS, "targets": LABELS},
    "A.PT": {"targets": LABELS, "inputs": INPUTS},
}


@pytest.mark.parametrize("name", FILES)
def test_read_probe__every_form_is_the_same_probe(tmp_path, name):
    probe = read_probe(write(tmp_path / name, FILES[name]))

    np.testing.assert_array_equal(probe.inputs, INPUTS)
    np.testing.assert_array_equal(probe.targets, LABELS)
    assert probe.attrs == {"sha256": SHA256}
    xr.testing.assert_identical(probe, as_probe((INPUTS, LABELS)))


@pytest.mark.parametrize("name", ["only.npy", "only.pt", "only.npz"])
def test_read_probe__inputs_alone_are_enough(tmp_path, name):
    probe = read_probe(write(tmp_path / name, {"inputs": INPUTS} if name.endswith("npz") else INPUTS))
    assert list(probe) == ["inputs"]
    assert probe.attrs["sha256"] == probe_facts(probe_tensors(INPUTS))["sha256"] != SHA256


def test_read_probe__has_the_kinds_of_a_runs_own_file(tmp_path):
    kinds = {"valid": (INPUTS, LABELS), "train": (INPUTS[:2] + 1, LABELS[:2])}
    with trajlab.Recorder(torch.nn.Linear(3, 1), tmp_path / "run", probe=kinds):
        pass
    actual, recorded = read_probe(tmp_path / "run" / "probe.safetensors"), trajlab.open(tmp_path / "run").probe
    assert actual.attrs == recorded.attrs and set(actual.attrs) == {"sha256", "train_sha256"}
    assert actual.sizes["train_sample"] == 2
    xr.testing.assert_equal(actual, recorded.compute())
    xr.testing.assert_identical(actual, as_probe(kinds))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32, torch.uint8, torch.bool])
def test_read_probe__keeps_types_and_widens_what_numpy_lacks(tmp_path, dtype):
    inputs = (INPUTS * 3).to(dtype)
    probe = read_probe(write(tmp_path / "a.safetensors", {"inputs": inputs}))
    narrow = dtype in (torch.bfloat16, torch.float16)
    assert probe.inputs.dtype == (np.float32 if narrow else torch.empty(0, dtype=dtype).numpy().dtype)
    np.testing.assert_array_equal(probe.inputs, inputs.float() if narrow else inputs)


WRONG = {
    "text.csv": (b"1 2 3", DamagedData, r"ends with .csv.*\.safetensors, .npz, .npy, .pt, .pth"),
    "nothing": (b"1 2 3", DamagedData, "its name ends with nothing"),
    "cut.safetensors": (b"\x10", DamagedData, "type .safetensors"),
    "cut.npz": (b"PK\x03\x04", DamagedData, "type .safetensors"),
    "cut.npy": (b"\x93NUMPY", DamagedData, "type .safetensors"),
    "cut.pt": (b"PK\x03\x04", DamagedData, "as a PyTorch checkpoint: PytorchStreamReader failed"),
    "empty.npz": ({}, DamagedData, "it holds nothing. Name its tensors inputs and targets"),
    "names.npz": ({"x": INPUTS, "y": LABELS}, DamagedData, "it holds x, y. Name its tensors inputs and targets"),
    "more.npz": ({"inputs": INPUTS, "weights": LABELS}, DamagedData, "it holds inputs, weights. Name"),
    "alias.npz": ({"input_ids": INPUTS, "ages": LABELS}, DamagedData, "it holds input_ids, ages. Name"),
    "twice.npz": (
        {"inputs": INPUTS, "targets": LABELS, "labels": LABELS},
        DamagedData,
        "it holds inputs, targets, labels; several are targets. Keep one",
    ),
    "train.npz": ({"train_inputs": INPUTS}, DamagedData, "it holds train_inputs. Name"),
    "stray.npz": ({"inputs": INPUTS, "train_targets": LABELS}, DamagedData, "it holds inputs, train_targets. Name"),
    "fewer.npz": ({"inputs": INPUTS, "targets": LABELS[:4]}, DamagedData, "5 inputs and 4 targets"),
    "fewer.pt": ((INPUTS, LABELS[:4]), DamagedData, "5 inputs and 4 targets"),
    "three.pt": ((INPUTS, LABELS, LABELS), DamagedData, "a tensor of inputs or a pair"),
    "scalar.npy": (np.float32(3), DamagedData, "a tensor of inputs or a pair"),
    "nan.npy": (torch.where(INPUTS > 1, torch.nan, INPUTS), DamagedData, r"\d of the 30 values of its inputs are NaN"),
    "inf.npz": ({"inputs": INPUTS / 0}, DamagedData, "30 of the 30 values of its inputs are NaN or Inf"),
    "words.npz": ({"inputs": np.array(["a", "b"])}, DamagedData, "arrays or tensors"),
    "model.pt": ({"inputs": "some text"}, DamagedData, "str as a probe"),
}


@pytest.mark.parametrize("name", WRONG)
def test_read_probe__what_is_wrong_is_told(tmp_path, name):
    actual, error, message = WRONG[name]
    if isinstance(actual, bytes):
        (tmp_path / name).write_bytes(actual)
    else:
        write(tmp_path / name, actual)
    with pytest.raises(error, match=message) as caught:
        read_probe(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_probe__takes_the_names_of_transformers(tmp_path):
    actual = read_probe(write(tmp_path / "a.npz", {"pixel_values": INPUTS, "labels": LABELS}))
    xr.testing.assert_identical(actual, read_probe(write(tmp_path / "b.npz", {"inputs": INPUTS, "targets": LABELS})))


def test_read_probe__a_pickle_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"inputs": Trap()}, tmp_path / "a.pt")
    with pytest.raises(DamagedData):
        read_probe(tmp_path / "a.pt")
    assert not (tmp_path / "sprung").exists()


def test_read_probe__of_no_file_is_told(tmp_path):
    with pytest.raises(MissingData, match="no such file"):
        read_probe(tmp_path / "a.npy")
    with pytest.raises(MissingData, match="a folder"):
        read_probe(tmp_path)
