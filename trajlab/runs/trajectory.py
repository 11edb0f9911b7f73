"""A training run as labeled lazy arrays over the steps."""

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.runs.disk.paths import as_path, reaching
from trajlab.runs.disk.remote import survey
from trajlab.runs.disk.upload import is_unfinished
from trajlab.runs.readers.checkpoints import has_checkpoints
from trajlab.runs.readers.folder import read_folder
from trajlab.runs.readers.store import is_store, read_store
from trajlab.runs.tensors import Recording, Series, Tensors, attributes_of, natural
from trajlab.schema import BUFFERS, GRADIENTS, METRICS, PROBE, RUN_FILE, WEIGHTS, node_of

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
    model, device
        The network that snapshots are replayed in, if it was named by `with_model`, and where it runs.
    """

    def __init__(self, recording: Recording, source: str = ""):
        self.source = source
        self.model: Any = None
        self.model_token = ""
        self.device = "cpu"
        self.weights = recording.weights
        self.gradients = recording.gradients
        self.buffers = recording.buffers
        self.metrics = recording.metrics
        self.probe = recording.probe
        self.facts = recording.facts

    def with_model(self, model: Any = None, *, probe: xr.Dataset | None = None, device: str | None = None) -> Self:
        """Give the same run with a network, a probe or a device to replay it with; what is None stays as it is.

        Parameters
        ----------
        model
            The network, a function that builds it, or the name of one, "package.module:factory".
        probe
            `inputs` and `targets`, with its `sha256` in attrs, as `trajlab.read_probe` gives them.
        device
            Where the network runs.
        """
        other = copy(self)
        if model is not None:
            other.model, other.model_token = model, model if isinstance(model, str) else uuid4().hex
        other.probe = self.probe if probe is None else probe
        other.device = self.device if device is None else device
        return other

    @property
    def steps(self) -> np.ndarray:
        """Steps at which any weight was recorded, (step)."""
        lives = self.weights.lives.values()
        return np.unique(np.concatenate([life.steps for life in lives] or [np.empty(0, np.int64)]))

    @property
    def tree(self) -> xr.DataTree:
        """The run as a tree: /weights/<name>/value and so on, as in a packed store."""
        metrics = self.metrics.rename({name: node_of(str(name)) for name in self.metrics.data_vars})
        nodes = {f"/{METRICS}": metrics, f"/{PROBE}": self.probe}
        for group, tensors in ((WEIGHTS, self.weights), (GRADIENTS, self.gradients), (BUFFERS, self.buffers)):
            nodes |= {f"/{group}/{node_of(name)}": tensors[name].to_dataset(name="value") for name in tensors}
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
                state[name] = torch.from_numpy(array).to(getattr(torch, life.stored.name))
        tied = {alias: name for alias, name in self.facts.get("tied", {}).items() if name in state}
        return state | {alias: state[name] for alias, name in tied.items()}

    def __repr__(self) -> str:
        steps = self.steps
        span = f"steps {steps[0]} to {steps[-1]}" if len(steps) else "no steps"
        return (
            f"<Trajectory: {len(self.weights)} weights, {len(self.gradients)} gradients, "
            f"{len(self.buffers)} buffers; {len(steps)} snapshots, {span}>"
        )


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
    folder = as_path(path)
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
    """Give the runs in a study's folder by name; empty if the folder is itself a run, or holds none.

    Raises
    ------
    BadSetting
        A run is there twice: as a folder of snapshots and as a store.
    """
    folder = as_path(path)
    runs: dict[str, Path] = {}
    with reaching(folder):
        if not folder.is_dir() or is_store(folder) or (folder / RUN_FILE).exists() or has_checkpoints(folder):
            return runs
        inside = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        inside.sort(key=lambda entry: natural(entry.name))
        for entry in filter(_is_run, inside):
            name = entry.name.removesuffix(".zarr")
            if name in runs:
                raise BadSetting(
                    f"runs were looked for in {folder}; {runs[name].name} and {entry.name} are both the run {name}. "
                    "Keep stores and folders of snapshots in different folders, or name one of the two."
                )
            runs[name] = entry
    return runs


def _is_run(folder: Path) -> bool:
    return is_store(folder) or (folder / RUN_FILE).exists() or has_checkpoints(folder)


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

    Raises
    ------
    BadSetting
        Something is no array of numbers, or there is not one step for each row.

    Examples
    --------
    >>> run = from_arrays({"w": np.zeros((3, 2, 2))}, steps=[0, 10, 20])
    >>> run.weights["w"].dims
    ('step', 'out', 'in')
    """
    groups = [_arrays(group) for group in (weights, gradients, buffers)]
    measured = _columns(metrics)
    longest = max([array.shape[0] for group in groups for array in group.values()] + [measured.sizes.get("step", 0)])
    known = np.arange(longest) if steps is None else _steps(steps, longest)
    lives = [
        {name: Series(known[: len(array)], array, tuple(array.shape[1:])) for name, array in group.items()}
        for group in groups
    ]
    if "step" not in measured.coords and "step" in measured.dims:
        measured = measured.assign_coords(step=known[: measured.sizes["step"]])
    return Trajectory(
        Recording(
            weights=Tensors(lives[0], attributes_of({}, lives[0])),
            gradients=Tensors(lives[1], attributes_of({}, lives[1])),
            buffers=Tensors(lives[2]),
            metrics=measured,
        )
    )


def _arrays(group: Mapping[str, Any] | None) -> dict[str, Any]:
    if not isinstance(group, Mapping | None):
        raise BadSetting(f"arrays by name were expected; found a {type(group).__name__}. Give {{name: array}}.")
    for name in group or {}:
        if not isinstance(name, str):
            raise BadSetting(f"names of tensors are text; found {name!r}. Rename it.")
    return {name: _array(name, values) for name, values in (group or {}).items()}


def _array(name: str, values: Any) -> Any:
    """Give the values of one tensor as an array of numpy or dask."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        array = values if hasattr(values, "dask") or isinstance(values, np.ndarray) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise BadSetting(f"{name} was to be one array over the steps; {error}. Give rows of one shape.") from error
    if array.ndim == 0:
        raise BadSetting(f"{name} was to have a first dim over the steps; it has no dim. Stack the steps first.")
    if array.dtype.kind not in "fiubcV":
        raise BadSetting(f"{name} was to hold numbers; it is {array.dtype}. Leave it out, or give rows of one shape.")
    if np.isnan(array.shape).any():
        raise BadSetting(f"the shape of {name} is not known, {array.shape}. Call its compute_chunk_sizes() first.")
    return array


def _steps(steps: Any, rows: int) -> np.ndarray:
    """Give the steps of some rows."""
    try:
        given = np.asarray(steps)
        known = given.astype(np.int64)
        fit = known.shape == (rows,) and bool((known == given).all()) and bool((np.diff(known) > 0).all())
    except (ValueError, TypeError, OverflowError):
        fit = False
    if not fit:
        raise BadSetting(f"{rows} rising steps were expected; found {steps!r:.200}. Give a whole number for each row.")
    return known


def _columns(metrics: xr.Dataset | Mapping[str, Any] | None) -> xr.Dataset:
    """Give what was measured, (step) each."""
    if metrics is None or isinstance(metrics, xr.Dataset):
        return xr.Dataset() if metrics is None else metrics
    try:
        return xr.Dataset({name: ("step", np.asarray(values)) for name, values in metrics.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise BadSetting(
            "metrics were to be rows of numbers of the same length by name; "
            f"{' '.join(str(error).split())[:200]}. Give one number for each step."
        ) from error
