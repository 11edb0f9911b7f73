"""Files are those of the safetensors library, to the byte where the order of tensors is the same."""

import pytest
import safetensors
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from trajlab.errors import BadSetting
from trajlab.record import tensor_file
from trajlab.record.tensor_file import ELEMENT_TYPES, write_safetensors
from trajlab.runs.disk.manifest import Checksum

READ_FROM = {torch.complex64: (0, 7), torch.float8_e4m3fnuz: (0, 8), torch.float8_e5m2fnuz: (0, 8)}
"""Versions of safetensors from which on it reads these types; the format has their names."""


def test_write_safetensors__is_what_the_library_writes(tmp_path):
    tensors = {"a.weight": torch.randn(3, 5), "b": torch.randn(()), "empty": torch.empty(0, 2), "é": torch.ones(2)}
    checksum = write_safetensors(tmp_path / "ours", tensors, {"format": "pt"})
    save_file(tensors, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert checksum == Checksum.of_file(tmp_path / "ours")


@pytest.mark.parametrize("piece", [7, 30, 1 << 18])
def test_write_safetensors__all_types_and_layouts_are_read_back(piece, tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_file, "PIECE_BYTES", piece)
    version = tuple(map(int, safetensors.__version__.split(".")[:2]))
    types = [dtype for dtype in ELEMENT_TYPES if version >= READ_FROM.get(dtype, version)]
    tensors = {str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in types}
    tensors |= {"turned": torch.randn(3, 4).T, "shared": tensors["torch.float32"][1], "last": torch.ones(3).bool()}
    checksum = write_safetensors(tmp_path / "file", tensors, {"rows": "1"})
    loaded = load_file(tmp_path / "file")
    assert loaded.keys() == tensors.keys()
    for name, value in tensors.items():
        assert loaded[name].dtype == value.dtype and loaded[name].shape == value.shape
        assert torch.equal(loaded[name].view(torch.uint8), value.contiguous().view(torch.uint8)), name
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert file.metadata() == {"rows": "1"}
    assert checksum == Checksum.of_file(tmp_path / "file")


def test_write_safetensors__a_type_without_a_name_is_refused(tmp_path):
    with pytest.raises(BadSetting, match="cannot record w: safetensors has no type for torch.complex128"):
        write_safetensors(tmp_path / "file", {"w": torch.ones(1, dtype=torch.complex128)}, {})
