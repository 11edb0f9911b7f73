"""Trace of a network: which modules and functions a trial pass calls, in which order, with which output shapes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from trajlab.errors import BadSetting
from trajlab.replays.calls import Call, OutputKey, makes_units, shape_for_one
from trajlab.replays.function_calls import FunctionCalls, is_activation_module
from trajlab.replays.hooks import first_tensor, hooked, tensors_in
from trajlab.replays.nonlinearities import PRODUCTS, Nonlinearity, function_name
from trajlab.replays.observers.observer import INPUT
from trajlab.replays.unit_axes import UnitAxes, UnitAxis

FUSED = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
         "transformer_encoder_layer_fwd")  # fmt: skip
"""Functions of torch that compute activations of their own, which are never there as tensors of Python."""

ELEMENTWISE = frozenset(
    "relu threshold hardtanh hardsigmoid hardswish tanh sigmoid elu celu selu softplus log_sigmoid_forward gelu silu "
    "mish leaky_relu prelu rrelu glu hardshrink softshrink".split()
)
"""Operators below functions that compute activations, as torch.jit calls them."""


PROJECTIONS = ("linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "grouped_mm")
"""Functions that multiply by a weight: the product that enters one holds the units of a gated MLP."""

SAME_VALUES = ("view", "reshape", "flatten", "contiguous", "to", "dropout")
"""Functions behind which a product is still the same in eval mode."""


class Trial(NamedTuple):
    """What a trial pass tells.

    Parameters
    ----------
    calls
        Outputs of modules and functions, in the order in which these end; the inputs come first.
    unobserved
        Activations that are computed where no tensor of theirs can be observed, in words.
    """

    calls: list[Call]
    unobserved: list[str]


def trial(model: nn.Module, inputs: torch.Tensor, keywords: Mapping[str, torch.Tensor] | None = None) -> Trial:
    """Run a network once on inputs and keyword arguments, to learn what it calls.

    Raises
    ------
    BadSetting
        The network does not take the inputs.
    """
    modules = dict(model.named_modules())
    samples = len(inputs)
    calls: list[Call] = []
    if INPUT not in modules:
        calls.append(Call(OutputKey(INPUT), None, tuple(inputs.shape[1:]) or (1,), inputs.dtype, ndim=inputs.ndim))

    def hear(
        path: str, module: nn.Module, arguments: Any, tensors: list[torch.Tensor], maps: list[torch.Tensor]
    ) -> None:
        number = sum(call.key.path == path and not call.key.tensor and call.module is not None for call in calls)
        into = shape_for_one(first_tensor(arguments), samples)
        for key, tensor in enumerate([*tensors, *maps]):
            shape = shape_for_one(tensor, samples)
            named = key > 0 and (key >= len(tensors) or "Attention" in type(module).__name__) and len(shape) == 3
            if not key and makes_units(module) and (axis := _axis_made(module, tensor)) is not None:
                traced.axes.set(tensor, UnitAxis(axis, len(calls)))
            units = traced.axes.of(tensor)
            call = Call(
                OutputKey(path, number, key), module, shape, tensor.dtype, into, named, tensor.ndim, units=units
            )
            if is_activation_module(module):
                traced.positions[tensor] = len(calls)
            calls.append(call if path or key else call._replace(ends_in=last.same_as(call, tensor)))
            last.hear(call, tensor)
        if not tensors:
            calls.append(Call(OutputKey(path, number), module, (), torch.float32))

    def hear_function(path: str, number: int, function: Nonlinearity, arguments: Any, tensor: torch.Tensor) -> None:
        shape = () if tensor in traced.fixed else shape_for_one(tensor, samples)
        into = shape_for_one(first_tensor(arguments), samples)
        key = OutputKey(path, number, function=function.name)
        units = traced.axes.of(tensor)
        traced.positions[tensor] = len(calls)
        calls.append(Call(key, None, shape, tensor.dtype, into, ndim=tensor.ndim, function=function, units=units))
        last.hear(calls[-1], tensor)

    last = _LastProbabilities()
    traced = _Traced(modules, hear_function)
    for value in (*model.parameters(), *model.buffers()):
        traced.fixed[value] = True
    with torch.no_grad(), _Below(traced), hooked(modules, hear, modules), traced.followed():
        output_of(model, inputs, keywords)
    for product, gate in traced.entered.items():
        if product == gate:
            continue
        calls[product] = calls[product]._replace(enters_weight=True)
        calls[gate] = calls[gate]._replace(is_gate=True)
    return Trial(calls, list(dict.fromkeys(traced.unobserved)))


class _LastProbabilities:
    """The last output of a softmax or a sigmoid."""

    def __init__(self) -> None:
        self.kind, self.tensor, self.version = "", torch.empty(0), 0

    def hear(self, call: Call, tensor: torch.Tensor) -> None:
        """Keep the output of a call, if it is one of a softmax over the units, or of a sigmoid."""
        kind = call.nonlinearity
        over_units = call.softmax_axis == (call.unit_axis or 0) if call.is_softmax else kind == "Sigmoid"
        if kind and over_units:
            self.kind, self.tensor, self.version = kind, tensor, tensor._version

    def same_as(self, call: Call, tensor: torch.Tensor) -> str:
        """Return its class if the output of the network is a view of it, else nothing."""
        same = tensor.numel() == self.tensor.numel() and tensor.data_ptr() == self.tensor.data_ptr()
        return self.kind if same and tensor.numel() and tensor._version == self.version else ""


def _axis_made(module: Any, tensor: torch.Tensor) -> int | None:
    """Return the axis over the units that a module with a weight makes."""
    kernels = module.weight.ndim > 2 and not isinstance(module, nn.Bilinear)
    axis = tensor.ndim - module.weight.ndim + 1 if kernels else tensor.ndim - 1
    return axis if axis >= 0 else None


class _Traced(FunctionCalls):
    """Function calls of a trial, with the unit axes of all tensors, and the activations that are not seen.

    Attributes
    ----------
    fixed
        Parameters, buffers and what is computed of them alone, which has no values for each sample.
    positions
        Position among the calls of outputs of activations and functions.
    entered
        Position of each product that enters a weight, and of the activation in it.
    """

    def __init__(self, modules: Mapping[str, nn.Module], hear: Any):
        super().__init__(modules, hear)
        self.axes = UnitAxes()
        self.fixed = WeakTensorKeyDictionary()
        self.unobserved: list[str] = []
        self.positions = WeakTensorKeyDictionary()
        self.entered: dict[int, int] = {}
        self._gates = WeakTensorKeyDictionary()

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        name = function_name(function)
        if name in FUSED:
            self.miss(name)
        within = name in FUSED or name in ("scaled_dot_product_attention", "multi_head_attention_forward")
        self.inside += within
        inputs = [*tensors_in(list(args)), *tensors_in(kwargs)]
        is_fixed = bool(inputs) and all(value in self.fixed for value in inputs)
        try:
            output = self.axes.call(function, args, kwargs)
        finally:
            self.inside -= within
        for tensor in tensors_in(output) if is_fixed else ():
            self.fixed[tensor] = True
        self._follow_products(name, inputs, output)
        return output

    def _follow_products(self, name: str, inputs: Sequence[torch.Tensor], output: Any) -> None:
        """Follow products of two tensors, one of which is the output of an activation, to the weight they enter."""
        if name in PROJECTIONS:
            products = [value for value in inputs if value in self._gates and value in self.positions]
            self.entered |= {self.positions[value]: self._gates[value] for value in products}
        elif name in PRODUCTS and isinstance(output, torch.Tensor):
            gates = [self.positions[value] for value in inputs if value in self.positions]
            if len(gates) == 1:
                self._gates[output] = gates[0]
        elif name in SAME_VALUES and inputs and inputs[0] in self._gates and inputs[0] in self.positions:
            for table in (self._gates, self.positions):
                table[output] = table[inputs[0]]

    def miss(self, name: str) -> None:
        """Write down that a function computes activations that cannot be observed."""
        self.unobserved.append(f"{name} in {self.path or 'the network'}")


class _Below(TorchDispatchMode):
    """Hear the operators below functions: an activation that no function called is one that cannot be observed."""

    def __init__(self, traced: _Traced):
        super().__init__()
        self.traced = traced

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2].strip("_")
        if name in ELEMENTWISE and not self.traced.inside:
            self.traced.miss(name)
        return func(*args, **(kwargs or {}))


def output_of(model: nn.Module, inputs: torch.Tensor, keywords: Mapping[str, torch.Tensor] | None = None) -> Any:
    """Call a network.

    Raises
    ------
    BadSetting
        The network does not take the inputs.
    """
    try:
        return model(inputs, **(keywords or {}))
    except Exception as error:
        raise BadSetting(
            f"cannot call {type(model).__name__} with inputs of shape {list(inputs.shape)} and type {inputs.dtype}: "
            f"{str(error).strip()}; pass a probe= that the model takes"
        ) from error
