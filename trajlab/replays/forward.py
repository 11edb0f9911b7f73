"""One pass of a probe through a network, batch by batch, while observers look on."""

import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.replays.dtypes import as_array, as_input
from trajlab.replays.hooks import listening
from trajlab.replays.objectives import value_of
from trajlab.replays.observe import Watch
from trajlab.replays.observers.observer import INPUT, Layer, Objective, Observer, Seen
from trajlab.replays.trace import Place


class Request(NamedTuple):
    """What an observer is to see of a pass.

    Parameters
    ----------
    observer
        The observer.
    layers, places
        The layers that it looks at, and where they are in the pass.
    target
        Layer and place whose units the objective of the observer is about, if it is about units.
    """

    observer: Observer
    layers: tuple[Layer, ...]
    places: tuple[Place, ...]
    target: tuple[Layer, Place] | None = None


class Pass:
    """A pass of the probe, batch by batch.

    Parameters
    ----------
    model
        The network, without values.
    state
        Its parameters and buffers at a step.
    requests
        Observers, and what they look at.
    samples
        Samples of the probe.
    device
        Where the network runs.
    attention
        Modules whose attention is wanted.
    """

    def __init__(
        self, model: nn.Module, state: dict[str, torch.Tensor], requests: Sequence[Request], samples: int,
        *, device: str, attention: Collection[str],
    ):  # fmt: skip
        self.model = copy.deepcopy(model)
        self.state, self.samples, self.device, self.attention = state, samples, device, attention
        self.untied = [name for name, _ in self.model.named_parameters()]  # in a pass ties are not seen
        self.watches = [Watch(request.observer, request.layers, samples) for request in requests]
        self.wanted: dict[Place, list[tuple[Watch, int]]] = defaultdict(list)
        for watch, request in zip(self.watches, requests, strict=True):
            for position, place in enumerate(request.places):
                self.wanted[place].append((watch, position))
        self.targets = {request.target[1]: request.target[0] for request in requests if request.target}
        self.objectives = list(dict.fromkeys(r.observer.objective for r in requests if r.observer.objective))
        self.filled: Counter[Place] = Counter()
        paths = {place.path for place in (*self.wanted, *self.targets)} | set(attention) | {""}
        known = dict(self.model.named_modules())
        self.modules = {path: module for path, module in known.items() if path in paths}
        self.takes_input = INPUT not in known
        types = [value.dtype for value in self.model.state_dict().values() if torch.is_tensor(value)]
        self.as_input = partial(as_input, types=types)

    def batch(self, first: int, inputs: np.ndarray, targets: np.ndarray | None) -> None:
        """Put some samples through the network, and back for each objective."""
        self.first, self.size = first, len(inputs)
        self.calls: Counter[str] = Counter()
        self.output: torch.Tensor | None = None
        self.targeted: dict[str, torch.Tensor] = {}
        self.underway: Objective | None = None
        self.arrived: set[tuple[int, int]] = set()
        self.waiting: list[tuple[Watch, int, np.ndarray, tuple[int, ...]]] = []
        back = bool(self.objectives)
        given = self.as_input(torch.from_numpy(np.array(inputs)).to(self.device))
        state = self._leaves(given) if back else self.state
        with torch.enable_grad() if back else torch.no_grad():
            given = given.clone() if back else given  # a leaf may not be changed in place, as some networks do
            if self.takes_input:
                self._hear_tensor(Place(INPUT), None, given)
            with listening(self.modules, self._hear, self.attention):
                torch.func.functional_call(self.model, state, (given,), tie_weights=False)
            labels = None if targets is None else torch.from_numpy(np.array(targets)).to(self.device)
            for number, objective in enumerate(self.objectives):
                self.underway, self.arrived = objective, set()
                value = value_of(objective, partial(self._output, objective), labels, first)
                if value.requires_grad:
                    value.backward(retain_graph=number + 1 < len(self.objectives), inputs=self.leaves)
                self._without_gradient(objective)

    def found(self) -> list[list[np.ndarray]]:
        """Give what each observer found."""
        for place in self.wanted:
            if self.filled[place] != self.samples:
                raise _unsteady(place.name, f"{self.filled[place]} samples", (self.samples,))
        return [watch.found() for watch in self.watches]

    def _leaves(self, given: torch.Tensor) -> dict[str, torch.Tensor]:
        """Let gradients flow back to the inputs; to embeddings, where these are no numbers to derive by."""
        self.leaves = [given.requires_grad_()] if given.is_floating_point() else []
        if self.leaves:
            return self.state
        tables = [path for path, module in self.model.named_modules() if isinstance(module, nn.Embedding)]
        chosen = [name for name in self.state if name.rpartition(".")[0] in tables] or list(self.state)
        state = {name: value.detach() for name, value in self.state.items()}
        self.leaves = [state[name].requires_grad_() for name in chosen if state[name].is_floating_point()]
        return state

    def _hear(
        self, path: str, module: nn.Module, inputs: Any, tensors: list[torch.Tensor], maps: list[torch.Tensor]
    ) -> None:
        number = self.calls[path]
        self.calls[path] += 1
        if not path and tensors:
            self.output = tensors[0]
        for index, tensor in enumerate([*tensors, *maps]):
            self._hear_tensor(Place(path, number, index), module, tensor)

    def _output(self, objective: Objective, name: str) -> torch.Tensor:
        """Give what an objective is about: the outputs of units of a layer, else those of the network."""
        found = self.targeted.get(name) if objective.kind == "unit" else self.output
        if found is None:
            raise BadSetting(
                f"the output of {name or 'the network'} was asked for; it gave none. Choose another layer."
            )
        return found

    def _hear_tensor(self, place: Place, module: nn.Module | None, tensor: torch.Tensor) -> None:
        if place in self.targets:
            layer = self.targets[place]
            shaped = tensor.reshape(self.size, *layer.shape).movedim(1 + layer.unit_axis, 1)
            self.targeted[layer.name] = shaped.reshape(self.size, layer.units, -1).clone()
        if place not in self.wanted:
            return
        shape = (self.size, *self.wanted[place][0][0].layers[self.wanted[place][0][1]].shape)
        if tensor.numel() != np.prod(shape) or (self.size and len(tensor) % self.size):
            raise _unsteady(place.name, list(tensor.shape), shape)
        self.filled[place] += self.size
        values = as_array(tensor).reshape(shape)
        parameters = self._parameters(place.path, module)
        for watch, position in self.wanted[place]:
            if watch.observer.objective is None:
                watch.observer.add(watch.state, position, Seen(values, self.first, None, parameters))
                continue
            kept = values.copy() if watch.observer.takes_values else values[:0]
            self.waiting.append((watch, position, kept, shape))
            if tensor.requires_grad:
                tensor.register_hook(partial(self._hear_gradient, len(self.waiting) - 1, parameters))

    def _hear_gradient(self, number: int, parameters: Mapping[str, np.ndarray], gradient: torch.Tensor) -> None:
        watch, position, values, shape = self.waiting[number]
        if watch.observer.objective == self.underway:
            self.arrived.add((number, position))
            array = as_array(gradient).reshape(shape)
            watch.observer.add(watch.state, position, Seen(values, self.first, array, parameters))

    def _without_gradient(self, objective: Objective) -> None:
        """Show the outputs on which the objective does not depend, with gradients of 0."""
        for number, (watch, position, values, shape) in enumerate(self.waiting):
            if watch.observer.objective == objective and (number, position) not in self.arrived:
                seen = Seen(values, self.first, np.zeros(shape, np.float32), self._parameters_at(watch, position))
                watch.observer.add(watch.state, position, seen)

    def _parameters_at(self, watch: Watch, position: int) -> Mapping[str, np.ndarray]:
        path = watch.layers[position].attrs["module"]
        return self._parameters(path, self.modules.get(path))

    def _parameters(self, path: str, module: nn.Module | None) -> Mapping[str, np.ndarray]:
        """Give the parameters of a module; of the network itself those of all modules, tied ones once."""
        if module is None:
            return {}
        if not path:
            return _Arrays({name: self.state[name] for name in self.untied if name in self.state})
        own = [(name, f"{path}.{name}") for name, _ in module.named_parameters(recurse=False)]
        return _Arrays({name: self.state[whole] for name, whole in own if whole in self.state})


class _Arrays(Mapping[str, np.ndarray]):
    """Tensors by name, brought over from the device when they are asked for."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]):
        self.tensors = tensors

    def __getitem__(self, name: str) -> np.ndarray:
        return as_array(self.tensors[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def _unsteady(name: str, found: Any, expected: tuple[int, ...]) -> BadSetting:
    return BadSetting(
        f"{name} was to give an output of shape {list(expected)}; it gave {found}. "
        "Its shape depends on more than the number of samples: leave it out of layers."
    )
