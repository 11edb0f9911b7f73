"""The state of the optimizer over a series of checkpoints: positions become names, moments become series."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from trajlab.runs.optimizer import UPDATES, OptimizerState, moment_attributes, moment_name, split_name
from trajlab.runs.readers.checkpoints import Checkpoint
from trajlab.runs.readers.formats import Header
from trajlab.runs.readers.optimizer_files import (
    BESIDE,
    OptimizerFile,
    optimizer_files,
    read_optimizer_file,
)
from trajlab.runs.readers.optimizer_names import ParameterNames, Slot
from trajlab.runs.readers.parameter_order import Shape
from trajlab.runs.readers.series import read_checkpoints
from trajlab.runs.tensors import Tensors
from trajlab.runs.trajectory import Trajectory


@dataclass(frozen=True)
class StoredOptimizer:
    """The state of the optimizer in a folder of checkpoints, which is read when it is called with the run.

    Parameters
    ----------
    folder, checkpoints, in_order, trust
        As in `read_optimizer_states`.
    """

    folder: Path
    checkpoints: Sequence[Checkpoint]
    in_order: bool
    trust: bool

    def __call__(self, run: Trajectory) -> OptimizerState:
        """Read the state."""
        return read_optimizer_states(run, self.folder, self.checkpoints, in_order=self.in_order, trust=self.trust)

    def __str__(self) -> str:
        """Say where states may lie, from the names of files alone."""
        alone = len(self.checkpoints) == 1
        files = [optimizer_files(self.folder, one, alone=alone, root=None) for one in self.checkpoints]
        names = [[name for path in paths if BESIDE.match(name := Path(path).name)] for paths in files]
        if any(names):
            beside = ", ".join(dict.fromkeys(name for some in names for name in some))
            return f"{beside} in {sum(map(bool, names))} of {len(names)} snapshots, read when it is asked for"
        return "read when it is asked for, if the files of weights hold it" if any(files) else "none"


def read_optimizer_states(
    run: Trajectory, folder: Path, checkpoints: Sequence[Checkpoint], *, in_order: bool, trust: bool
) -> OptimizerState:
    """Read the state of the optimizer at the steps of checkpoints, without the moments where the format allows.

    torch stores the positions of parameters in groups, not their names. A name is taken where the order of the network
    and the shapes leave no other, see `determined`; all others are left out, with the reason.

    Parameters
    ----------
    run
        The run, with its weights and facts.
    folder
        The folder of checkpoints, or the only one.
    checkpoints
        The checkpoints, rising in their steps.
    in_order
        Whether the weights of the run are in the order in which the network defines its parameters.
    trust
        Follow symbolic links that leave the folder.

    Raises
    ------
    DamagedData
        A file is damaged, or could only be unpickled by running code.
    """
    root = None if trust else folder if folder.is_dir() else folder.parent
    left_out: dict[str, str] = {}
    order = ParameterNames(run, in_order)
    renamed, rows = [], []
    for checkpoint in checkpoints:
        paths = optimizer_files(folder, checkpoint, alone=len(checkpoints) == 1, root=root)
        files = [read_optimizer_file(path) for path in paths]
        left_out |= {Path(file.path).name: file.unusable for file in files if file.unusable}
        files = [file for file in files if file.states]
        if not files:
            continue
        names, reasons = order.names(files)
        left_out |= reasons
        headers = {file.path: _renamed(at, file, names, order.shapes, left_out) for at, file in enumerate(files)}
        renamed.append(Checkpoint(checkpoint.step, checkpoint.name, headers))
        rows.append((checkpoint.step, _settings(files, names)))
    literal = {name for checkpoint in renamed for header in checkpoint.headers.values() for name in header.entries}
    series, unusable, unread = read_checkpoints(renamed, literal=literal)
    positions = {name: position for position, name in enumerate(run.weights)}
    ordered = sorted(series, key=lambda name: (positions.get(split_name(name)[0], len(positions)), *split_name(name)))
    series = {name: series[name] for name in ordered}
    tensors = Tensors(series, moment_attributes(run.facts, run.weights.series), unusable)
    return OptimizerState(tensors, _hyperparameters(rows, list(run.weights)), left_out | unusable | unread)


def is_in_order(checkpoints: Sequence[Checkpoint]) -> bool:
    """Return whether the files of checkpoints keep the order in which the network defines its parameters.

    A file in which names are sorted, with biases before weights, was sorted by name.
    """
    headers = [header for checkpoint in checkpoints for header in checkpoint.headers.values()]
    return all(header.in_network_order and not _is_sorted(list(header.entries)) for header in headers)


def _is_sorted(names: Sequence[str]) -> bool:
    return names == sorted(names) and any(
        names.index(name) > names.index(bias)
        for name in names
        if name.endswith("weight") and (bias := f"{name.removesuffix('weight')}bias") in names
    )


def _renamed(
    at: int, file: OptimizerFile, names: Mapping[Slot, str], shapes: Mapping[str, Shape], left_out: dict[str, str]
) -> Header:
    """Return the header of a file with the names of moments in the run; say in `left_out` what is not among them."""
    entries, originals = {}, {}
    for (number, key, entry), original in file.names.items():
        name = names.get((at, number, key))
        if name is None:
            continue
        moment = moment_name(name, entry)
        if (number, key, entry) in file.left_out:
            left_out[moment] = file.left_out[number, key, entry]
        elif file.entries[number, key, entry].shape != shapes[name]:
            shape = file.entries[number, key, entry].shape
            left_out[moment] = f"its shape is {shape}, that of the parameter is {shapes[name]}"
        else:
            entries[moment] = file.entries[number, key, entry]
            originals[moment] = original
    load = None if file.load is None else partial(_load, file.load, originals)
    return Header(entries, {}, load, in_network_order=True)


def _load(load: Callable[[str, str], np.ndarray], originals: Mapping[str, str], path: str, name: str) -> np.ndarray:
    return load(path, originals[name])


def _settings(files: Sequence[OptimizerFile], names: Mapping[Slot, str]) -> dict[str, dict[str, float]]:
    """Return the hyperparameters and the number of updates of each parameter."""
    settings: dict[str, dict[str, float]] = {}
    for at, file in enumerate(files):
        for number, state in enumerate(file.states):
            for keys, group in zip(state.keys, state.settings, strict=True):
                for key in keys:
                    if name := names.get((at, number, key)):
                        count = {UPDATES: state.counts[key]} if key in state.counts else {}
                        settings[name] = group | count
    return settings


def _hyperparameters(rows: list[tuple[int, dict[str, dict[str, float]]]], order: Sequence[str]) -> xr.Dataset:
    """Return hyperparameters by step and parameter."""
    if not rows:
        return xr.Dataset()
    named = {name for _, row in rows for name in row}
    parameters = [name for name in order if name in named] + sorted(named - set(order))
    settings = list(dict.fromkeys(setting for _, row in rows for group in row.values() for setting in group))
    values = np.full((len(settings), len(rows), len(parameters)), np.nan)
    at = {name: position for position, name in enumerate(parameters)}
    for step, (_, row) in enumerate(rows):
        for name, group in row.items():
            for number, setting in enumerate(settings):
                values[number, step, at[name]] = group.get(setting, np.nan)
    labels = {"step": np.array([step for step, _ in rows], np.int64), "parameter": np.array(parameters, object)}
    return xr.Dataset({name: (("step", "parameter"), of) for name, of in zip(settings, values, strict=True)}, labels)
