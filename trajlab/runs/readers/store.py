"""Read a packed store: raw chunks and shards are read in place, all other arrays through zarr."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from dask.base import tokenize

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.bounds import check_sizes
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.inside import check_inside, check_tree
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import concurrently, read_bytes
from trajlab.runs.disk.shards import is_checked, is_sharded, raw_rows, read_coordinate
from trajlab.runs.disk.store_nodes import nodes_of_store, readable_nodes, unchanged
from trajlab.runs.optimizer import OptimizerState, moment_attributes
from trajlab.runs.readers.folder import check_facts
from trajlab.runs.tensors import Series, Tensors, attributes_of, common_type, widest
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import (
    BUFFERS,
    GRADIENTS,
    HYPERPARAMETERS,
    METRICS,
    OPTIMIZER,
    PROBE,
    RESULT_VERSION,
    STORE_FILE,
    STORE_VERSION,
    WEIGHTS,
    family,
    tensor_of,
)

REMEDY = "the store is damaged, so pack the snapshots again"


def is_store(path: Path) -> bool:
    """Return whether a path is a Zarr group."""
    return (path / STORE_FILE).is_file()


def has_checksums(path: Path) -> bool:
    """Return whether the tensors of a store have checksums; those of earlier versions have none."""
    nodes = nodes_of_store(path)
    sharded = [node for node in nodes.values() if is_sharded(node)]
    return bool(sharded) and all(is_checked(node) for node in sharded)


def read_store(path: Path, *, trust: bool = False) -> Trajectory:
    """Open a packed store without reading its tensors.

    Parameters
    ----------
    path
        The store.
    trust
        Follow symbolic links that leave the store.

    Raises
    ------
    UntrustedCode
        A file is a link that leaves the store.
    DamagedData
        The store is damaged, or of another version.
    """
    return unchanged(path, lambda: _read_store(path, trust=trust))


def _read_store(path: Path, *, trust: bool) -> Trajectory:
    remedy = (
        "its zarr.json is damaged or was not written by pack; pack the snapshots again, or compute the result again"
    )
    with reading(path, remedy, form="a packed store"):
        root = parse_json(read_bytes(path / STORE_FILE))
        attributes = root["attributes"]
        nodes = readable_nodes(root["consolidated_metadata"]["metadata"])
        version, facts = attributes.get("Conventions"), attributes.get("run", {})
        left_out, of_optimizer = (
            {str(name): str(reason) for name, reason in attributes.get(key, {}).items()}
            for key in ("left_out", "optimizer_left_out")
        )
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
        check_facts(facts)
    for group in (METRICS, PROBE, HYPERPARAMETERS):
        with _reading(path, group):
            check_tree(path / group, path, trust=trust)
    with _reading(path, METRICS):
        metrics = _dataset(path, METRICS, nodes).compute(scheduler="sync")
    with _reading(path, HYPERPARAMETERS):
        hyperparameters = _dataset(path, HYPERPARAMETERS, nodes).compute(scheduler="sync")
    groups = {group: dict(_group(path, group, nodes, trust)) for group in (WEIGHTS, GRADIENTS, BUFFERS, OPTIMIZER)}
    moments = Tensors(groups[OPTIMIZER], moment_attributes(facts, groups[WEIGHTS]))
    return Trajectory(
        Tensors(groups[WEIGHTS], attributes_of(facts, groups[WEIGHTS]), left_out=left_out),
        Tensors(groups[GRADIENTS], attributes_of(facts, groups[GRADIENTS], groups[WEIGHTS])),
        Tensors(groups[BUFFERS]),
        metrics=metrics,
        probe=_dataset(path, PROBE, nodes),
        facts=facts,
        source=str(path),
        optimizer=OptimizerState(moments, hyperparameters, of_optimizer),
    )


def _reading(path: Path, part: str) -> AbstractContextManager[None]:
    """Name the part of a store that is not as pack wrote it."""
    return reading(path, REMEDY, part=part)


class _Stored:
    """An array of a store, read through zarr when it is indexed, as dask takes it.

    Parameters
    ----------
    path
        The store.
    name
        The array in it.
    values
        What is indexed: a Zarr array, or a variable of xarray, which decodes one.
    """

    def __init__(self, path: Path, name: str, values: Any):
        self.path, self.name, self.values = path, name, values
        self.shape, self.dtype, self.ndim = tuple(values.shape), values.dtype, len(values.shape)

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        with _reading(self.path, self.name):
            return np.asarray(self.values[index])


def _lazy(path: Path, name: str, values: Any, chunks: Any) -> da.Array:
    token = f"stored-{tokenize(str(path), name, tuple(values.shape), str(values.dtype), _changed(path))}"
    return da.from_array(_Stored(path, name, values), chunks=chunks, name=token, asarray=False, fancy=False)


def _changed(path: Path) -> int | str:
    """Return when a store was written; of one behind a URL, which does not say it, the URL."""
    return str(path) if is_url(path) else (path / STORE_FILE).stat().st_mtime_ns


def _array(path: Path, name: str) -> da.Array:
    """Open an array of a store that does not lie raw on disk."""
    array: Any = zarr.open_group(str(path), mode="r", use_consolidated=True)[name]
    return _lazy(path, name, array, array.chunks)


def _dataset(path: Path, group: str, nodes: dict[str, Any]) -> xr.Dataset:
    with _reading(path, group):
        if group not in nodes:
            return xr.Dataset()
        check_sizes(path, {name: node for name, node in nodes.items() if name.startswith(f"{group}/")})
        dataset = xr.open_zarr(str(path), group=group, consolidated=True, chunks=None)
        for name, variable in dataset.variables.items():
            if name not in dataset.indexes:
                chunks = variable.encoding.get("chunks") or "auto"
                values = _lazy(path, f"{group}/{name}", variable, chunks) if variable.ndim else variable.values
                dataset[name] = variable.copy(data=values)
        return dataset.rename({node: tensor_of(str(node)) for node in dataset.variables if node not in dataset.dims})


def _group(path: Path, group: str, nodes: dict[str, Any], trust: bool) -> Iterator[tuple[str, Series]]:
    if group not in nodes:
        return
    with _reading(path, group):
        order = nodes[group]["attributes"]["order"]
        if not isinstance(order, list) or len(set(order)) < len(order):
            raise ValueError(f"the order of its tensors is {order!r}, not distinct names")
        shared = _values(path, f"{group}/step", nodes) if f"{group}/step" in nodes else None

    def read(name: str) -> Series:
        with _reading(path, f"{group}/{name}"):
            if not trust:
                check_inside(path / group / name / "value", path)
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
    rows = raw_rows(path / tensor / "value", node)
    values = _array(path, f"{tensor}/value") if rows is None else rows
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
    values = read_coordinate(path / array, node)
    return _array(path, array).compute(scheduler="sync") if values is None else values
