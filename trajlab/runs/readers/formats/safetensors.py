"""The header of a safetensors file: where each tensor's bytes lie, without reading them."""

import json
import math
import os
import struct
from dataclasses import dataclass

import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.disk.rows import DTYPES


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


@dataclass(frozen=True, eq=False)
class Header:
    """All tensors of a file by name, and the file's own notes."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


LONGEST = 100_000_000
"""Bytes that a header has at most, as for the safetensors library."""

Known = dict[bytes, tuple[Header, int]]
"""Headers by their bytes, each with where its last tensor stops."""


def read_header(path: str, known: Known | None = None) -> Header:
    """Read the header of a safetensors file and check that the file is as long as it says.

    The format: 8 bytes with the length n of the header, n bytes of JSON, then the tensors end to end. What the
    safetensors library refuses is refused.

    Parameters
    ----------
    path
        The file.
    known
        Headers read before, which snapshots of one network share; it is added to.

    Raises
    ------
    DamagedData
        The file is cut off, is no safetensors file, or holds an element type that is not known here.
    """
    with open_bytes(path) as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        (size,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if size > min(length - 8, LONGEST):
            raise _damaged(path, f"its header should be {size} bytes long, the file is {length}")
        raw = file.read(size)
    known = {} if known is None else known
    if raw not in known:
        try:
            known[raw] = _parse(raw)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, str(error)) from error
    header, stop = known[raw]
    if stop != length:
        raise _damaged(path, f"its tensors should end at byte {stop}, the file ends at {length}")
    return header


def _parse(raw: bytes) -> tuple[Header, int]:
    """Give what the bytes of a header say, and where its last tensor stops; raise ValueError if that can not be."""
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_mapping)
    except UnicodeDecodeError as error:
        raise ValueError("its header is no text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"its header is no JSON ({error})") from error
    metadata = header.pop("__metadata__", None) or {} if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(note, str) for note in metadata.values()):
        raise ValueError("its header is no mapping of names, with notes that are text")
    entries, spans = {}, []
    for name, entry in header.items():
        try:
            (start, stop), shape = entry["data_offsets"], tuple(entry["shape"])
            stored = DTYPES[entry["dtype"]]
            name.encode()
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the entry {name!r} of its header reads {entry!r}") from error
        if not all(type(number) is int and 0 <= number < 1 << 63 for number in (start, stop, *shape)):
            raise ValueError(f"the entry {name!r} of its header reads {entry!r}")
        if stop - start != math.prod(shape) * stored.itemsize:
            raise ValueError(f"{name!r} of shape {shape} takes {stop - start} bytes")
        entries[name] = Entry(shape, stored, 8 + len(raw) + start)
        spans.append((start, stop, name))
    end = 0
    for start, stop, name in sorted(spans):
        if start != end:
            raise ValueError(f"{name!r} should lie at byte {start} of the data, the tensor before it ends at {end}")
        end = stop
    return Header(entries, metadata), 8 + len(raw) + end


def _mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make a mapping in which each key is said once."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError(f"its header says {next(key for key in made if [k for k, _ in pairs].count(key) > 1)!r} twice")
    return made


def _damaged(path: str, found: str) -> DamagedData:
    return DamagedData(
        f"{path} was to be read as safetensors; {found}. "
        "It is damaged or was cut off while being written: restore it, or move it out of the folder."
    )
