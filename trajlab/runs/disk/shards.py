"""Shards of packed tensors: files of raw chunks along the steps, with the index of the chunks at the end.

The layout is the sharding codec of Zarr v3 over little-endian bytes. One row is the tensor at one step; a chunk is some
rows, a shard some chunks.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.disk.rows import Rows
from trajlab.runs.disk.upload import move

ABSENT = 2**64 - 1
"""Start and length of a chunk in the index that the shard does not hold."""

INDEX_ENTRY_BYTES = 16
CHECKSUM_BYTES = 4


def write_shard(
    path: Path, rows: Rows | Callable[[], np.ndarray], per_chunk: int, per_shard: int, row_bytes: int,
    target: Path | None,
) -> None:  # fmt: skip
    """Write one shard: its chunks end to end, then the index with the start and length of each.

    Parameters
    ----------
    path
        The file.
    rows
        The rows, or a function that computes them, (row, ...).
    per_chunk, per_shard
        Rows in a chunk and in a whole shard; the last chunk is filled up with zeros.
    row_bytes
        Bytes of one row.
    target
        Where behind a URL the complete shard is moved, so that the disk never holds more than a few; None to leave it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(rows, Rows):
        views: Any = rows.views()
    else:
        computed = rows()
        views = computed.reshape(-1, row_bytes // computed.dtype.itemsize)
    count = len(views)
    chunks = -(-count // per_chunk)
    index = np.full((per_shard // per_chunk, 2), ABSENT, "<u8")
    index[:chunks, 0] = np.arange(chunks) * per_chunk * row_bytes
    index[:chunks, 1] = per_chunk * row_bytes
    tail = index.tobytes()
    with open(path, "wb") as file:
        for view in views:
            file.write(np.ascontiguousarray(view).data)
        file.seek((chunks * per_chunk - count) * row_bytes, os.SEEK_CUR)
        file.write(tail + google_crc32c.value(tail).to_bytes(CHECKSUM_BYTES, "little"))
    if target is not None:
        move(path, target)


def raw_rows(path: Path, node: dict[str, Any]) -> Rows | None:
    """Return the table of rows of a Zarr array whose steps lie raw on disk, each in one piece; None for others.

    Parameters
    ----------
    path
        The array's folder, or its URL.
    node
        Its metadata, as in zarr.json.

    Raises
    ------
    DamagedData
        The index of a shard is damaged.
    """
    shape, outer = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
    codecs, inner, index_bytes = node["codecs"], outer, 0
    if [codec["name"] for codec in codecs] == ["sharding_indexed"]:
        sharding = codecs[0]["configuration"]
        index_codecs = [codec["name"] for codec in sharding["index_codecs"]]
        if sharding.get("index_location", "end") != "end" or index_codecs != ["bytes", "crc32c"]:
            return None
        codecs, inner = sharding["codecs"], sharding["chunk_shape"]
        index_bytes = INDEX_ENTRY_BYTES * (outer[0] // inner[0]) + CHECKSUM_BYTES
    raw = [codec["name"] for codec in codecs] == ["bytes"] and _little_endian(codecs[0])
    if not raw or inner[1:] != shape[1:] or outer[1:] != shape[1:] or not shape[0]:
        return None
    stored = np.dtype(node["data_type"])
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * stored.itemsize
    files, file, offset = [], [], []
    for number in range(-(-shape[0] // outer[0])):
        shard = str(path.joinpath("c", str(number), *("0" for _ in shape[1:])))
        starts = _chunk_starts(shard, index_bytes, outer[0] // inner[0], inner[0] * row_bytes)
        rows = min(outer[0], shape[0] - number * outer[0])
        starts = starts[: -(-rows // inner[0])]
        if (starts == ABSENT).any():
            return None
        offset.append((starts.astype(np.int64)[:, None] + row_bytes * np.arange(inner[0])).ravel()[:rows])
        file.append(np.full(rows, number, np.int32))
        files.append(shard)
    return Rows(tuple(files), np.concatenate(file), np.concatenate(offset), tuple(shape[1:]), stored)


def _little_endian(codec: dict[str, Any]) -> bool:
    return codec.get("configuration", {}).get("endian", "little") == "little"


def _chunk_starts(shard: str, index_bytes: int, chunks: int, chunk_bytes: int) -> np.ndarray:
    """Return the first byte of each chunk of a shard, (chunk) uint64, from the index at its end."""
    if not index_bytes:
        return np.zeros(1, np.uint64)
    try:
        with open_bytes(shard) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(-index_bytes, os.SEEK_END)
            raw, checksum = file.read(INDEX_ENTRY_BYTES * chunks), file.read(CHECKSUM_BYTES)
    except (OSError, ValueError) as error:
        raise _damaged(shard, str(error)) from error
    if google_crc32c.value(raw) != int.from_bytes(checksum, "little"):
        raise _damaged(shard, "the checksum of its index is wrong")
    index = np.frombuffer(raw, "<u8").reshape(chunks, 2)
    present = index[index[:, 0] != ABSENT]
    if (present[:, 1] != chunk_bytes).any() or (present[:, 0] > max(length - index_bytes - chunk_bytes, 0)).any():
        raise _damaged(shard, f"its index points beyond its {length} bytes")
    return index[:, 0]


def _damaged(shard: str, reason: str) -> DamagedData:
    return DamagedData(f"cannot read the shard {shard}: {reason}; the store is damaged, so pack the snapshots again")
