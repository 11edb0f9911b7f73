"""The header of a safetensors file: where each tensor's bytes lie, without reading them."""

import json
import math
import os
import struct
from dataclasses import dataclass

import numpy as np

from trajlab.errors import DamagedData
from trajlab.snapshots.remote import open_bytes
from trajlab.snapshots.rows import DTYPES


@dataclass(frozen=True)
class Entry:
    """One tensor of a file.

    Parameters
    ----------
    shape, stored
        Shape and element type.
    offset
        Position of its first byte in the file; None if it does not lie there as it is.
    """

    shape: tuple[int, ...]
    stored: np.dtype
    offset: int | None


@dataclass(frozen=True)
class Header:
    """All tensors of a file by name, and the file's own notes."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


def read_header(path: str) -> Header:
    """Read the header of a safetensors file and check that the file is as long as it says.

    The format: 8 bytes with the length n of the header, n bytes of JSON, then the tensors end to end.

    Raises
    ------
    DamagedData
        The file is cut off, is no safetensors file, or holds an element type that is not known here.
    """
    try:
        with open_bytes(path) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(0)
            (size,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
            if size > length - 8:
                raise _damaged(path, f"its header should end at byte {8 + size}, the file ends at {length}")
            header = json.loads(file.read(size))
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise _damaged(path, f"its header is no JSON ({error})") from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__") or {}, dict):
        raise _damaged(path, "its header is no mapping of names")
    metadata = header.pop("__metadata__", None) or {}
    entries = {}
    for name, entry in header.items():
        try:
            (start, stop), shape = entry["data_offsets"], tuple(entry["shape"])
            stored = DTYPES[entry["dtype"]]
            if not all(isinstance(number, int) for number in (start, stop, *shape)):
                raise TypeError("places and shapes are whole numbers")
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, f"the entry {name!r} of its header reads {entry!r}") from error
        if stop - start != math.prod(shape) * stored.itemsize:
            raise _damaged(path, f"{name!r} of shape {shape} takes {stop - start} bytes")
        if start < 0 or min(shape, default=0) < 0 or 8 + size + stop > length:
            raise _damaged(
                path, f"{name!r} should lie at bytes {8 + size + start} to {8 + size + stop}, the file ends at {length}"
            )
        entries[name] = Entry(shape, stored, 8 + size + start)
    return Header(entries, metadata)


def _damaged(path: str, found: str) -> DamagedData:
    return DamagedData(
        f"{path} was to be read as safetensors; {found}. "
        "It is damaged or was cut off while being written: restore it, or move it out of the folder."
    )
