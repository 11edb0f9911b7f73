"""Snapshots into one Zarr v3 store: raw shards along the steps, written whole or not at all."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import google_crc32c
import numpy as np
import zarr
from dask.delayed import Delayed, delayed

from trajlab import sizes
from trajlab.errors import MissingData, OutputExists
from trajlab.runs.disk.atomic import atomic, check_free
from trajlab.runs.disk.paths import as_path, is_url, reaching
from trajlab.runs.disk.rows import Rows
from trajlab.runs.disk.upload import is_unfinished, move
from trajlab.runs.readers.store import ABSENT, is_store, read_store
from trajlab.runs.tensors import Recording, Series, Tensors, dims_of
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.trajectory import open as open_trajectory
from trajlab.schema import BUFFERS, GRADIENTS, METRICS, PROBE, STORE_VERSION, WEIGHTS, node_of


def pack(source: Trajectory | str | Path, store: str | Path, *, overwrite: bool = False) -> Path:
    """Write a run as one Zarr v3 store that plain `xarray.open_datatree` opens.

    Packing again after more snapshots adds only the new steps. The store is complete or not there: until the last
    byte is written, what stood in its place stays.

    Parameters
    ----------
    source
        A trajectory, or the path of one.
    store
        Where to write; should end in .zarr, so that xarray knows it by its name.
    overwrite
        Replace a store that holds something else.

    Raises
    ------
    OutputExists
        The store holds another run, or steps that the source lacks.
    MissingData
        The source holds no tensors.
    TrajlabError
        The disk is full.
    """
    target = as_path(store)
    run = source if isinstance(source, Trajectory) else open_trajectory(source)
    with reaching(target):
        exists = target.exists()
    if run.source and exists and target.resolve() == as_path(run.source).resolve():
        raise OutputExists(f"{target} was to be packed into itself. Choose another name for the store.")
    if not run.weights and not run.gradients:
        raise MissingData(f"tensors were to be packed into {target}; the run holds none. Name a run with snapshots.")
    earlier = None
    if exists and not overwrite:
        earlier = _extended(target, run)
        if _nothing_new(earlier, run):
            return target
    with atomic(target, replaces=STORE_VERSION if exists else None, extends=earlier is not None) as part:
        dask.compute(*_write(part, run, target, earlier))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            zarr.consolidate_metadata(str(part))
    return target


def _nothing_new(earlier: Recording, run: Trajectory) -> bool:
    held = [
        name in lives and len(life.steps) == len(lives[name].steps)
        for lives, tensors in _groups(earlier, run)
        for name, life in tensors.lives.items()
    ]
    return all(held) and earlier.metrics.sizes == run.metrics.sizes


def _groups(earlier: Recording, run: Trajectory) -> list[tuple[dict[str, Series], Tensors]]:
    return [
        (earlier.weights.lives, run.weights),
        (earlier.gradients.lives, run.gradients),
        (earlier.buffers.lives, run.buffers),
    ]


def _extended(target: Path, run: Trajectory) -> Recording:
    """Give what the store holds if the run goes on where it ends."""
    if is_unfinished(target):
        check_free(target)
    if not is_store(target):
        raise OutputExists(f"{target} was to be written; something else is there. Choose another name, or remove it.")
    earlier = read_store(target)
    same = earlier.facts.get("describe") == run.facts.get("describe")
    for lives, tensors in _groups(earlier, run):
        for name, life in lives.items():
            new = tensors.lives.get(name)
            same &= new is not None and new.shape == life.shape and _starts_with(new.steps, life.steps)
            same &= new is not None and new.stored == life.stored
            if same and new is not None and len(life.steps):
                same = all(_row(life, at) == _row(new, at) for at in (0, len(life.steps) - 1))
    if not same:
        raise OutputExists(
            f"{target} was to be extended; it holds another run, or steps that these snapshots lack. "
            "Choose another name, or pass --overwrite."
        )
    return earlier


def _row(life: Series, position: int) -> bytes:
    """Give the bits of one row."""
    values = life.values[position : position + 1]
    rows = values.load() if isinstance(values, Rows) else np.asarray(values)
    return np.ascontiguousarray(rows).tobytes()


def _starts_with(steps: np.ndarray, beginning: np.ndarray) -> bool:
    return len(steps) >= len(beginning) and bool((steps[: len(beginning)] == beginning).all())


def _write(part: Path, run: Trajectory, target: Path, earlier: Recording | None) -> Iterator[Delayed]:
    """Lay out the store in a part folder and give the tasks that write its shards, there or behind the target's URL."""
    root = zarr.open_group(str(part), mode="w", zarr_format=3)
    root.attrs.update({"Conventions": STORE_VERSION, "run": run.facts})
    groups = ((WEIGHTS, run.weights), (GRADIENTS, run.gradients), (BUFFERS, run.buffers))
    for name, tensors in groups:
        if not tensors:
            continue
        group = root.create_group(name)
        order = [node_of(tensor) for tensor in tensors]
        group.attrs["order"] = order
        steps = [life.steps for life in tensors.lives.values()]
        shared = all(np.array_equal(steps[0], other) for other in steps)
        if shared:
            _coordinate(group, "step", steps[0])
        lives = {} if earlier is None else getattr(earlier, name).lives
        for encoded, (tensor, life) in zip(order, tensors.lives.items(), strict=True):
            node = group.create_group(encoded)
            if not shared:
                _coordinate(node, "step", life.steps)
            if life.index is not None:
                _coordinate(node, "index", life.index, "sample")
            value = Path(name) / encoded / "value"
            yield from _shards(node, part / value, target / value, lives.get(tensor), life, tensors[tensor].attrs)
    for name, dataset in ((METRICS, run.metrics), (PROBE, run.probe)):
        if dataset.sizes:
            dataset.rename({key: node_of(str(key)) for key in dataset.data_vars}).to_zarr(
                str(part), group=name, mode="a", consolidated=False, zarr_format=3
            )


def _coordinate(group: zarr.Group, name: str, values: np.ndarray, dim: str | None = None) -> None:
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=(max(len(values), 1),), compressors=None,
        dimension_names=[dim or name], config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = values


def _shards(
    node: zarr.Group, part: Path, target: Path, held: Series | None, life: Series, attrs: dict[str, Any]
) -> Iterator[Delayed]:
    """Create one array, and give the tasks that write its shards; those that are complete already are kept."""
    dtype = life.values.dtype
    rows, row_shape = len(life.steps), tuple(life.values.shape[0 if isinstance(life.values, Rows) else 1 :])
    row_bytes = max(int(np.prod(row_shape, dtype=np.int64)) * dtype.itemsize, 1)
    per_chunk = min(max(1, sizes.PACKED_CHUNK_BYTES // row_bytes), sizes.PACKED_CHUNK_STEPS)
    per_shard = per_chunk * max(1, sizes.SHARD_BYTES // (per_chunk * row_bytes))
    tail = tuple(max(n, 1) for n in row_shape)
    node.create_array(
        "value", shape=(rows, *row_shape), dtype=dtype, chunks=(per_chunk, *tail), shards=(per_shard, *tail),
        compressors=None, filters=None, fill_value=0, dimension_names=dims_of(life), attributes=attrs,
    )  # fmt: skip
    if 0 in row_shape:
        return
    for number, start in enumerate(range(0, rows, per_shard)):
        stop = min(start + per_shard, rows)
        name = Path("c", str(number), *("0" for _ in row_shape))
        if held is None or len(held.steps) < start + per_shard:
            to = target / name if is_url(target) else None
            yield delayed(_write_shard, pure=False)(part / name, _piece(life, start, stop), per_chunk, per_shard,
                                                    row_bytes, to)  # fmt: skip
        elif not is_url(target):
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(target / name, part / name)


def _piece(life: Series, start: int, stop: int) -> Rows | Callable[[], np.ndarray]:
    """Give rows without computing them now: dask must not see an array as its own."""
    values = life.values[start:stop]
    return values if isinstance(values, Rows) else lambda: np.asarray(values)


def _write_shard(
    path: Path, rows: Rows | Callable[[], np.ndarray], per_chunk: int, per_shard: int, row_bytes: int,
    target: Path | None,
) -> None:  # fmt: skip
    """Write one shard: its chunks end to end, then the index of where each begins and how long it is.

    A shard for a URL is moved there as soon as it is complete, so that the disk never holds more than a few.

    The layout is the one of the sharding codec of Zarr v3 with raw little-endian chunks and the index at the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    views = rows.views() if isinstance(rows, Rows) else rows().reshape(-1, row_bytes // rows().dtype.itemsize)
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
        file.write(tail + google_crc32c.value(tail).to_bytes(4, "little"))
    if target is not None:
        move(path, target)
