"""A training run as labeled lazy arrays over the steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.places import place, reaching
from trajlab.schema import BUFFERS, GRADIENTS, METRICS, PROBE, RUN_FILE, WEIGHTS
from trajlab.snapshots.checkpoints import has_checkpoints
from trajlab.snapshots.folder import read_folder
from trajlab.snapshots.remote import survey
from trajlab.snapshots.store import is_store, read_store
from trajlab.snapshots.tensors import Life, Recording, Tensors, attributes_of
from trajlab.uploading import is_unfinished

if TYPE_CHECKING:
    import torch


class Trajectory:
    """A training run: all its tensors at all recorded steps, lazily.

    Attributes
    ----------
    weights, gradients, buffers
        Arrays by name in network order, dims ``(step, out, in, y, x)`` as far as a tensor has them, or
        ``(step, sample)`` with the coord `index` where only a sample of the entries was recorded. Each has the steps
        at which it was recorded.
    metrics
        What was measured while training, dims ``(step)``.
    probe
        The fixed batch that snapshots are replayed on: `inputs` and `targets`, with its `sha256` in attrs.
    facts
        What made the run, as in run.json.
    source
        Where the run was opened; empty for one in memory.
    """

    def __init__(self, recording: Recording, source: str = ""):
        self.source = source
        self.weights = recording.weights
        self.gradients = recording.gradients
        self.buffers = recording.buffers
        self.metrics = recording.metrics
        self.probe = recording.probe
        self.facts = recording.facts

    @property
    def steps(self) -> np.ndarray:
        """Steps at which any weight was recorded, (step)."""
        lives = self.weights.lives.values()
        return np.unique(np.concatenate([life.steps for life in lives] or [np.empty(0, np.int64)]))

    @property
    def tree(self) -> xr.DataTree:
        """The run as a tree: /weights/<name>/value and so on, as in a packed store."""
        nodes = {f"/{METRICS}": self.metrics, f"/{PROBE}": self.probe}
        for group, tensors in ((WEIGHTS, self.weights), (GRADIENTS, self.gradients), (BUFFERS, self.buffers)):
            nodes |= {
                f"/{group}/{quote(name, safe=' .-_')}": tensors[name].to_dataset(name="value") for name in tensors
            }
        return xr.DataTree.from_dict(nodes)

    def at(self, step: int, *, partial: bool = False) -> "dict[str, torch.Tensor]":
        """Give the weights and buffers of one step as a state_dict, in the element types they were stored in.

        Parameters
        ----------
        step
            The step.
        partial
            Leave out tensors that were not recorded at the step.

        Raises
        ------
        MissingData
            A tensor was not recorded at the step.
        """
        import torch

        state = {}
        for tensors in (self.weights, self.buffers):
            for name, life in tensors.lives.items():
                position = int(np.searchsorted(life.steps, step))
                if position == len(life.steps) or life.steps[position] != step:
                    if partial:
                        continue
                    near = life.steps[max(position - 2, 0) : position + 2].tolist()
                    raise MissingData(
                        f"{name} at step {step} was asked for; it was recorded at {near}. Choose one of these."
                    )
                values = tensors[name].data[position]
                array = np.array(values.compute(scheduler="sync") if hasattr(values, "compute") else values)
                state[name] = torch.from_numpy(array).to(getattr(torch, _torch_name(life.stored)))
        tied = {alias: name for alias, name in self.facts.get("tied", {}).items() if name in state}
        return state | {alias: state[name] for alias, name in tied.items()}

    def __repr__(self) -> str:
        steps = self.steps
        span = f"steps {steps[0]} to {steps[-1]}" if len(steps) else "no steps"
        return (
            f"<Trajectory: {len(self.weights)} weights, {len(self.gradients)} gradients, "
            f"{len(self.buffers)} buffers; {len(steps)} snapshots, {span}>"
        )


def _torch_name(stored: np.dtype) -> str:
    return {"float8_e4m3fn": "float8_e4m3fn", "float8_e5m2": "float8_e5m2"}.get(stored.name, stored.name)


def open(path: str | Path, *, step_pattern: str | None = None) -> Trajectory:
    """Open a packed store, a run folder, or any folder of checkpoints, lazily.

    Checkpoints are safetensors, single or sharded, or PyTorch files that hold weights only; folders or flat files
    with the step in the name or in the file.

    Parameters
    ----------
    path
        The store or the folder, or its URL.
    step_pattern
        Regular expression whose first group is the step in the name of a checkpoint, for odd names.

    Raises
    ------
    MissingData
        There is nothing at the path, or nothing in the folder.
    DamagedData
        A file is damaged, or the store is of another version.
    """
    folder = place(path)
    with reaching(folder):
        if not folder.is_dir():
            raise MissingData(
                f"a packed store or a folder of checkpoints was to be opened at {folder}; "
                f"there is {'a file' if folder.exists() else 'nothing'}. Name the folder of the run."
            )
        inside = runs_in(folder)
        if inside:
            raise MissingData(
                f"a run was to be opened at {folder}; it is a folder of runs: {', '.join(inside)}. Open one of them, "
                "or all as {name: trajlab.open(path) for name, path in trajlab.runs_in(folder).items()}."
            )
        if is_store(folder):
            return Trajectory(read_store(folder), str(folder))
        survey(folder)
        if is_unfinished(folder):
            raise DamagedData(
                f"a run was to be opened at {folder}; somebody is writing there now, or was interrupted. Wait, or "
                "write it again."
            )
        return Trajectory(read_folder(folder, step_pattern), str(folder))


def runs_in(path: str | Path) -> dict[str, Path]:
    """Give the runs in a study's folder by name; empty if the folder is itself a run, or holds none."""
    folder = place(path)
    with reaching(folder):
        if not folder.is_dir() or is_store(folder) or (folder / RUN_FILE).exists() or has_checkpoints(folder):
            return {}
        inside = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        return {e.name.removesuffix(".zarr"): e for e in inside if is_store(e) or (e / RUN_FILE).exists()}


def from_arrays(
    weights: Mapping[str, Any],
    gradients: Mapping[str, Any] | None = None,
    *,
    steps: Any = None,
    buffers: Mapping[str, Any] | None = None,
    metrics: xr.Dataset | Mapping[str, Any] | None = None,
) -> Trajectory:
    """Make a trajectory of arrays in memory, or of dask arrays.

    Parameters
    ----------
    weights, gradients, buffers
        Arrays by name, each (step, ...). Gradients may have fewer steps than weights: the closing snapshot has none.
    steps
        Optimizer steps of the rows, rising; 0, 1, 2, … by default.
    metrics
        What was measured at each step, (step) each.

    Examples
    --------
    >>> run = from_arrays({"w": np.zeros((3, 2, 2))}, steps=[0, 10, 20])
    >>> run.weights["w"].dims
    ('step', 'out', 'in')
    """
    groups = [
        {name: _as_array(values) for name, values in (group or {}).items()} for group in (weights, gradients, buffers)
    ]
    longest = max((array.shape[0] for group in groups for array in group.values()), default=0)
    known = np.arange(longest) if steps is None else np.asarray(steps, np.int64)
    if known.ndim != 1 or (np.diff(known) <= 0).any() or len(known) < longest:
        raise BadSetting(
            f"{longest} rising steps were expected; steps is {known.tolist()}. Give one step for each row."
        )
    lives = [
        {name: Life(known[: len(array)], array, tuple(array.shape[1:])) for name, array in group.items()}
        for group in groups
    ]
    if isinstance(metrics, Mapping) and not isinstance(metrics, xr.Dataset):
        columns = {name: ("step", np.asarray(values)) for name, values in metrics.items()}
        length = max((len(values) for _, values in columns.values()), default=0)
        metrics = xr.Dataset(columns, {"step": known[:length]})
    return Trajectory(
        Recording(
            weights=Tensors(lives[0], attributes_of({}, lives[0])),
            gradients=Tensors(lives[1], attributes_of({}, lives[1])),
            buffers=Tensors(lives[2]),
            metrics=xr.Dataset() if metrics is None else metrics,
        )
    )


def _as_array(values: Any) -> Any:
    array = values if hasattr(values, "dask") or isinstance(values, np.ndarray) else np.asarray(values)
    if array.ndim == 0:
        raise BadSetting("arrays with a first dim over the steps were expected; one has no dim. Stack the steps first.")
    return array
