"""A packed store as a recording: raw chunks and shards are read where they lie, anything else goes through zarr."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import google_crc32c
import numpy as np
import xarray as xr

from trajlab.errors import DamagedData, MissingData, TrajlabError
from trajlab.runs.disk.paths import reaching
from trajlab.runs.disk.remote import concurrently, open_bytes
from trajlab.runs.disk.rows import Rows, widened
from trajlab.runs.readers.folder import wrong_facts
from trajlab.runs.tensors import Recording, Series, Tensors, attributes_of
from trajlab.schema import BUFFERS, GRADIENTS, METRICS, PROBE, RESULT_VERSION, STORE_VERSION, WEIGHTS, tensor_of

ABSENT = 2**64 - 1


def is_store(path: Path) -> bool:
    """Tell whether a path is a Zarr group."""
    return (path / "zarr.json").is_file()


def read_store(path: Path) -> Recording:
    """Read what is in a packed store, without reading the tensors.

    Raises
    ------
    DamagedData
        The store is damaged, or of another version.
    """
    try:
        root = json.loads((path / "zarr.json").read_text())
        attributes = root["attributes"]
        nodes = root["consolidated_metadata"]["metadata"]
        version, facts = attributes.get("Conventions"), attributes.get("run", {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedData(
            f"{path} was to be read as a packed store; its zarr.json is not by pack ({error!r}). Pack it again."
        ) from error
    if version == RESULT_VERSION:
        raise MissingData(
            f"a run was to be opened at {path}; it is the result of {attributes.get('stage', 'a stage')}. "
            "Name the run, or open the result with xarray.open_zarr."
        )
    if version != STORE_VERSION:
        raise DamagedData(
            f"{path} was expected to be a store of version {STORE_VERSION}; it is of {version!r}. "
            "Pack the snapshots again, or open it with the trajlab that wrote it."
        )
    with _reading(path, "run"):
        if wrong := wrong_facts(facts):
            raise ValueError(f"what it says of {wrong[0]} is of the wrong kind")
    with _reading(path, METRICS):
        metrics = _dataset(path, METRICS, nodes).compute(scheduler="sync")
    lives = {group: dict(_lives(path, group, nodes)) for group in (WEIGHTS, GRADIENTS, BUFFERS)}
    return Recording(
        weights=Tensors(lives[WEIGHTS], attributes_of(facts, lives[WEIGHTS])),
        gradients=Tensors(lives[GRADIENTS], attributes_of(facts, lives[GRADIENTS])),
        buffers=Tensors(lives[BUFFERS]),
        facts=facts,
        metrics=metrics,
        probe=_dataset(path, PROBE, nodes),
    )


@contextmanager
def _reading(path: Path, place: str) -> Iterator[None]:
    """Say which part of a store is not as pack wrote it."""
    try:
        with reaching(path):
            yield
    except TrajlabError:
        raise
    except Exception as error:  # what zarr raises for damaged metadata and chunks has no end
        reason = " ".join((str(error) or repr(error)).split())[:200]
        raise DamagedData(
            f"{place} of {path} was to be read as pack writes it; {type(error).__name__}: {reason}. "
            "The store is damaged: pack the snapshots again."
        ) from error


def _dataset(path: Path, group: str, nodes: dict[str, Any]) -> xr.Dataset:
    with _reading(path, group):
        dataset = xr.open_zarr(str(path), group=group, consolidated=True) if group in nodes else xr.Dataset()
        return dataset.rename({node: tensor_of(str(node)) for node in dataset.data_vars})


def _lives(path: Path, group: str, nodes: dict[str, Any]) -> Iterator[tuple[str, Series]]:
    if group not in nodes:
        return
    with _reading(path, group):
        order = nodes[group]["attributes"]["order"]
        if not isinstance(order, list) or len(set(order)) < len(order):
            raise ValueError(f"the order of its tensors is {order!r}")
        shared = _values(path, f"{group}/step", nodes) if f"{group}/step" in nodes else None

    def life(name: str) -> Series:
        with _reading(path, f"{group}/{name}"):
            return _life(path, f"{group}/{name}", nodes, shared)

    yield from zip(map(tensor_of, order), concurrently(life, order, path), strict=True)


def _life(path: Path, place: str, nodes: dict[str, Any], steps: np.ndarray | None) -> Series:
    steps = _values(path, f"{place}/step", nodes) if steps is None else steps
    index = _values(path, f"{place}/index", nodes) if f"{place}/index" in nodes else None
    node = nodes[f"{place}/value"]
    shape, stored = tuple(node["attributes"]["shape"]), np.dtype(node["attributes"]["stored_dtype"])
    row = shape if index is None else index.shape
    entries = int(np.prod(shape, dtype=np.int64))
    if node["shape"] != [len(steps), *row] or any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"{len(steps)} steps of shape {row} were expected, its value has shape {node['shape']}")
    if widened(stored) != np.dtype(node["data_type"]):
        raise ValueError(f"its type is {node['data_type']}, training stored {stored}")
    if (np.diff(steps) <= 0).any() or (index is not None and not _positions(index, entries)):
        raise ValueError("its steps, or the positions of its entries, do not rise")
    values = _rows(path / place / "value", node)
    if values is None:
        values = da.from_zarr(str(path), component=f"{place}/value")
    return Series(steps, values, shape, index, stored)


def _positions(index: np.ndarray, entries: int) -> bool:
    inside = not len(index) or (index[0] >= 0 and index[-1] < entries)
    return bool(inside and (np.diff(index) > 0).all())


def _values(path: Path, array: str, nodes: dict[str, Any]) -> np.ndarray:
    node = nodes[array]
    if len(node["shape"]) != 1 or np.dtype(node["data_type"]) != np.int64:
        raise ValueError(f"{array} is {node['data_type']} of shape {node['shape']}, not a row of whole numbers")
    table = _rows(path / array, node)
    if table is None:
        return da.from_zarr(str(path), component=array).compute(scheduler="sync")
    return table.load()


def _rows(path: Path, node: dict[str, Any]) -> Rows | None:
    """Give an array's table of rows if its steps lie raw on disk, each in one piece."""
    shape, outer = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
    codecs, inner, index_bytes = node["codecs"], outer, 0
    if [codec["name"] for codec in codecs] == ["sharding_indexed"]:
        sharding = codecs[0]["configuration"]
        index_codecs = [codec["name"] for codec in sharding["index_codecs"]]
        if sharding.get("index_location", "end") != "end" or index_codecs != ["bytes", "crc32c"]:
            return None
        codecs, inner = sharding["codecs"], sharding["chunk_shape"]
        index_bytes = 16 * (outer[0] // inner[0]) + 4
    raw = [codec["name"] for codec in codecs] == ["bytes"] and _little(codecs[0])
    if not raw or inner[1:] != shape[1:] or outer[1:] != shape[1:] or not shape[0]:
        return None
    stored = np.dtype(node["data_type"])
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * stored.itemsize
    files, file, offset = [], [], []
    for number in range(-(-shape[0] // outer[0])):
        chunk = str(path.joinpath("c", str(number), *("0" for _ in shape[1:])))
        starts = _starts(chunk, index_bytes, outer[0] // inner[0], inner[0] * row_bytes)
        rows = min(outer[0], shape[0] - number * outer[0])
        starts = starts[: -(-rows // inner[0])]
        if (starts == ABSENT).any():
            return None
        offset.append((starts.astype(np.int64)[:, None] + row_bytes * np.arange(inner[0])).ravel()[:rows])
        file.append(np.full(rows, number, np.int32))
        files.append(chunk)
    return Rows(tuple(files), np.concatenate(file), np.concatenate(offset), tuple(shape[1:]), stored)


def _little(codec: dict[str, Any]) -> bool:
    return codec.get("configuration", {}).get("endian", "little") == "little"


def _starts(chunk: str, index_bytes: int, chunks: int, chunk_bytes: int) -> np.ndarray:
    """First byte of each inner chunk of a shard, (chunk) uint64, from the index at its end."""
    if not index_bytes:
        return np.zeros(1, np.uint64)
    try:
        with open_bytes(chunk) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(-index_bytes, os.SEEK_END)
            raw, checksum = file.read(16 * chunks), file.read(4)
    except (OSError, ValueError) as error:
        raise _damaged_shard(chunk, str(error)) from error
    if google_crc32c.value(raw) != int.from_bytes(checksum, "little"):
        raise _damaged_shard(chunk, "the checksum of its index is wrong")
    index = np.frombuffer(raw, "<u8").reshape(chunks, 2)
    held = index[index[:, 0] != ABSENT]
    if (held[:, 1] != chunk_bytes).any() or (held[:, 0] > max(length - index_bytes - chunk_bytes, 0)).any():
        raise _damaged_shard(chunk, f"its index points beyond its {length} bytes")
    return index[:, 0]


def _damaged_shard(chunk: str, found: str) -> DamagedData:
    return DamagedData(f"{chunk} was to be read as a shard; {found}. The store is damaged: pack the snapshots again.")
