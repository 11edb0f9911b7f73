"""Files are read as torch reads them, or left to torch."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.torch_positions import SAYS_POSITIONS
from trajlab.runs.readers.counters import counters_of
from trajlab.runs.readers.state_dicts import find_networks
from trajlab.runs.readers.torch_loading import header_of, load_weights_only
from trajlab.runs.readers.torch_zip import BUILT, StoredTensor, Unknown, read_content


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file


def header(content):
    shown = header_of(find_networks(content), print, metadata=counters_of(content), start=0)
    return {name: getattr(shown, name) for name in ("entries", "metadata", "networks", "left_out", "holds")}


def network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)).state_dict()


def trained():
    module = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {"model": module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": torch.tensor(0.5)}


CONTENTS = {
    "a state_dict": network,
    "a checkpoint with its optimizer": trained,
    "parameters": lambda: {"w": nn.Parameter(torch.ones(2, 3))},
    "half types": lambda: {"a.w": torch.ones(2, dtype=torch.bfloat16), "b.w": torch.ones(2, 2, dtype=torch.float16)},
    "other types": lambda: {
        f"{kind}.w".replace("torch.", ""): torch.ones(2, 2, dtype=kind)
        for kind in (torch.float64, torch.int8, torch.int64, torch.uint8, torch.bool, torch.complex64)
    },
    "views": lambda: {"a.w": (full := torch.arange(24.0).reshape(4, 6))[1:3], "b.w": full.T, "c.w": full[:, :1]},
    "empty and scalar": lambda: {"a.w": torch.ones(0, 3), "b.w": torch.tensor(1.0), "c.w": torch.ones(2, 1, 2)},
    "no network": lambda: {"epoch": 3, "history": [1, 2]},
    "a list": lambda: [torch.ones(2, 2), torch.ones(3)],
}


@pytest.mark.parametrize("name", CONTENTS)
def test_headers_are_those_of_torch(name):
    file = saved(CONTENTS[name]())
    actual, expected = header(read_content(file)), header(load_weights_only(file, "file", "meta"))
    if not SAYS_POSITIONS:
        actual["entries"] = {key: replace(entry, offset=None) for key, entry in actual["entries"].items()}
    assert actual == expected


def test_values_lie_where_they_are_said_to():
    file, weights = saved(state := network()), read_content
    for name, tensor in weights(file).items():
        count = int(np.prod(tensor.shape))
        values = np.frombuffer(file.getvalue(), tensor.dtype, count, tensor.position).reshape(tensor.shape)
        assert np.array_equal(values, state[name].numpy())


@pytest.mark.parametrize(
    "content",
    [
        lambda: {"w": torch.ones(2, 2).to_sparse()},
        lambda: {"w": torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)},
        lambda: {"w": torch.ones(2, dtype=torch.complex64).conj()},
        lambda: {"w": torch.ones(2, dtype=torch.float8_e4m3fn)},
        lambda: {"size": torch.Size([2])},
        lambda: nn.Linear(2, 2),
        lambda: {"w": np.ones(2)},
    ],
    ids=["sparse", "quantized", "conjugate", "float8", "size", "module", "array"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_dense_tensor_is_left_to_torch(content):
    with pytest.raises(Unknown):
        read_content(saved(content()))


def rewritten(file, change):
    """Return a file whose records, by their names in the archive, were changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w") as new:
        for name, data in change({name: old.read(name) for name in old.namelist()}).items():
            new.writestr(name, data)
    return out


@pytest.mark.parametrize(
    "change",
    [
        lambda records: {name: data[:-1] if "/data/" in name else data for name, data in records.items()},
        lambda records: {name: data for name, data in records.items() if "/data/" not in name},
        lambda records: {name: b"big" if "byteorder" in name else data for name, data in records.items()},
        lambda records: records | {"archive/constants.pkl": b""},
        lambda records: records | {"other/data.pkl": b""},
        lambda records: {name: data[:40] if name.endswith("data.pkl") else data for name, data in records.items()},
    ],
    ids=["cut storage", "no storage", "big-endian", "script", "two pickles", "cut pickle"],
)
def test_damaged_files_are_left_to_torch(change):
    with pytest.raises(Unknown):
        read_content(rewritten(saved({"a.w": torch.ones(2, 2)}), change))


def with_pickle(raw):
    return rewritten(
        saved({"a.w": torch.ones(2, 2)}),
        lambda records: {name: raw if name.endswith("data.pkl") else data for name, data in records.items()},
    )


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    "raw",
    [
        pickle.dumps({"w": Runs()}, protocol=2),
        b"\x80\x02ctorch._utils\n_rebuild_parameter\n}X\x05\x00\x00\x00buildK\x01sb.",
        b"\x80\x02ctorch\nFloatStorage\n}X\x05\x00\x00\x00dtypeK\x01sb.",
        b"\x80\x02ccollections\nOrderedDict\n}X\x03\x00\x00\x00popK\x01sb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00K\x02\x85K\x01\x85\x89}tR.",
    ],
    ids=["a call", "change of a function", "change of a type", "change of a class", "no storage"],
)
def test_nothing_is_run_or_changed(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {name: repr(getattr(built, "dtype", getattr(built, "build", built))) for name, built in BUILT.items()}
    with pytest.raises(Unknown):
        read_content(with_pickle(raw))
    after = {name: repr(getattr(built, "dtype", getattr(built, "build", built))) for name, built in BUILT.items()}
    assert before == after and OrderedDict.pop is not None and not any(tmp_path.iterdir())


def test_a_view_beyond_its_storage_is_left_to_torch():
    tensor = saved({"a.w": torch.ones(2, 2)})
    change = lambda records: {  # noqa: E731
        name: data.replace(b"K\x02K\x02\x86", b"K\x02K\x09\x86") if name.endswith("data.pkl") else data
        for name, data in records.items()
    }
    with pytest.raises(Unknown):
        read_content(rewritten(tensor, change))


def test_tensors_cannot_be_changed():
    tensor = StoredTensor(np.dtype("f4"), (2,), 8, True)
    with pytest.raises(Unknown):
        tensor.__setstate__({"position": 0})


def test_a_folder_of_checkpoints_is_opened_without_torch(tmp_path):
    for step in range(3):
        torch.save(network(), tmp_path / f"model_{step}.pt")
    code = (
        f"import sys, trajlab\nrun = trajlab.open({str(tmp_path)!r})\n"
        "print(run.weights['0.weight'].values.shape, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "(3, 4, 1, 3, 3) False"
