"""Pack a run into one Zarr v3 store: raw shards along the steps, written completely or not at all."""

import re
import warnings
from pathlib import Path

import dask
import numpy as np
import zarr

from trajlab.errors import MissingData, OutputExists, first_of
from trajlab.runs.disk.atomic import atomic, check_free
from trajlab.runs.disk.paths import as_path, is_url, reaching
from trajlab.runs.disk.rows import Rows
from trajlab.runs.disk.shards import is_sharded
from trajlab.runs.disk.upload import is_unfinished, stored_version
from trajlab.runs.open import open as open_trajectory
from trajlab.runs.packed_layout import all_tensors, fits, lay_out, types_of
from trajlab.runs.readers.store import has_checksums, is_store, read_store
from trajlab.runs.tensors import Series, Tensors
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.trust import find_mark, leave_mark
from trajlab.schema import STORE_VERSION


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
    nodes = stored_version(target)[0] if exists else {}
    if earlier is not None and not (has_checksums(target) and fits(nodes, run)):
        earlier = None  # an earlier version wrote the store in another layout
    growing = [] if earlier is None else [path for path, node in nodes.items() if is_sharded(node)]
    nodes = nodes if growing or is_url(target) else {}
    with atomic(target, replaces=STORE_VERSION if exists else None, growing=growing, streams=True) as part:
        dask.compute(*lay_out(part, run, target, earlier, nodes))
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
    return list(zip(all_tensors(earlier), all_tensors(run), strict=True))


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


def _row(series: Series, position: int) -> bytes:
    """Return the bits of one row."""
    values = series.values[position : position + 1]
    rows = values.load() if isinstance(values, Rows) else np.asarray(values)
    return np.ascontiguousarray(rows).tobytes()


def _starts_with(steps: np.ndarray, beginning: np.ndarray) -> bool:
    return len(steps) >= len(beginning) and bool((steps[: len(beginning)] == beginning).all())
