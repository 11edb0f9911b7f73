"""Layout of a packed store: its arrays, their chunks and shards, and the tasks that write them."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from dask.delayed import Delayed, delayed
from zarr.codecs import Crc32cCodec

from trajlab import sizes
from trajlab.errors import BadSetting
from trajlab.runs.disk.checksums import checked_encoding
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.rows import Rows
from trajlab.runs.disk.shards import is_sharded, rows_per_chunk_and_shard, write_shard
from trajlab.runs.disk.store_keys import FIRST, Encoding, chunk_key, encoding_of, other_encoding
from trajlab.runs.optimizer import split_name
from trajlab.runs.tensors import Series, Tensors
from trajlab.runs.trajectory import Trajectory, nodes_of
from trajlab.schema import (
    BUFFERS,
    GRADIENTS,
    HYPERPARAMETERS,
    METRICS,
    OPTIMIZER,
    PROBE,
    STORE_VERSION,
    WEIGHTS,
    node_of,
)

LONGEST_NODE = 255
"""Longest name of a file or folder on usual file systems."""


def all_tensors(run: Trajectory) -> tuple[Tensors, Tensors, Tensors, Tensors]:
    """Return the weights, gradients, buffers and moments of a run."""
    return run.weights, run.gradients, run.buffers, run.optimizer.tensors


def types_of(series: Series) -> list[str]:
    """Return the names of the element types that training stored, one for each step."""
    return [series.stored_at(position).name for position in range(len(series.steps))]


def lay_out(
    part: Path, run: Trajectory, target: Path, earlier: Trajectory | None, nodes: Mapping[str, Any]
) -> Iterator[Delayed]:
    """Lay out a store in a temporary folder, and yield the tasks that write its shards.

    Parameters
    ----------
    part
        The temporary folder.
    run
        The run.
    target
        Path or URL of the store; shards behind a URL are moved there once written.
    earlier
        The run in the store that is extended; its complete shards stay. None to write all shards.
    nodes
        Metadata of the store's present arrays, if they grow, or stay readable until they are replaced; else empty.

    Raises
    ------
    BadSetting
        The name of a tensor is longer than the name of a folder may be.
    """
    root = zarr.open_group(str(part), mode="w", zarr_format=3)
    left_out: dict[str, Any] = {"left_out": run.weights.left_out, "optimizer_left_out": run.optimizer.left_out}
    said = {key: reasons for key, reasons in left_out.items() if reasons}
    root.attrs.update(said | {"Conventions": STORE_VERSION, "run": run.facts})
    packed_before = (None,) * 4 if earlier is None else all_tensors(earlier)
    groups = zip((WEIGHTS, GRADIENTS, BUFFERS, OPTIMIZER), all_tensors(run), packed_before, strict=True)
    for name, tensors, before in groups:
        if not tensors:
            continue
        group = root.create_group(name)
        order = [_node(name, tensor) for tensor in tensors]
        _check_lengths(tensors, order)
        group.attrs["order"] = order
        steps = [series.steps for series in tensors.series.values()]
        shared = all(np.array_equal(steps[0], other) for other in steps)
        if shared:
            _coordinate(group, "step", steps[0])
        packed = {} if before is None else before.series
        for encoded, (tensor, series) in zip(order, tensors.series.items(), strict=True):
            node = group.create_group(encoded)
            if not shared:
                _coordinate(node, "step", series.steps)
            if series.index is not None:
                _coordinate(node, "index", series.index, "sample")
            value = Path(name) / encoded / "value"
            mixed = {} if series.types is None else {"stored_dtypes": types_of(series)}
            dims, attrs = [str(dim) for dim in tensors[tensor].dims], tensors[tensor].attrs | mixed
            encoding = _encoding(nodes.get(value.as_posix()), grows=tensor in packed)
            yield from _shards(node, part / value, target / value, packed.get(tensor), series, dims, attrs, encoding)
    for name, dataset in (
        (METRICS, run.metrics), (PROBE, run.probe), (HYPERPARAMETERS, run.optimizer.hyperparameters)
    ):  # fmt: skip
        if dataset.sizes:
            named = dataset.rename(nodes_of(dataset))
            named.to_zarr(
                str(part), group=name, mode="a", consolidated=False, zarr_format=3, encoding=checked_encoding(named)
            )


def fits(nodes: Mapping[str, Any], run: Trajectory) -> bool:
    """Return whether the chunks and shards of a store have the sizes that packing the run now would give them."""
    for name, tensors in zip((WEIGHTS, GRADIENTS, BUFFERS, OPTIMIZER), all_tensors(run), strict=True):
        for tensor, series in tensors.series.items():
            node = nodes.get(f"{name}/{_node(name, tensor)}/value")
            if node is not None and is_sharded(node) and rows_per_chunk_and_shard(node) != _layout(_row_bytes(series)):
                return False
    return True


def _node(group: str, tensor: str) -> str:
    """Return the path of a tensor in its group: a name, or for moments two."""
    return "/".join(map(node_of, split_name(tensor))) if group == OPTIMIZER else node_of(tensor)


def _check_lengths(names: Iterable[str], nodes: Iterable[str]) -> None:
    """Raise BadSetting if the folder of a tensor would have a longer name than file systems allow."""
    for name, node in zip(names, nodes, strict=True):
        if max(map(len, node.split("/"))) > LONGEST_NODE:
            raise BadSetting(
                f"cannot pack the tensor {name[:60]!r}…: found {len(node):,} characters in the name of its folder, "
                f"{LONGEST_NODE} is the limit; rename it, or leave it out with --parameters '^.{{,80}}$'"
            )


def _coordinate(group: zarr.Group, name: str, values: np.ndarray, dim: str | None = None) -> None:
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=(max(len(values), 1),), compressors=Crc32cCodec(),
        dimension_names=[dim or name], config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = values


def _shards(
    node: zarr.Group, part: Path, target: Path, packed: Series | None, series: Series, dims: Sequence[str],
    attrs: dict[str, Any], encoding: Encoding,
) -> Iterator[Delayed]:  # fmt: skip
    """Create one array and yield the tasks that write its shards; complete shards of the packed store stay."""
    dtype = series.values.dtype
    rows, row_shape = len(series.steps), _row_shape(series)
    row_bytes = _row_bytes(series)
    per_chunk, per_shard = _layout(row_bytes)
    tail = tuple(max(n, 1) for n in row_shape)
    node.create_array(
        "value", shape=(rows, *row_shape), dtype=dtype, chunks=(per_chunk, *tail), shards=(per_shard, *tail),
        compressors=Crc32cCodec(), filters=None, fill_value=0, dimension_names=dims, attributes=attrs,
        chunk_key_encoding=encoding,
    )  # fmt: skip
    if 0 in row_shape:
        return
    for number, start in enumerate(range(0, rows, per_shard)):
        stop = min(start + per_shard, rows)
        name = chunk_key(encoding, (number, *(0 for _ in row_shape)))
        if packed is None or len(packed.steps) < start + per_shard:
            rows_of_shard, to = _rows(series, start, stop), target / name if is_url(target) else None
            yield delayed(write_shard, pure=False)(part / name, rows_of_shard, per_chunk, per_shard, row_bytes, to)
        elif not is_url(target):
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(target / name, part / name)


def _row_shape(series: Series) -> tuple[int, ...]:
    return tuple(series.values.shape[0 if isinstance(series.values, Rows) else 1 :])


def _row_bytes(series: Series) -> int:
    return max(math.prod(_row_shape(series)) * series.values.dtype.itemsize, 1)


def _layout(row_bytes: int) -> tuple[int, int]:
    """Return the numbers of rows in a chunk and in a shard."""
    per_chunk = min(max(1, sizes.PACKED_CHUNK_BYTES // row_bytes), sizes.PACKED_CHUNK_STEPS)
    return per_chunk, per_chunk * max(1, sizes.SHARD_BYTES // (per_chunk * row_bytes))


def _encoding(node: Mapping[str, Any] | None, *, grows: bool) -> Encoding:
    """Return the encoding of chunk keys: that of the stored array if it grows, another if it is replaced."""
    if node is None or node["node_type"] != "array":
        return FIRST
    return encoding_of(node) if grows else other_encoding(encoding_of(node))


def _rows(series: Series, start: int, stop: int) -> Rows | Callable[[], np.ndarray]:
    """Return some rows, or a function that computes them: dask would compute an array before it calls the task."""
    values = series.values[start:stop]
    return values if isinstance(values, Rows) else lambda: np.asarray(values)
