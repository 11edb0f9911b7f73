"""NumPy's .npz files: one array for each tensor; arrays of objects are never unpickled."""

import math
import zipfile
from contextlib import AbstractContextManager
from typing import IO, Any

import numpy as np

from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.disk.zip_members import read_members
from trajlab.runs.readers.counters import COUNTERS
from trajlab.runs.readers.formats import Entry, Header

SUFFIXES = (".npz",)


def read_header(path: str, cache: dict[Any, Any] | None = None) -> Header:
    """Read which arrays an .npz file holds, and where those lie that are not compressed.

    Integers without dims that are named as counters of training are notes of the file.

    Raises
    ------
    DamagedData
        The file is cut off or is no .npz file, or holds an array that would have to be unpickled.
    """
    entries, counters, left_out = {}, {}, {}
    with _reading(path), open_bytes(path) as file:
        members = read_members(file)
        archive = zipfile.ZipFile(file)
        for member in members.values():
            name = member.name.removesuffix(".npy")
            if name == member.name:
                continue
            with archive.open(member.name) as array:  # unpacks no more than is read
                shape, fortran, dtype = _read_array_header(array, name)
                start = array.tell()
                if math.prod(shape) * dtype.itemsize != member.size - start:
                    raise ValueError(f"{name!r} of {dtype} and shape {shape} has {member.size - start} bytes")
                if name in COUNTERS and shape == () and dtype.kind in "iu":
                    counters[name] = str(int(np.frombuffer(array.read(), dtype)[0]))
                    continue
            if dtype.kind not in "fiubc":
                left_out[name] = f"it holds {_kind(dtype)}, not numbers; save it as float32 to analyze it"
                continue
            raw = member.start is not None and dtype.newbyteorder("<") == dtype and not (fortran and len(shape) > 1)
            offset = member.start + start if raw and member.start is not None else None
            entries[name] = Entry(shape, dtype.newbyteorder("="), offset)
    holds = "" if entries or left_out else f"the arrays {', '.join(counters)}" if counters else "no arrays"
    return Header(entries, counters, load_array, in_network_order=True, left_out=left_out, holds=holds)


def load_array(path: str, name: str) -> np.ndarray:
    """Load one array that is compressed, or does not lie as it is read."""
    with _reading(path), open_bytes(path) as file, np.load(file, allow_pickle=False) as arrays:
        if name not in arrays:
            raise ValueError(f"it no longer holds {name}")
        array = arrays[name]
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False).reshape(array.shape)


def _read_array_header(array: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, order and element type of an array; raise ValueError if it is none, or holds objects."""
    version = np.lib.format.read_magic(array)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"{name!r} is of version {version} of the format of arrays")
    shape, fortran, dtype = read(array)
    if dtype.hasobject:
        raise ValueError(f"{name!r} holds Python objects, which are read with allow_pickle only, and that runs code")
    if not all(type(length) is int and 0 <= length < 1 << 63 for length in shape):
        raise ValueError(f"{name!r} has the shape {shape}")
    return shape, fortran, dtype


def _kind(dtype: np.dtype) -> str:
    kinds = {"U": "text", "S": "text", "M": "dates", "m": "durations"}
    return "records" if dtype.names else kinds.get(dtype.kind, f"raw bytes ({dtype})")


def _reading(path: str) -> AbstractContextManager[None]:
    remedy = (
        "it is damaged or was written otherwise than with numpy.savez, so save the arrays again, or move it out of the "
        "folder"
    )
    return reading(path, remedy, form=".npz")
