"""Pack a run into one Zarr v3 store: raw shards along the steps, written completely or not at all."""

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dask
import numpy as np
import zarr
from dask.delayed import Delayed, delayed
from zarr.codecs import Crc32cCodec

from trajlab import sizes
from trajlab.errors import BadSetting, MissingData, OutputExists, first_of
from trajlab.runs.disk.atomic import atomic, check_free
from trajlab.runs.disk.checksums import checked_encoding
from trajlab.runs.disk.paths import as_path, is_url, reaching
from trajlab.runs.disk.rows import Rows
from trajlab.runs.disk.shards import write_shard
from trajlab.runs.disk.upload import is_unfinished
from trajlab.runs.open import open as open_trajectory
from trajlab.runs.optimizer import split_name
from trajlab.runs.readers.store import has_checksums, is_store, read_store
from trajlab.runs.tensors import Series, Tensors
from trajlab.runs.trajectory import Trajectory, nodes_of
from trajlab.runs.trust import find_mark, leave_mark
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


def pack(
    source: Trajectory | str | Path, store: str | Path, *, optimizer: bool = True, overwrite: bool = False
) -> Path:
    """Write a run as one Zarr v3 store that plain `xarray.open_datatree` opens.

    Packing again after more snapshots adds only the new steps. A store is replaced only when the new one is complete.

    Parameters
    ----------
    source
        A trajectory, or the path of one.
    store
        Path or URL of the store; a name that ends in .zarr lets xarray recognize it.
    optimizer
        Whether to keep the state of the optimizer, where checkpoints hold it; Adam's is twice as large as the weights.
    overwrite
        Replace a store of another run.

    Raises
    ------
    OutputExists
        The store holds another run, or steps that the source lacks.
    MissingData
        The source holds no tensors, or tensors whose shape changes, which the store would lose.
    TrajlabError
        The disk is full.
    """
    target = as_path(store)
    run = source if isinstance(source, Trajectory) else open_trajectory(source)
    run = run if optimizer else run.without_optimizer()
    with reaching(target):
        exists = target.exists()
    if run.source and exists and target.resolve() == as_path(run.source).resolve():
        raise OutputExists(f"cannot pack {target} into itself; choose another name for the store")
    if not run.weights and not run.gradients:
        raise MissingData(f"cannot pack {run.source or 'the run'}: it holds no tensors; name a run with snapshots")
    check_keeps_all(run, "pack")
    earlier = None
    if exists and not overwrite:
        earlier = _extended(target, run)
        if _nothing_new(earlier, run):
            return target
        earlier = earlier if has_checksums(target) else None  # a store of an earlier version is written anew
    with atomic(target, replaces=STORE_VERSION if exists else None, extends=earlier is not None, streams=True) as part:
        dask.compute(*_write(part, run, target, earlier))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            zarr.consolidate_metadata(str(part))
    if run.trusted:
        mark = find_mark(run.source, run.facts) if run.source else None
        leave_mark(target, run.facts, root=mark.root if mark else None)
    return target


def _nothing_new(earlier: Trajectory, run: Trajectory) -> bool:
    same = [
        name in packed.series and len(series.steps) == len(packed.series[name].steps)
        for packed, tensors in _groups(earlier, run)
        for name, series in tensors.series.items()
    ]
    return all(same) and earlier.metrics.sizes == run.metrics.sizes and _names(earlier) == _names(run)


def _names(run: Trajectory) -> set[str]:
    return set(map(str, run.metrics.variables))


def _groups(earlier: Trajectory, run: Trajectory) -> list[tuple[Tensors, Tensors]]:
    return [
        (earlier.weights, run.weights),
        (earlier.gradients, run.gradients),
        (earlier.buffers, run.buffers),
        (earlier.optimizer.tensors, run.optimizer.tensors),
    ]


def _extended(target: Path, run: Trajectory) -> Trajectory:
    """Open the store at the target; raise OutputExists unless the run continues it."""
    if is_unfinished(target):
        check_free(target)
    if not is_store(target):
        raise OutputExists(f"cannot write {target}: something else is there; choose another name, or remove it")
    earlier = read_store(target)
    same = earlier.facts.get("describe") == run.facts.get("describe")
    for packed, tensors in _groups(earlier, run):
        for name, series in packed.series.items():
            new = tensors.series.get(name)
            same &= new is not None and new.shape == series.shape and _starts_with(new.steps, series.steps)
            same &= new is not None and new.values.dtype == series.values.dtype
            same &= new is not None and types_of(new)[: len(series.steps)] == types_of(series)
            if same and new is not None and len(series.steps):
                same = all(_row(series, at) == _row(new, at) for at in (0, len(series.steps) - 1))
    if not same:
        raise OutputExists(
            f"cannot extend {target}: it holds another run, or steps that these snapshots lack; choose another name, "
            "or pass --overwrite"
        )
    return earlier


def check_keeps_all(run: Trajectory, verb: str) -> None:
    """Raise MissingData if a copy of a run would lose tensors, as their shape changes.

    Parameters
    ----------
    run
        The run.
    verb
        What is done with it, for the error.
    """
    if run.weights.unusable:
        names = list(run.weights.unusable)
        reasons = first_of((f"{name}: {reason}" for name, reason in run.weights.unusable.items()), 4, "; ")
        keep = "|".join(re.escape(name) for name in names[:4])
        tensors = f"{len(names)} tensors" if len(names) > 1 else "a tensor"
        raise MissingData(
            f"cannot {verb} {run.source or 'the run'}: found {tensors} whose shape or type changes over the steps "
            f"({reasons}); {verb} the steps before and after the change as two folders, or leave "
            f"{'them' if len(names) > 1 else 'it'} out with --parameters '^(?!({keep})$)'"
        )


def types_of(series: Series) -> list[str]:
    """Return the names of the element types that training stored, one for each step."""
    return [series.stored_at(position).name for position in range(len(series.steps))]


def _row(series: Series, position: int) -> bytes:
    """Return the bits of one row."""
    values = series.values[position : position + 1]
    rows = values.load() if isinstance(values, Rows) else np.asarray(values)
    return np.ascontiguousarray(rows).tobytes()


def _starts_with(steps: np.ndarray, beginning: np.ndarray) -> bool:
    return len(steps) >= len(beginning) and bool((steps[: len(beginning)] == beginning).all())


def _write(part: Path, run: Trajectory, target: Path, earlier: Trajectory | None) -> Iterator[Delayed]:
    """Lay out the store in a temporary folder; yield the tasks that write its shards, there or to the target's URL."""
    root = zarr.open_group(str(part), mode="w", zarr_format=3)
    left_out: dict[str, Any] = {"left_out": run.weights.left_out, "optimizer_left_out": run.optimizer.left_out}
    said = {key: reasons for key, reasons in left_out.items() if reasons}
    root.attrs.update(said | {"Conventions": STORE_VERSION, "run": run.facts})
    packed_before = [None] * 4 if earlier is None else [before for before, _ in _groups(earlier, run)]
    tensors_of = (run.weights, run.gradients, run.buffers, run.optimizer.tensors)
    for name, tensors, before in zip((WEIGHTS, GRADIENTS, BUFFERS, OPTIMIZER), tensors_of, packed_before, strict=True):
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
            yield from _shards(node, part / value, target / value, packed.get(tensor), series, dims, attrs)
    for name, dataset in (
        (METRICS, run.metrics), (PROBE, run.probe), (HYPERPARAMETERS, run.optimizer.hyperparameters)
    ):  # fmt: skip
        if dataset.sizes:
            named = dataset.rename(nodes_of(dataset))
            named.to_zarr(
                str(part), group=name, mode="a", consolidated=False, zarr_format=3, encoding=checked_encoding(named)
            )


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
    attrs: dict[str, Any],
) -> Iterator[Delayed]:  # fmt: skip
    """Create one array and yield the tasks that write its shards; complete shards of the packed store stay."""
    dtype = series.values.dtype
    rows, row_shape = len(series.steps), tuple(series.values.shape[0 if isinstance(series.values, Rows) else 1 :])
    row_bytes = max(int(np.prod(row_shape, dtype=np.int64)) * dtype.itemsize, 1)
    per_chunk = min(max(1, sizes.PACKED_CHUNK_BYTES // row_bytes), sizes.PACKED_CHUNK_STEPS)
    per_shard = per_chunk * max(1, sizes.SHARD_BYTES // (per_chunk * row_bytes))
    tail = tuple(max(n, 1) for n in row_shape)
    node.create_array(
        "value", shape=(rows, *row_shape), dtype=dtype, chunks=(per_chunk, *tail), shards=(per_shard, *tail),
        compressors=Crc32cCodec(), filters=None, fill_value=0, dimension_names=dims, attributes=attrs,
    )  # fmt: skip
    if 0 in row_shape:
        return
    for number, start in enumerate(range(0, rows, per_shard)):
        stop = min(start + per_shard, rows)
        name = Path("c", str(number), *("0" for _ in row_shape))
        if packed is None or len(packed.steps) < start + per_shard:
            rows_of_shard, to = _rows(series, start, stop), target / name if is_url(target) else None
            yield delayed(write_shard, pure=False)(part / name, rows_of_shard, per_chunk, per_shard, row_bytes, to)
        elif not is_url(target):
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(target / name, part / name)


def _rows(series: Series, start: int, stop: int) -> Rows | Callable[[], np.ndarray]:
    """Return some rows, or a function that computes them: dask would compute an array before it calls the task."""
    values = series.values[start:stop]
    return values if isinstance(values, Rows) else lambda: np.asarray(values)
