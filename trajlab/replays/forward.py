"""A forward pass of a probe through a network, and backward passes, batch by batch, reduced by observers."""

import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from trajlab.errors import BadSetting, TrajlabError
from trajlab.replays.attention import with_unseen_marked
from trajlab.replays.batch_norm import normalize_each_sample
from trajlab.replays.calls import OutputKey
from trajlab.replays.dtypes import Arrays, as_array, as_input
from trajlab.replays.function_calls import FunctionCalls
from trajlab.replays.hooks import first_tensor, hooked
from trajlab.replays.nonlinearities import Nonlinearity
from trajlab.replays.objectives import value_of
from trajlab.replays.observe import Watch
from trajlab.replays.observers.observer import INPUT, Batch, Layer, Objective, Observer
from trajlab.replays.padding import without_padding
from trajlab.statistics.tasks import Coding

EMPTY: Mapping[str, np.ndarray] = {}


class Request(NamedTuple):
    """The layers of a pass that an observer reduces.

    Parameters
    ----------
    observer
        The observer.
    layers, keys
        Its layers, and their outputs in the pass.
    target
        Layer and output whose units are differentiated, for an objective of units.
    """

    observer: Observer
    layers: tuple[Layer, ...]
    keys: tuple[OutputKey, ...]
    target: tuple[Layer, OutputKey] | None = None


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
    coding
        How targets of two values are written.
    ends_in
        The softmax or sigmoid that the network ends in.
    mode
        Mode of batch normalization, one of `MODES`.
    is_token
        Which positions of the probe hold tokens, (sample, position), by the name of the mask.
    """

    def __init__(
        self, model: nn.Module, state: dict[str, torch.Tensor], requests: Sequence[Request], samples: int,
        *, device: str, attention: Collection[str], coding: Coding, ends_in: str = "", mode: str = "eval",
        is_token: Mapping[str, np.ndarray] = EMPTY,
    ):  # fmt: skip
        self.original, self.size, self.ends_in, self.mode = model, -1, ends_in, mode
        self.is_token, self.is_passing_on = is_token, False
        self.state, self.samples, self.device, self.attention, self.coding = state, samples, device, attention, coding
        self.untied = [name for name, _ in model.named_parameters()]  # in a pass ties are not seen
        self.watches = [Watch(request.observer, request.layers, samples) for request in requests]
        self.wanted: dict[OutputKey, list[tuple[Watch, int]]] = defaultdict(list)
        for watch, request in zip(self.watches, requests, strict=True):
            for position, key in enumerate(request.keys):
                self.wanted[key].append((watch, position))
        self.targets = {request.target[1]: request.target[0] for request in requests if request.target}
        self.objectives = list(dict.fromkeys(r.observer.objective for r in requests if r.observer.objective))
        self.filled: Counter[OutputKey] = Counter()
        outputs = [*self.wanted, *self.targets]
        self.paths = {key.path for key in outputs if not key.function} | set(attention) | {""}
        self.hears_functions = any(key.function for key in outputs)
        self.takes_input = INPUT not in dict(model.named_modules())
        types = [value.dtype for value in model.state_dict().values() if torch.is_tensor(value)]
        self.as_input = partial(as_input, types=types)

    def batch(
        self, first: int, inputs: np.ndarray, targets: np.ndarray | None, keywords: Mapping[str, np.ndarray] = EMPTY
    ) -> None:
        """Run some samples forward through the network, and backward for each objective.

        Parameters
        ----------
        first
            Position of the first sample.
        inputs, targets
            The samples.
        keywords
            Keyword arguments of the network, such as the mask of padding.
        """
        if len(inputs) != self.size:
            self._renew(len(inputs))
        self.first, self.size, self.labels = first, len(inputs), None if targets is None else np.array(targets)
        self.calls: Counter[str] = Counter()
        self.output: torch.Tensor | None = None
        self.targeted: dict[str, torch.Tensor] = {}
        self.underway: Objective | None = None
        self.arrived: set[tuple[int, int]] = set()
        self.waiting: list[tuple[Watch, int, np.ndarray, tuple[int, ...]]] = []
        back = bool(self.objectives)
        tensor = self.as_input(torch.from_numpy(np.array(inputs)).to(self.device))
        state = self._leaves(tensor) if back else self.state
        with torch.enable_grad() if back else torch.no_grad():
            tensor = tensor.clone() if back else tensor  # a leaf may not be changed in place, as some networks do
            if self.takes_input:
                self._hear_tensor(OutputKey(INPUT), None, tensor)
            with self._listening():
                named = {name: torch.from_numpy(np.array(value)).to(self.device) for name, value in keywords.items()}
                self._call(state, tensor, named)
            labels = None if targets is None else torch.from_numpy(np.array(targets)).to(self.device)
            for number, objective in enumerate(self.objectives):
                self.underway, self.arrived = objective, set()
                value = value_of(objective, partial(self._output, objective), labels, first, self.coding, self.ends_in)
                if value.requires_grad:
                    value.backward(retain_graph=number + 1 < len(self.objectives), inputs=self.leaves)
                self._without_gradient(objective)

    def _renew(self, samples: int) -> None:
        """Copy the network: what it kept from batches of another size, such as a mask, does not fit the next."""
        self.model = copy.deepcopy(self.original)
        if self.mode == "train":
            normalize_each_sample(self.model, samples)
        self.all_modules = dict(self.model.named_modules())
        self.modules = {path: module for path, module in self.all_modules.items() if path in self.paths}

    def _call(self, state: dict[str, torch.Tensor], inputs: torch.Tensor, keywords: dict[str, torch.Tensor]) -> None:
        """Call the network.

        Raises
        ------
        BadSetting
            It does not take a batch of this size, as one that was traced with another.
        """
        try:
            torch.func.functional_call(self.model, state, (inputs,), keywords, tie_weights=False)
        except TrajlabError:
            raise
        except Exception as error:
            raise BadSetting(
                f"cannot call {type(self.model).__name__} with {self.size} samples of shape {list(inputs.shape[1:])}: "
                f"{str(error).strip()}; pass a model= that takes any number of samples"
            ) from error

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Hear the modules and functions whose outputs are wanted."""
        with hooked(self.modules, self._hear, self.attention):
            if not self.hears_functions:
                yield
                return
            with FunctionCalls(self.all_modules, self._hear_function).followed():
                yield

    def _hear_function(
        self, path: str, number: int, function: Nonlinearity, arguments: Any, tensor: torch.Tensor
    ) -> None:
        if self.is_passing_on:
            return
        scores = arguments if function.kind == "Softmax" and isinstance(arguments, torch.Tensor) else None
        self._hear_tensor(OutputKey(path, number, function=function.name), None, tensor, scores)

    def found(self) -> list[list[np.ndarray]]:
        """Return what each observer found."""
        for key in self.wanted:
            if self.filled[key] != self.samples:
                raise _unsteady(key.name, f"{self.filled[key]} samples", (self.samples,))
        return [watch.found() for watch in self.watches]

    def _leaves(self, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
        """Make the inputs require gradients; where they are integers, the embeddings."""
        self.leaves = [tensor.requires_grad_()] if tensor.is_floating_point() else []
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
        if self.is_passing_on:
            return
        number = self.calls[path]
        self.calls[path] += 1
        if not path and tensors:
            self.output = tensors[0]
        scores = first_tensor(inputs) if isinstance(module, nn.Softmax) else None
        for index, tensor in enumerate([*tensors, *maps]):
            self._hear_tensor(OutputKey(path, number, index), module, tensor, scores)

    def _output(self, objective: Objective, name: str) -> torch.Tensor:
        """Return what an objective is about: the outputs of units of a layer, else those of the network."""
        target = self.targeted.get(name) if objective.kind == "unit" else self.output
        if target is None:
            raise BadSetting(f"cannot observe {name or 'the network'}: it has no output tensor; choose another layer")
        return target

    def _hear_tensor(
        self, key: OutputKey, module: nn.Module | None, tensor: torch.Tensor, scores: torch.Tensor | None = None
    ) -> None:
        """Pass an output to its observers; the scores of a softmax say which of its values are masked."""
        if key in self.targets:
            layer = self.targets[key]
            self._check(key, tensor, layer.shape)
            shaped = tensor.reshape(self.size, *layer.shape).movedim(1 + layer.unit_axis, 1)
            self.targeted[layer.name] = shaped.reshape(self.size, layer.units, -1).clone()
        if key not in self.wanted:
            return
        shape = (self.size, *self.wanted[key][0][0].layers[self.wanted[key][0][1]].shape)
        self._check(key, tensor, shape[1:])
        self.filled[key] += self.size
        values = as_array(tensor if scores is None else with_unseen_marked(tensor, scores)).reshape(shape)
        parameters = self._parameters(key.path, module)
        for watch, position in self.wanted[key]:
            if watch.observer.objective is None:
                through = watch.observer.through if key.path else ()
                passed = self._passed_on(tensor, through) if through else values
                self._add(watch, position, Batch(passed, self.first, None, parameters, self.labels))
                continue
            kept = values.copy() if watch.observer.takes_values else values[:0]
            self.waiting.append((watch, position, kept, shape))
            if tensor.requires_grad:
                tensor.register_hook(partial(self._hear_gradient, len(self.waiting) - 1, parameters))

    def _passed_on(self, tensor: torch.Tensor, through: Sequence[str]) -> np.ndarray:
        """Return an output after some modules were applied to it, in order; these calls are not observed."""
        self.is_passing_on = True
        try:
            for path in through:
                output = first_tensor(self.all_modules[path](tensor))
                assert output is not None
                tensor = output
        finally:
            self.is_passing_on = False
        return as_array(tensor)

    def _check(self, key: OutputKey, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
        """Raise BadSetting if an output has another shape for each sample than in the trial."""
        if tensor.numel() != self.size * np.prod(shape) or (self.size and len(tensor) % self.size):
            raise _unsteady(key.name, list(tensor.shape), (self.size, *shape))

    def _hear_gradient(self, number: int, parameters: Mapping[str, np.ndarray], gradient: torch.Tensor) -> None:
        watch, position, values, shape = self.waiting[number]
        if watch.observer.objective == self.underway:
            self.arrived.add((number, position))
            array = as_array(gradient).reshape(shape)
            self._add(watch, position, Batch(values, self.first, array, parameters))

    def _without_gradient(self, objective: Objective) -> None:
        """Add the outputs on which the objective does not depend, with gradients of 0."""
        for number, (watch, position, values, shape) in enumerate(self.waiting):
            if watch.observer.objective == objective and (number, position) not in self.arrived:
                seen = Batch(values, self.first, np.zeros(shape, np.float32), self._parameters_at(watch, position))
                self._add(watch, position, seen)

    def _add(self, watch: Watch, position: int, batch: Batch) -> None:
        """Add a batch to an observer, without padding unless the observer takes it."""
        layer, observer = watch.layers[position], watch.observer
        if observer.takes_padding or layer.mask not in self.is_token:
            observer.add(watch.state, position, batch)
            return
        for part in without_padding(batch, layer, self.is_token[layer.mask][self.first : self.first + self.size]):
            observer.add(watch.state, position, part)

    def _parameters_at(self, watch: Watch, position: int) -> Mapping[str, np.ndarray]:
        attrs = watch.layers[position].attrs
        return {} if attrs["function"] else self._parameters(attrs["module"], self.modules.get(attrs["module"]))

    def _parameters(self, path: str, module: nn.Module | None) -> Mapping[str, np.ndarray]:
        """Return the parameters of a module; of the network itself those of all modules, tied ones once."""
        if module is None:
            return {}
        if not path:
            return Arrays({name: self.state[name] for name in self.untied if name in self.state})
        names = [(name, f"{path}.{name}") for name, _ in module.named_parameters(recurse=False)]
        return Arrays({name: self.state[whole] for name, whole in names if whole in self.state})


def _unsteady(name: str, shape: Any, expected: tuple[int, ...]) -> BadSetting:
    return BadSetting(
        f"cannot observe {name}: its output has {shape} instead of shape {list(expected)}, and so depends on more than "
        "the number of samples; leave it out of layers"
    )
