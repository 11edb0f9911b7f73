"""Names of the parameters in the state of an optimizer: torch stores their positions in groups, not their names."""

from collections.abc import Mapping, Sequence
from typing import Any

from trajlab.errors import TrajlabError, first_of
from trajlab.runs.readers.optimizer_content import Key
from trajlab.runs.readers.optimizer_files import OptimizerFile, shapes_of
from trajlab.runs.readers.parameter_order import Shape, determined, determined_by_shape, names_of_keys
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.transformers_model import architecture_class, parameter_shapes

SHOWN = 8
"""Largest number of positions that a reason names."""

Slot = tuple[int, int, Key]
"""A parameter in a checkpoint's optimizer states: number of the file, number of the state in it, and key."""


class ParameterNames:
    """Names of the positions in the states of optimizers, from the parameters of the network and their order.

    Parameters
    ----------
    run
        The run.
    in_order
        Whether its weights are in the order of the network; if not, config.json may state the order.

    Attributes
    ----------
    shapes
        Shapes of the parameters by name.
    is_known
        Whether they are in the order of the network.
    """

    def __init__(self, run: Trajectory, in_order: bool):
        frozen = set(run.facts.get("frozen") or ())
        self.shapes: dict[str, Shape] = {name: tensor.shape for name, tensor in run.weights.series.items()}
        self.is_known, self._why = in_order, ""
        self._converted: set[str] = set()
        if not in_order:
            self._take_from_config(run)
        self._trained = [name for name in self.shapes if name not in frozen]
        self._cache: dict[Any, tuple[dict[Slot, str], dict[str, str]]] = {}

    def _take_from_config(self, run: Trajectory) -> None:
        """Set the order to that of the network in config.json, if this network has the tensors of the run."""
        if not architecture_class(run.facts):
            self._why = "its file is sorted by name, and no config.json says which network it is"
            return
        try:
            shapes, converted = parameter_shapes(run.facts, run.source, self.shapes)
        except TrajlabError as error:
            self._why = str(error).partition("; ")[0]
            return
        stored = {name: shape for name, shape in self.shapes.items() if name not in converted}
        if any(shapes.get(name) != shape for name, shape in stored.items()):
            other = next(name for name, shape in stored.items() if shapes.get(name) != shape)
            self._why = f"the network of its config.json has no {other} of this shape"
            return
        self._converted = {name for name in shapes if name not in self.shapes} if converted else set()
        self.shapes, self.is_known = shapes, True

    def names(self, files: Sequence[OptimizerFile]) -> tuple[dict[Slot, str], dict[str, str]]:
        """Return the names of parameters in the states of a checkpoint, and why others have none, by parameter."""
        groups = [
            [(at, number, key) for key in keys]
            for at, file in enumerate(files)
            for number, state in enumerate(file.states)
            for keys in state.keys
        ]
        shapes: dict[Slot, Shape | None] = {
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
        signature = tuple(tuple((slot, shapes[slot]) for slot in group) for group in groups), tuple(stated.items())
        if signature not in self._cache:
            self._cache[signature] = self._named(groups, shapes, stated)
        return self._cache[signature]

    def _named(
        self, groups: list[list[Slot]], shapes: Mapping[Slot, Shape | None], stated: Mapping[Slot, str]
    ) -> tuple[dict[Slot, str], dict[str, str]]:
        texts = {slot: stated.get(slot, slot[2]) for group in groups for slot in group}
        by_text = {slot: text for slot, text in texts.items() if isinstance(text, str)}
        named = names_of_keys(list(by_text.values()), list(self.shapes))
        names = {slot: named[text] for slot, text in by_text.items() if text in named}
        taken = set(names.values())
        unresolved = [[slot for slot in group if slot not in by_text] for group in groups]
        free = [name for name in self._trained if name not in taken]
        determine = determined if self.is_known else determined_by_shape
        by_order = determine([[shapes[slot] for slot in group] for group in unresolved], free, self.shapes)
        for group, of_group in zip(unresolved, by_order, strict=True):
            names |= {slot: name for slot, name in zip(group, of_group, strict=True) if name is not None}
        reasons = self._reasons(groups, names, shapes, free, by_text)
        held = [name for name in names.values() if name in self._converted]
        if held:
            reasons[f"parameters {first_of(held, 3)} of the optimizer"] = "the run holds them as other tensors"
        return {slot: name for slot, name in names.items() if name not in self._converted}, reasons

    def _reasons(
        self, groups: list[list[Slot]], names: Mapping[Slot, str], shapes: Mapping[Slot, Shape | None],
        free: Sequence[str], by_text: Mapping[Slot, str],
    ) -> dict[str, str]:  # fmt: skip
        """Return why parameters of the optimizer have no name, one sentence for each shape."""
        unnamed: dict[Shape | None, list[str]] = {}
        for slot in (slot for group in groups for slot in group if slot not in names):
            unnamed.setdefault(shapes[slot], []).append(str(by_text.get(slot, slot[2])))
        count = sum(map(len, groups))
        reasons = {}
        for shape, keys in unnamed.items():
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
