"""A packed store as a recording: raw chunks and shards are mapped or fetched, anything else goes through zarr."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import DamagedData, MissingData
from trajlab.schema import BUFFERS, GRADIENTS, METRICS, PROBE, RESULT_VERSION, STORE_VERSION, WEIGHTS
from trajlab.snapshots.remote import concurrently, open_bytes
from trajlab.snapshots.rows import Rows
from trajlab.snapshots.tensors import Life, Recording, Tensors, attributes_of

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
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedData(
            f"{path} was to be read as a packed store; its zarr.json is not by pack ({error!r}). Pack it again."
        ) from error
    version = attributes.get("Conventions")
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
    facts = attributes.get("run", {})
    lives = {group: dict(_lives(path, group, nodes)) for group in (WEIGHTS, GRADIENTS, BUFFERS)}
    return Recording(
        weights=Tensors(lives[WEIGHTS], attributes_of(facts, lives[WEIGHTS])),
        gradients=Tensors(lives[GRADIENTS], attributes_of(facts, lives[GRADIENTS])),
        buffers=Tensors(lives[BUFFERS]),
        facts=facts,
        metrics=_dataset(path, METRICS, nodes).compute(scheduler="sync"),
        probe=_dataset(path, PROBE, nodes),
    )


def _dataset(path: Path, group: str, nodes: dict[str, Any]) -> xr.Dataset:
    return xr.open_zarr(str(path), group=group, consolidated=True) if group in nodes else xr.Dataset()


def _lives(path: Path, group: str, nodes: dict[str, Any]) -> Iterator[tuple[str, Life]]:
    if group not in nodes:
        return
    shared = _values(path, f"{group}/step", nodes) if f"{group}/step" in nodes else None

    def life(name: str) -> Life:
        place = f"{group}/{name}"
        steps = shared if shared is not None else _values(path, f"{place}/step", nodes)
        index = _values(path, f"{place}/index", nodes) if f"{place}/index" in nodes else None
        attributes = nodes[f"{place}/value"]["attributes"]
        values = _rows(path / place / "value", nodes[f"{place}/value"])
        if values is None:
            values = da.from_zarr(str(path), component=f"{place}/value")
        return Life(steps, values, tuple(attributes["shape"]), index, np.dtype(attributes["stored_dtype"]))

    order = nodes[group]["attributes"]["order"]
    yield from zip(map(unquote, order), concurrently(life, order, path), strict=True)


def _values(path: Path, array: str, nodes: dict[str, Any]) -> np.ndarray:
    table = _rows(path / array, nodes[array])
    if table is None:
        return da.from_zarr(str(path), component=array).compute(scheduler="sync")
    return table.load()


def _rows(path: Path, node: dict[str, Any]) -> Rows | None:
    """Give an array's table of rows if its steps lie raw on disk, each in one piece."""
    shape, outer = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
    codecs = [codec["name"] for codec in node["codecs"]]
    inner, index_bytes = outer, 0
    if codecs == ["sharding_indexed"]:
        sharding = node["codecs"][0]["configuration"]
        codecs = [codec["name"] for codec in sharding["codecs"]]
        inner = sharding["chunk_shape"]
        index_bytes = 16 * (outer[0] // inner[0]) + 4
    if codecs != ["bytes"] or inner[1:] != shape[1:] or outer[1:] != shape[1:] or not shape[0]:
        return None
    stored = np.dtype(node["data_type"])
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * stored.itemsize
    files, file, offset = [], [], []
    for number in range(-(-shape[0] // outer[0])):
        chunk = str(path.joinpath("c", str(number), *("0" for _ in shape[1:])))
        starts = _starts(chunk, index_bytes, outer[0] // inner[0])
        rows = min(outer[0], shape[0] - number * outer[0])
        starts = starts[: -(-rows // inner[0])]
        if (starts == ABSENT).any():
            return None
        offset.append((starts.astype(np.int64)[:, None] + row_bytes * np.arange(inner[0])).ravel()[:rows])
        file.append(np.full(rows, number, np.int32))
        files.append(chunk)
    return Rows(tuple(files), np.concatenate(file), np.concatenate(offset), tuple(shape[1:]), stored)


def _starts(chunk: str, index_bytes: int, chunks: int) -> np.ndarray:
    """First byte of each inner chunk of a shard, (chunk) uint64, from the index at its end."""
    if not index_bytes:
        return np.zeros(1, np.uint64)
    try:
        with open_bytes(chunk) as file:
            file.seek(-index_bytes, os.SEEK_END)
            index = np.frombuffer(file.read(16 * chunks), "<u8").reshape(chunks, 2)
            length = file.tell() + 4
    except (OSError, ValueError) as error:
        raise DamagedData(
            f"{chunk} was to be read as a shard; {error}. The store is damaged: pack the snapshots again."
        ) from error
    held = index[index[:, 0] != ABSENT]
    if (held.sum(axis=1) > length - index_bytes).any():
        raise DamagedData(
            f"{chunk} was to be read as a shard; its index points beyond its {length} bytes. "
            "The store is damaged: pack the snapshots again."
        )
    return index[:, 0]
