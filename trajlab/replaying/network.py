"""A network without weights of its own, that the snapshots of any step are put through while observers look on."""

import copy
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.observing import INPUT, Layer, Objective, Observer, Seen, Watch
from trajlab.replaying.layers import Place, listening
from trajlab.replaying.objectives import value_of
from trajlab.replaying.types import as_array, as_input
from trajlab.snapshots.rows import Rows, widen


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


@dataclass(eq=False)
class Network:
    """A network to replay.

    Parameters
    ----------
    model
        The network; its parameters and stored buffers are on the device "meta" and have no values.
    names
        Names of the parameters and buffers that each task is given.
    batch
        Samples that go through it at once.
    device
        Where it runs.
    attention
        Modules whose attention, of each head, is wanted.
    prune, prune_relative
        Entries of weights whose size is below the one, or below the other times the RMS of their tensor, are put to 0;
        no bias is.
    """

    model: nn.Module
    names: tuple[str, ...]
    batch: int
    device: str
    attention: tuple[str, ...] = ()
    prune: float = 0.0
    prune_relative: float = 0.0

    def watched(
        self, inputs: np.ndarray, targets: np.ndarray | None, tables: Sequence[Any], rows: Sequence[int],
        requests: Sequence[Request],
    ) -> list[list[np.ndarray]]:  # fmt: skip
        """Put all inputs through the network with the weights of one step; give what each observer found.

        Torch works on one thread here: steps run side by side instead, and how many threads there are never changes
        the last bits of a number. With an objective, there is a backward pass for it after each batch.

        Parameters
        ----------
        inputs, targets
            The probe, (sample, ...).
        tables, rows
            For each name a table of rows or an array, and which row of it to take.
        requests
            Observers, and what they look at.

        Raises
        ------
        BadSetting
            The network gave an output of another shape than in the trial.
        """
        with _alone(self.device), np.errstate(all="ignore"):
            run = _Pass(self, self._state(tables, rows), requests, len(inputs))
            for first in range(0, len(inputs), self.batch):
                some = slice(first, first + self.batch)
                run.batch(first, inputs[some], None if targets is None else targets[some])
            return run.found()

    def _state(self, tables: Sequence[Any], rows: Sequence[int]) -> dict[str, torch.Tensor]:
        types = {name: value.dtype for name, value in self.model.state_dict().items() if torch.is_tensor(value)}
        weights = {name for name, value in self.model.named_parameters(remove_duplicate=False) if value.ndim > 1}
        state = {}
        for name, table, row in zip(self.names, tables, rows, strict=True):
            value = _tensor(table, row).to(types[name])
            state[name] = (self._pruned(value) if name in weights else value).to(self.device)
        return state

    def _pruned(self, value: torch.Tensor) -> torch.Tensor:
        """Put small entries to 0; relative to an RMS that is NaN none is small."""
        if self.prune > 0:
            value = value.masked_fill(value.abs() < self.prune, 0.0)
        if self.prune_relative > 0:
            rms = float(value.double().square().mean().sqrt())
            value = value.masked_fill(value.abs() < self.prune_relative * rms, 0.0)
        return value


class _Pass:
    """A pass of the probe, batch by batch."""

    def __init__(self, network: Network, state: dict[str, torch.Tensor], requests: Sequence[Request], samples: int):
        self.model = copy.deepcopy(network.model)
        self.network, self.state, self.samples = network, state, samples
        self.untied = [name for name, _ in self.model.named_parameters()]  # in a pass ties are not seen
        self.watches = [Watch(request.observer, request.layers, samples) for request in requests]
        self.wanted: dict[Place, list[tuple[Watch, int]]] = defaultdict(list)
        for watch, request in zip(self.watches, requests, strict=True):
            for position, place in enumerate(request.places):
                self.wanted[place].append((watch, position))
        self.targets = {request.target[1]: request.target[0] for request in requests if request.target}
        self.objectives = list(dict.fromkeys(r.observer.objective for r in requests if r.observer.objective))
        self.filled: Counter[Place] = Counter()
        paths = {place.path for place in (*self.wanted, *self.targets)} | set(network.attention) | {""}
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
        given = self.as_input(torch.from_numpy(np.array(inputs)).to(self.network.device))
        state = self._leaves(given) if back else self.state
        with torch.enable_grad() if back else torch.no_grad():
            given = given.clone() if back else given  # a leaf may not be changed in place, as some networks do
            if self.takes_input:
                self._hear_tensor(Place(INPUT), None, given)
            with listening(self.modules, self._hear, self.network.attention):
                torch.func.functional_call(self.model, state, (given,), tie_weights=False)
            labels = None if targets is None else torch.from_numpy(np.array(targets)).to(self.network.device)
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


def hollow(model: nn.Module) -> nn.Module:
    """Take the values out of a network's parameters and stored buffers, in place; others keep theirs, ties stay."""
    hollowed: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter not in hollowed:
                hollowed[parameter] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
            setattr(module, name, hollowed[parameter])
        for name, buffer in list(module.named_buffers(recurse=False, remove_duplicate=False)):
            if name not in module._non_persistent_buffers_set:
                setattr(module, name, buffer.to("meta"))
    return model


def _tensor(table: Rows | np.ndarray, row: int) -> torch.Tensor:
    values = (table.load() if isinstance(table, Rows) else np.asarray(table))[row]
    return torch.from_numpy(np.array(widen(np.asarray(values))))


class _Settings:
    """Keep torch to one thread, and to the plain path through attention, in the threads that are inside.

    The fast path of torch's encoder layers passes by the modules that hooks listen to. The last thread out leaves the
    settings as they were.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.usual = (1, True)

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.usual = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
            self.inside += 1
            torch.set_num_threads(1)
            torch.backends.mha.set_fastpath_enabled(False)

    def __exit__(self, *failure: Any) -> None:
        with self.lock:
            self.inside -= 1
            torch.set_num_threads(self.usual[0])
            if not self.inside:
                torch.backends.mha.set_fastpath_enabled(self.usual[1])


settings = _Settings()
_one_at_a_time = threading.Lock()


@contextmanager
def _alone(device: str) -> Iterator[None]:
    """Hold the settings; on an accelerator, whose memory is scarce, for one pass at a time."""
    with nullcontext() if device == "cpu" else _one_at_a_time, settings:
        yield
