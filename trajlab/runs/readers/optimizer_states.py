"""The state of the optimizer over a series of checkpoints: positions become names, moments become series."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import TrajlabError, first_of
from trajlab.runs.optimizer import UPDATES, OptimizerState, moment_attributes, moment_name, split_name
from trajlab.runs.readers.checkpoints import Checkpoint
from trajlab.runs.readers.formats import Header
from trajlab.runs.readers.optimizer_content import Key
from trajlab.runs.readers.optimizer_files import (
    BESIDE,
    OptimizerFile,
    optimizer_files,
    read_optimizer_file,
    shapes_of,
)
from trajlab.runs.readers.parameter_order import Shape, determined, determined_by_shape, names_of_keys
from trajlab.runs.readers.series import read_checkpoints
from trajlab.runs.tensors import Tensors
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.transformers_model import architecture_class, parameter_shapes

SHOWN = 8
"""Most positions that a reason names."""

Place = tuple[int, int, Key]
"""File of a checkpoint, state in it, and parameter."""


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
    order = _Order(run, in_order)
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
    places = {name: place for place, name in enumerate(run.weights)}
    ordered = sorted(series, key=lambda name: (places.get(split_name(name)[0], len(places)), *split_name(name)))
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


class _Order:
    """The parameters of a network in its order, and the names of the positions in states.

    Parameters
    ----------
    run
        The run.
    in_order
        Whether its weights are in the order of the network.
    """

    def __init__(self, run: Trajectory, in_order: bool):
        frozen = set(run.facts.get("frozen") or ())
        self.shapes: dict[str, Shape] = {name: tensor.shape for name, tensor in run.weights.series.items()}
        self.is_known, self._why = in_order, ""
        if not in_order:
            self._take_from_config(run)
        self._trained = [name for name in self.shapes if name not in frozen]
        self._cache: dict[Any, tuple[dict[Place, str], dict[str, str]]] = {}

    def _take_from_config(self, run: Trajectory) -> None:
        """Take the order of the network that config.json describes, if it has the tensors of the run."""
        if not architecture_class(run.facts):
            self._why = "its file is sorted by name, and no config.json says which network it is"
            return
        try:
            shapes = parameter_shapes(run.facts, run.source)
        except TrajlabError as error:
            self._why = str(error).partition("; ")[0]
            return
        if any(shapes.get(name) != shape for name, shape in self.shapes.items()):
            other = next(name for name, shape in self.shapes.items() if shapes.get(name) != shape)
            self._why = f"the network of its config.json has no {other} of this shape"
            return
        self.shapes, self.is_known = shapes, True

    def names(self, files: Sequence[OptimizerFile]) -> tuple[dict[Place, str], dict[str, str]]:
        """Return the names of all positions in the states of a checkpoint, and why others have none."""
        groups = [
            [(at, number, key) for key in keys]
            for at, file in enumerate(files)
            for number, state in enumerate(file.states)
            for keys in state.keys
        ]
        shapes: dict[Place, Shape | None] = {
            (at, number, key): shape
            for at, file in enumerate(files)
            for number, state in enumerate(file.states)
            for key, shape in shapes_of(state).items()
        }
        stated = {
            (at, number, key): name
            for at, file in enumerate(files)
            for number, state in enumerate(file.states)
            for key, name in state.names.items()
        }
        signature = tuple(tuple((place, shapes[place]) for place in group) for group in groups), tuple(stated.items())
        if signature not in self._cache:
            self._cache[signature] = self._named(groups, shapes, stated)
        return self._cache[signature]

    def _named(
        self, groups: list[list[Place]], shapes: Mapping[Place, Shape | None], stated: Mapping[Place, str]
    ) -> tuple[dict[Place, str], dict[str, str]]:
        texts = {place: stated.get(place, place[2]) for group in groups for place in group}
        by_text = {place: text for place, text in texts.items() if isinstance(text, str)}
        named = names_of_keys(list(by_text.values()), list(self.shapes))
        names = {place: named[text] for place, text in by_text.items() if text in named}
        taken = set(names.values())
        waiting = [[place for place in group if place not in by_text] for group in groups]
        free = [name for name in self._trained if name not in taken]
        find = determined if self.is_known else determined_by_shape
        found = find([[shapes[place] for place in group] for group in waiting], free, self.shapes)
        for group, of_group in zip(waiting, found, strict=True):
            names |= {place: name for place, name in zip(group, of_group, strict=True) if name is not None}
        return names, self._reasons(groups, names, shapes, free, by_text)

    def _reasons(
        self, groups: list[list[Place]], names: Mapping[Place, str], shapes: Mapping[Place, Shape | None],
        free: Sequence[str], by_text: Mapping[Place, str],
    ) -> dict[str, str]:  # fmt: skip
        """Return why parameters of the optimizer have no name, a sentence for all of one shape."""
        alike: dict[Shape | None, list[str]] = {}
        for place in (place for group in groups for place in group if place not in names):
            alike.setdefault(shapes[place], []).append(str(by_text.get(place, place[2])))
        count = sum(map(len, groups))
        reasons = {}
        for shape, keys in alike.items():
            size = "of unknown shape" if shape is None else f"of shape {shape}"
            fitting = [name for name in free if shape in (None, self.shapes[name])]
            if count > len(self.shapes):
                why = f"the optimizer has {count} parameters, the run {len(self.shapes)}"
            elif not fitting:
                why = "no parameter of the run has this shape and name"
            else:
                why = f"{first_of(fitting, 3)} fit, and nothing tells which is which"
                why += f"; the order of the network is not known: {self._why}" if self._why else ""
            reasons[f"parameters {first_of(keys, SHOWN)} of the optimizer ({size})"] = why
        return reasons


def _renamed(
    at: int, file: OptimizerFile, names: Mapping[Place, str], shapes: Mapping[str, Shape], left_out: dict[str, str]
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


def _settings(files: Sequence[OptimizerFile], names: Mapping[Place, str]) -> dict[str, dict[str, float]]:
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
    at = {name: place for place, name in enumerate(parameters)}
    for step, (_, row) in enumerate(rows):
        for name, group in row.items():
            for number, setting in enumerate(settings):
                values[number, step, at[name]] = group.get(setting, np.nan)
    labels = {"step": np.array([step for step, _ in rows], np.int64), "parameter": np.array(parameters, object)}
    return xr.Dataset({name: (("step", "parameter"), of) for name, of in zip(settings, values, strict=True)}, labels)
