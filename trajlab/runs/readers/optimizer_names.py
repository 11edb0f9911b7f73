"""Which parameter a position in the state of an optimizer is: torch stores positions in groups, not names."""

from collections.abc import Mapping, Sequence
from typing import Any

from trajlab.errors import TrajlabError, first_of
from trajlab.runs.readers.optimizer_content import Key
from trajlab.runs.readers.optimizer_files import OptimizerFile, shapes_of
from trajlab.runs.readers.parameter_order import Shape, determined, determined_by_shape, names_of_keys
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.transformers_model import architecture_class, parameter_shapes

SHOWN = 8
"""Most positions that a reason names."""

Place = tuple[int, int, Key]
"""File of a checkpoint, state in it, and parameter."""


class ParameterNames:
    """Names of the positions in the states of optimizers, from the parameters of the network and their order.

    Parameters
    ----------
    run
        The run.
    in_order
        Whether its weights are in the order of the network; otherwise config.json may tell it.

    Attributes
    ----------
    shapes : dict
        Shapes of the parameters by name.
    is_known : bool
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
        self._cache: dict[Any, tuple[dict[Place, str], dict[str, str]]] = {}

    def _take_from_config(self, run: Trajectory) -> None:
        """Take the order of the network that config.json describes, if it has the tensors of the run."""
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
        unresolved = [[place for place in group if place not in by_text] for group in groups]
        free = [name for name in self._trained if name not in taken]
        determine = determined if self.is_known else determined_by_shape
        by_order = determine([[shapes[place] for place in group] for group in unresolved], free, self.shapes)
        for group, of_group in zip(unresolved, by_order, strict=True):
            names |= {place: name for place, name in zip(group, of_group, strict=True) if name is not None}
        reasons = self._reasons(groups, names, shapes, free, by_text)
        held = [name for name in names.values() if name in self._converted]
        if held:
            reasons[f"parameters {first_of(held, 3)} of the optimizer"] = "the run holds them as other tensors"
        return {place: name for place, name in names.items() if name not in self._converted}, reasons

    def _reasons(
        self, groups: list[list[Place]], names: Mapping[Place, str], shapes: Mapping[Place, Shape | None],
        free: Sequence[str], by_text: Mapping[Place, str],
    ) -> dict[str, str]:  # fmt: skip
        """Return why parameters of the optimizer have no name, a sentence for all of one shape."""
        unnamed: dict[Shape | None, list[str]] = {}
        for place in (place for group in groups for place in group if place not in names):
            unnamed.setdefault(shapes[place], []).append(str(by_text.get(place, place[2])))
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
