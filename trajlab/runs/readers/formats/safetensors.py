"""Safetensors files: the header says where each tensor's bytes lie."""

import math
import os
import struct

from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.element_types import DTYPES
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.readers.formats import Entry, Header

SUFFIXES = (".safetensors",)

LONGEST_HEADER = 100_000_000
"""Most bytes of a header, as in the safetensors library."""


def read_header(path: str, cache: dict[bytes, tuple[Header, int]] | None = None) -> Header:
    """Read the header of a safetensors file and check that the file is as long as the header says.

    The format: 8 bytes with the length n of the header, n bytes of JSON, then the tensors end to end. Whatever the
    safetensors library refuses is refused.

    Parameters
    ----------
    path
        The file.
    cache
        Headers by their bytes, each with the end of its last tensor: snapshots of one network share them.

    Raises
    ------
    DamagedData
        The file is cut off, is not a safetensors file, or has an unknown element type.
    """
    remedy = "it is damaged or was cut off while being written, so restore it or move it out of the folder"
    with reading(path, remedy, form="safetensors"):
        with open_bytes(path) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(0)
            (size,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
            if size > min(length - 8, LONGEST_HEADER):
                raise ValueError(f"it states a header of {size} bytes, but has {length} bytes in all")
            raw = file.read(size)
        cache = {} if cache is None else cache
        if raw not in cache:
            cache[raw] = _parse(raw)
        header, stop = cache[raw]
        if stop != length:
            raise ValueError(f"its header states tensors up to byte {stop}, but it ends at byte {length}")
        return header


def _parse(raw: bytes) -> tuple[Header, int]:
    """Parse the bytes of a header, and return where its last tensor ends; raise ValueError if they are invalid."""
    try:
        header = parse_json(raw, _mapping)
    except ValueError as error:
        raise ValueError(f"its header is not JSON that can be read: {error}") from error
    metadata = header.pop("__metadata__", None) or {} if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(note, str) for note in metadata.values()):
        raise ValueError("its header is not a JSON object, or its __metadata__ is not all strings")
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
            raise ValueError(f"{name!r} of {stored} and shape {shape} has {stop - start} bytes")
        entries[name] = Entry(shape, stored, 8 + len(raw) + start)
        spans.append((start, stop, name))
    end = 0
    for start, stop, name in sorted(spans):
        if start != end:
            raise ValueError(f"{name!r} starts at byte {start} of the data, the tensor before it ends at byte {end}")
        end = stop
    return Header(entries, metadata), 8 + len(raw) + end


def _mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a mapping; raise ValueError if a key is repeated."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        repeated = next(key for key in mapping if [k for k, _ in pairs].count(key) > 1)
        raise ValueError(f"its header has the key {repeated!r} twice")
    return mapping
