"""Write safetensors files piece by piece, with their checksum taken on the way, so that none is read back."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from trajlab.errors import BadSetting
from trajlab.runs.disk.manifest import Checksum

ELEMENT_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names of element types in safetensors, which reads complex64 from 0.7 on and FNUZ types from 0.8 on."""

if hasattr(torch, "float8_e8m0fnu"):  # from PyTorch 2.7 on
    ELEMENT_TYPES[torch.float8_e8m0fnu] = "F8_E8M0"

PIECE_BYTES = 1 << 18
"""Bytes whose checksum is taken at once: the lock of Python, which training needs, is held meanwhile (0.1 ms)."""

ALIGNMENT = 8
"""Tensors begin at a multiple of these bytes."""


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Checksum:
    """Write a safetensors file; tensors of long elements first, else in the order of the mapping.

    Parameters
    ----------
    path
        The file.
    tensors
        Tensors on the CPU by name.
    metadata
        Texts of the header.

    Returns
    -------
    Size and checksum of what was written.
    """
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].element_size()))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in ordered.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": element_type(name, tensor.dtype), "shape": list(tensor.shape), "data_offsets": [start, end],
        }  # fmt: skip
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    checksum = Checksum.of(b"")
    with open(path, "wb", buffering=0) as file:
        for piece in _pieces(len(text).to_bytes(8, "little") + text, ordered.values()):
            checksum = checksum.extend(piece)
            rest = memoryview(piece)  # type: ignore[arg-type]
            while rest:
                rest = rest[file.write(rest) :]
    return checksum


def element_type(name: str, dtype: torch.dtype) -> str:
    """Return the name of an element type; raise BadSetting if safetensors has none."""
    if dtype not in ELEMENT_TYPES:
        raise BadSetting(
            f"cannot record {name}: safetensors has no type for {dtype}; leave it out with Recorder(parameters=…)"
        )
    return ELEMENT_TYPES[dtype]


def _pieces(header: bytes, tensors: Iterable[torch.Tensor]) -> Iterable[np.ndarray]:
    """Yield the bytes to write in pieces of about `PIECE_BYTES`: small tensors are joined, large ones split."""
    small, size = [np.frombuffer(header, np.uint8)], len(header)
    for tensor in tensors:
        if not tensor.numel():
            continue
        raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        if size and size + len(raw) > PIECE_BYTES:
            yield np.concatenate(small)
            small, size = [], 0
        if len(raw) > PIECE_BYTES:
            yield from (raw[at : at + PIECE_BYTES] for at in range(0, len(raw), PIECE_BYTES))
        else:
            small.append(raw)
            size += len(raw)
    if size:
        yield np.concatenate(small)
