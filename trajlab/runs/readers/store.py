"""Read a packed store: raw chunks and shards are read in place, all other arrays through zarr."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import DamagedData, MissingData, TrajlabError
from trajlab.runs.disk.paths import reaching
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.disk.shards import raw_rows
from trajlab.runs.readers.folder import wrong_facts
from trajlab.runs.tensors import Series, Tensors, attributes_of, common_type, widest
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import BUFFERS, GRADIENTS, METRICS, PROBE, RESULT_VERSION, STORE_VERSION, WEIGHTS, family, tensor_of


def is_store(path: Path) -> bool:
    """Return whether a path is a Zarr group."""
    return (path / "zarr.json").is_file()


def read_store(path: Path) -> Trajectory:
    """Open a packed store without reading its tensors.

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
        left_out = {str(name): str(reason) for name, reason in attributes.get("left_out", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedData(
            f"cannot open {path} as a packed store: its zarr.json was not written by pack ({error!r}); pack the "
            "snapshots again"
        ) from error
    if family(version) == family(RESULT_VERSION):
        raise MissingData(
            f"cannot open {path} as a run: it is the result of {attributes.get('stage', 'a stage')}; name the run, or "
            "open the result with xarray.open_zarr"
        )
    if version != STORE_VERSION:
        raise DamagedData(
            f"cannot open the packed store {path}: its version is {version!r}, this trajlab reads {STORE_VERSION}; "
            "pack the snapshots again, or open it with the trajlab that wrote it"
        )
    with _reading(path, "run"):
        if wrong := wrong_facts(facts):
            raise ValueError(f"its entry {wrong[0]} has the wrong type")
    with _reading(path, METRICS):
        metrics = _dataset(path, METRICS, nodes).compute(scheduler="sync")
    groups = {group: dict(_group(path, group, nodes)) for group in (WEIGHTS, GRADIENTS, BUFFERS)}
    return Trajectory(
        Tensors(groups[WEIGHTS], attributes_of(facts, groups[WEIGHTS]), left_out=left_out),
        Tensors(groups[GRADIENTS], attributes_of(facts, groups[GRADIENTS])),
        Tensors(groups[BUFFERS]),
        metrics=metrics,
        probe=_dataset(path, PROBE, nodes),
        facts=facts,
        source=str(path),
    )


@contextmanager
def _reading(path: Path, part: str) -> Iterator[None]:
    """Name the part of a store that is not as pack wrote it."""
    try:
        with reaching(path):
            yield
    except TrajlabError:
        raise
    except Exception as error:  # damaged metadata and chunks can make zarr raise anything
        reason = " ".join((str(error) or repr(error)).split())[:200]
        raise DamagedData(
            f"cannot read {part} of {path}: {type(error).__name__}: {reason}; the store is damaged, so pack the "
            "snapshots again"
        ) from error


def _dataset(path: Path, group: str, nodes: dict[str, Any]) -> xr.Dataset:
    with _reading(path, group):
        dataset = xr.open_zarr(str(path), group=group, consolidated=True) if group in nodes else xr.Dataset()
        return dataset.rename({node: tensor_of(str(node)) for node in dataset.variables if node not in dataset.dims})


def _group(path: Path, group: str, nodes: dict[str, Any]) -> Iterator[tuple[str, Series]]:
    if group not in nodes:
        return
    with _reading(path, group):
        order = nodes[group]["attributes"]["order"]
        if not isinstance(order, list) or len(set(order)) < len(order):
            raise ValueError(f"the order of its tensors is {order!r}, not distinct names")
        shared = _values(path, f"{group}/step", nodes) if f"{group}/step" in nodes else None

    def read(name: str) -> Series:
        with _reading(path, f"{group}/{name}"):
            return _series(path, f"{group}/{name}", nodes, shared)

    yield from zip(map(tensor_of, order), concurrently(read, order, path), strict=True)


def _series(path: Path, tensor: str, nodes: dict[str, Any], steps: np.ndarray | None) -> Series:
    steps = _values(path, f"{tensor}/step", nodes) if steps is None else steps
    index = _values(path, f"{tensor}/index", nodes) if f"{tensor}/index" in nodes else None
    node = nodes[f"{tensor}/value"]
    shape, types = tuple(node["attributes"]["shape"]), _types(node, len(steps))
    row = shape if index is None else index.shape
    entries = int(np.prod(shape, dtype=np.int64))
    if node["shape"] != [len(steps), *row] or any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"its value has shape {node['shape']}, not that of {len(steps)} steps of shape {row}")
    stored = widest(types)
    if common_type(types) != np.dtype(node["data_type"]):
        raise ValueError(f"its type is {node['data_type']}, training stored {stored}")
    if (np.diff(steps) <= 0).any() or (index is not None and not _valid_index(index, entries)):
        raise ValueError("its steps, or the positions of its entries, do not rise")
    values = raw_rows(path / tensor / "value", node)
    if values is None:
        values = da.from_zarr(str(path), component=f"{tensor}/value")
    mixed = len(types) > 1
    return Series(steps, values, shape, index, stored, np.array(types, dtype=object) if mixed else None)


def _types(node: dict[str, Any], steps: int) -> list[np.dtype]:
    """Return the element type that training stored, or those of all steps where they differ."""
    attributes = node["attributes"]
    if "stored_dtypes" not in attributes:
        return [np.dtype(attributes["stored_dtype"])]
    if len(attributes["stored_dtypes"]) != steps:
        raise ValueError(f"it names {len(attributes['stored_dtypes'])} element types for {steps} steps")
    return [np.dtype(name) for name in attributes["stored_dtypes"]]


def _valid_index(index: np.ndarray, entries: int) -> bool:
    inside = not len(index) or (index[0] >= 0 and index[-1] < entries)
    return bool(inside and (np.diff(index) > 0).all())


def _values(path: Path, array: str, nodes: dict[str, Any]) -> np.ndarray:
    node = nodes[array]
    if len(node["shape"]) != 1 or np.dtype(node["data_type"]) != np.int64:
        raise ValueError(f"{array} is {node['data_type']} of shape {node['shape']}, not int64 of one dim")
    table = raw_rows(path / array, node)
    if table is None:
        return da.from_zarr(str(path), component=array).compute(scheduler="sync")
    return table.load()
