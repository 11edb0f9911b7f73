"""Shards of packed tensors: files of raw chunks along the steps, with the index of the chunks at the end.

The layout is the sharding codec of Zarr v3 over little-endian bytes with CRC-32C behind each chunk. One row is the
tensor at one step; a chunk is some rows, a shard some chunks. Zarr checks a chunk whenever it reads one. A scan reads
tiles of rows in place and does not: a checksum costs as much time as the scan itself, so `trajlab check` does.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from trajlab import sizes
from trajlab.errors import DamagedData
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.disk.rows import Rows
from trajlab.runs.disk.store_keys import chunk_key, encoding_of
from trajlab.runs.disk.upload import move

ABSENT = 2**64 - 1
"""Start and length of a chunk in the index that the shard does not hold."""

INDEX_ENTRY_BYTES = 16
CHECKSUM_BYTES = 4

ALIGNMENT = 64
"""Chunks start at multiples of these bytes, so that their values are aligned in memory, too."""


def write_shard(
    path: Path, rows: Rows | Callable[[], np.ndarray], per_chunk: int, per_shard: int, row_bytes: int,
    target: Path | None,
) -> None:  # fmt: skip
    """Write one shard: its chunks, each with its checksum behind it, then the index with the start and length of each.

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
    values: Any = rows if isinstance(rows, Rows) else rows()
    if isinstance(rows, Rows) and rows.remote:
        values = rows.read()
    count = len(values)
    chunks = -(-count // per_chunk)
    chunk_bytes = per_chunk * row_bytes
    index = np.full((per_shard // per_chunk, 2), ABSENT, "<u8")
    index[:chunks, 0] = np.arange(chunks) * _aligned(chunk_bytes + CHECKSUM_BYTES)
    index[:chunks, 1] = chunk_bytes + CHECKSUM_BYTES
    tail = index.tobytes()
    with open(path, "wb") as file:
        for number in range(chunks):
            file.seek(int(index[number, 0]))
            checksum = 0
            for piece in _pieces(values[number * per_chunk : (number + 1) * per_chunk]):
                raw = np.ascontiguousarray(piece).reshape(-1).view(np.uint8)
                checksum = google_crc32c.extend(checksum, raw)
                file.write(raw.data)
            missing = (number + 1) * per_chunk - count
            if missing > 0:
                checksum = google_crc32c.extend(checksum, bytes(missing * row_bytes))
                file.seek(missing * row_bytes, os.SEEK_CUR)
            file.write(checksum.to_bytes(CHECKSUM_BYTES, "little"))
        file.seek(int(index[chunks - 1, 0]) + _aligned(chunk_bytes + CHECKSUM_BYTES))
        file.write(tail + google_crc32c.value(tail).to_bytes(CHECKSUM_BYTES, "little"))
    if target is not None:
        move(path, target)


def _pieces(rows: Rows | np.ndarray) -> Iterator[np.ndarray]:
    """Read the rows of a chunk, or of one long row a piece at a time; a file that was cut off is an error."""
    if not isinstance(rows, Rows):
        yield rows
    elif len(rows) > 1:
        yield rows.read()
    else:
        most = sizes.PACKED_CHUNK_BYTES // rows.dtype.itemsize
        for start in range(0, rows.size, most):
            yield rows.entries(start, min(start + most, rows.size)).read()


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
    encoding = encoding_of(node)
    codecs, inner, index_bytes = node["codecs"], outer, 0
    if [codec["name"] for codec in codecs] == ["sharding_indexed"]:
        sharding = codecs[0]["configuration"]
        index_codecs = [codec["name"] for codec in sharding["index_codecs"]]
        if sharding.get("index_location", "end") != "end" or index_codecs != ["bytes", "crc32c"]:
            return None
        codecs, inner = sharding["codecs"], sharding["chunk_shape"]
        index_bytes = INDEX_ENTRY_BYTES * (outer[0] // inner[0]) + CHECKSUM_BYTES
    names = [codec["name"] for codec in codecs]
    raw = names in (["bytes"], ["bytes", "crc32c"]) and _little_endian(codecs[0])
    if not raw or inner[1:] != shape[1:] or outer[1:] != shape[1:] or not shape[0]:
        return None
    stored = np.dtype(node["data_type"])
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * stored.itemsize
    files, file, offset = [], [], []
    for number in range(-(-shape[0] // outer[0])):
        shard = str(path / chunk_key(encoding, (number, *(0 for _ in shape[1:]))))
        chunk_bytes = inner[0] * row_bytes + (CHECKSUM_BYTES if "crc32c" in names else 0)
        starts = _chunk_starts(shard, index_bytes, outer[0] // inner[0], chunk_bytes)
        rows = min(outer[0], shape[0] - number * outer[0])
        starts = starts[: -(-rows // inner[0])]
        if (starts == ABSENT).any():
            return None
        offset.append((starts.astype(np.int64)[:, None] + row_bytes * np.arange(inner[0])).ravel()[:rows])
        file.append(np.full(rows, number, np.int32))
        files.append(shard)
    return Rows(tuple(files), np.concatenate(file), np.concatenate(offset), tuple(shape[1:]), stored)


def is_sharded(node: dict[str, Any]) -> bool:
    """Return whether a node of a store is an array of shards."""
    return node.get("node_type") == "array" and [codec["name"] for codec in node["codecs"]] == ["sharding_indexed"]


def is_checked(node: dict[str, Any]) -> bool:
    """Return whether the chunks of an array of shards have checksums."""
    return [codec["name"] for codec in node["codecs"][0]["configuration"]["codecs"]] == ["bytes", "crc32c"]


def rows_per_chunk_and_shard(node: dict[str, Any]) -> tuple[int, int]:
    """Return the numbers of rows in a chunk and in a shard of an array of shards."""
    return (
        node["codecs"][0]["configuration"]["chunk_shape"][0],
        node["chunk_grid"]["configuration"]["chunk_shape"][0],
    )


def read_coordinate(path: Path, node: dict[str, Any]) -> np.ndarray | None:
    """Read a Zarr array of one dim in one raw chunk; None for others.

    Raises
    ------
    DamagedData
        Its file is missing or too short, or its checksum is wrong.
    """
    names = [codec["name"] for codec in node["codecs"]]
    outer = node["chunk_grid"]["configuration"]["chunk_shape"]
    raw = names in (["bytes"], ["bytes", "crc32c"]) and _little_endian(node["codecs"][0])
    if not raw or len(node["shape"]) != 1 or outer[0] < node["shape"][0]:
        return None
    stored = np.dtype(node["data_type"])
    if not node["shape"][0]:
        return np.empty(0, stored)
    file = str(path / chunk_key(encoding_of(node), (0,)))
    try:
        with open_bytes(file) as opened:
            content = opened.read()
    except OSError as error:
        raise _damaged(file, str(error)) from error
    size = outer[0] * stored.itemsize
    if len(content) != size + (CHECKSUM_BYTES if "crc32c" in names else 0):
        raise _damaged(file, f"it has {len(content)} bytes")
    if "crc32c" in names and not _matches(content[:size], content[size:]):
        raise _damaged(file, "its checksum is wrong")
    return np.frombuffer(content, stored, node["shape"][0])


def damaged_rows(path: Path, node: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Read an array of `write_shard`, and yield the file, the first and the last row of each chunk that is damaged.

    Parameters
    ----------
    path
        The array's folder.
    node
        Its metadata, as in zarr.json.
    """
    rows, encoding = node["shape"][0], encoding_of(node)
    per_chunk, per_shard = rows_per_chunk_and_shard(node)
    size = int(np.prod(node["shape"][1:], dtype=np.int64)) * np.dtype(node["data_type"]).itemsize * per_chunk
    chunks = per_shard // per_chunk
    for number, first in enumerate(range(0, rows, per_shard)):
        shard = str(path / chunk_key(encoding, (number, *(0 for _ in node["shape"][1:]))))
        try:
            starts = _chunk_starts(shard, INDEX_ENTRY_BYTES * chunks + CHECKSUM_BYTES, chunks, size + CHECKSUM_BYTES)
        except DamagedData:
            yield shard, first, min(first + per_shard, rows) - 1
            continue
        with open_bytes(shard) as file:
            for row, start in zip(range(first, min(first + per_shard, rows), per_chunk), starts.tolist(), strict=False):
                if start != ABSENT:
                    file.seek(start)
                if start == ABSENT or not _matches(file.read(size), file.read(CHECKSUM_BYTES)):
                    yield shard, row, min(row + per_chunk, rows) - 1


def _matches(raw: bytes, checksum: bytes) -> bool:
    return google_crc32c.value(raw) == int.from_bytes(checksum, "little")


def _aligned(size: int) -> int:
    """Return a size rounded up to a multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


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
    if not _matches(raw, checksum):
        raise _damaged(shard, "the checksum of its index is wrong")
    index = np.frombuffer(raw, "<u8").reshape(chunks, 2)
    present = index[index[:, 0] != ABSENT]
    if (present[:, 1] != chunk_bytes).any() or (present[:, 0] > max(length - index_bytes - chunk_bytes, 0)).any():
        raise _damaged(shard, f"its index points beyond its {length} bytes")
    return index[:, 0]


def _damaged(shard: str, reason: str) -> DamagedData:
    return DamagedData(f"cannot read the shard {shard}: {reason}; the store is damaged, so pack the snapshots again")
