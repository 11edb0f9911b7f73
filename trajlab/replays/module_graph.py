"""The graph of a network for `trajlab network`: its modules with their costs, and the functions between them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trajlab.replays.calls import OutputKey, shape_for_one
from trajlab.replays.dtypes import as_input
from trajlab.replays.hooks import first_tensor, tensors_in
from trajlab.replays.model import Model, build, fit
from trajlab.replays.observers.observer import INPUT
from trajlab.replays.replay import TRIAL_SAMPLES, probe_parts
from trajlab.replays.torch_settings import settings
from trajlab.replays.trace import output_of
from trajlab.runs.trajectory import Trajectory

OUTPUT = "output"
"""Name of the node of what a network gives."""


@dataclass
class Node:
    """A module that is called, a function between modules, the inputs, or the output.

    Parameters
    ----------
    name
        Name of the layer; of a function, its name in autograd.
    kind
        ``module``, ``function``, ``input`` or ``output``.
    module_class
        Class of the module.
    shape
        Shape of what it gives, for one sample.
    parameters
        Number of its own parameters.
    multiply_adds
        Multiplications with an addition, of its matrix products and convolutions, for one sample; of the output, those
        of functions outside the modules.
    sources
        Positions of the nodes that feed it.
    """

    name: str
    kind: str
    module_class: str = ""
    shape: tuple[int, ...] = ()
    parameters: int = 0
    multiply_adds: int = 0
    sources: list[int] = field(default_factory=list)


def module_graph(trajectory: Trajectory, *, model: Model | None = None, probe: Any = None) -> list[Node]:
    """Return the graph of the network of a run, in the order of a pass; no snapshot is read.

    Modules without modules of their own are nodes. The graph is that of autograd, of a pass in eval mode: what is not
    differentiated, such as a mask, is not seen. Multiply–adds are what torch.utils.flop_counter counts: those of matrix
    products, convolutions and attention, not of elementwise functions and norms.

    Parameters
    ----------
    trajectory
        A run.
    model, probe
        As `trajlab.replay` takes them.

    Raises
    ------
    MissingData
        The run names no model or has no probe, and none is given.
    BadSetting
        The model does not fit the weights, or does not take the inputs.
    """
    built = build(trajectory, trajectory.model if model is None else model)
    fit(built, trajectory)
    inputs, _, steps, _ = probe_parts(trajectory, probe)
    shape = inputs.shape[1:] if steps is None else inputs.shape[2:]
    with settings, torch.enable_grad(), torch.random.fork_rng(devices=[]):
        for parameter in built.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        zeros = torch.from_numpy(np.zeros((TRIAL_SAMPLES, *shape), inputs.dtype))
        return _Tracer(built, as_input(zeros, [value.dtype for value in built.parameters()])).nodes


class _Tracer:
    """A pass that writes down which function of autograd gave what."""

    def __init__(self, model: nn.Module, inputs: torch.Tensor):
        self.samples = len(inputs)
        self.nodes = [Node(INPUT, "input", shape=tuple(inputs.shape[1:]))]
        self.home: dict[Any, int] = {}
        self.calls: dict[str, int] = {}
        tensor = inputs.requires_grad_() if inputs.is_floating_point() else inputs
        self.inputs = tensor
        started: list[tuple[list[int], int]] = []

        def enter(module: nn.Module, arguments: Any) -> None:
            started.append((self._sources(tensors_in(arguments)), self.counter.get_total_flops()))

        def leave(path: str) -> Any:
            def hook(module: nn.Module, arguments: Any, output: Any) -> None:
                sources, before = started.pop()
                self._module(path, module, sources, output, self.counter.get_total_flops() - before)

            return hook

        leaves = {path: module for path, module in model.named_modules() if not list(module.children())}
        handles = [module.register_forward_pre_hook(enter) for module in leaves.values()]
        handles += [module.register_forward_hook(leave(path)) for path, module in leaves.items()]
        try:
            with FlopCounterMode(display=False) as self.counter:
                output = output_of(model, tensor.clone() if tensor.requires_grad else tensor)
        finally:
            for handle in handles:
                handle.remove()
        shape = shape_for_one(first_tensor(output), self.samples)
        outside = self.counter.get_total_flops() // (2 * self.samples) - sum(node.multiply_adds for node in self.nodes)
        sources = self._sources(tensors_in(output))
        self.nodes.append(Node(OUTPUT, "output", shape=shape, multiply_adds=outside, sources=sources))

    def _module(self, path: str, module: nn.Module, sources: list[int], output: Any, flops: int) -> None:
        number = self.calls.get(path, 0)
        self.calls[path] = number + 1
        parameters = 0 if number else sum(value.numel() for value in module.parameters())
        shape = shape_for_one(first_tensor(output), self.samples)
        name = OutputKey(path, number).name
        multiply_adds = flops // (2 * self.samples)  # torch counts both operations, of all samples
        self.nodes.append(Node(name, "module", type(module).__name__, shape, parameters, multiply_adds, sources))
        for tensor in tensors_in(output):
            if tensor.grad_fn is not None:
                self.home[tensor.grad_fn] = len(self.nodes) - 1

    def _sources(self, tensors: Iterable[torch.Tensor]) -> list[int]:
        """Return the nodes whose outputs some tensors are; functions between modules become nodes."""
        sources = []
        for tensor in tensors:
            if tensor.grad_fn is not None:
                sources.append(self._node(tensor.grad_fn))
            elif not tensor.is_floating_point() or tensor is self.inputs:
                sources.append(0)
        return list(dict.fromkeys(sources))

    def _node(self, function: Any) -> int:
        """Return the node of a function of autograd; those before it that have none become nodes first."""
        waiting = [function]
        while waiting:
            before = [node for node, _ in waiting[-1].next_functions if node is not None]
            unknown = [node for node in before if node not in self.home and not hasattr(node, "variable")]
            if waiting[-1] in self.home or not unknown:
                self._settle(waiting.pop(), before)
            else:
                waiting += unknown[::-1]
        return self.home[function]

    def _settle(self, function: Any, before: list[Any]) -> None:
        """Make a function a node, unless it is one; a leaf before it is the inputs, or a parameter without a module."""
        if function in self.home:
            return
        origins = [origin for origin in before if not hasattr(origin, "variable") or origin.variable is self.inputs]
        sources = list(dict.fromkeys(0 if hasattr(origin, "variable") else self.home[origin] for origin in origins))
        name = re.sub(r"Backward\d*$", "", type(function).__name__)
        if name == "Clone" and sources == [0]:
            self.home[function] = 0
            return
        self.nodes.append(Node(_snake_case(name), "function", sources=sources))
        self.home[function] = len(self.nodes) - 1


def _snake_case(name: str) -> str:
    """Return the name of a function of autograd as users call it.

    >>> _snake_case("Add"), _snake_case("AvgPool2D"), _snake_case("UnsafeView")
    ('add', 'avg_pool2d', 'unsafe_view')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z](?!$))", "_", name).lower()
