"""Trace of a network: which modules and functions a trial pass calls, in which order, with which output shapes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from trajlab.errors import BadSetting
from trajlab.replays.function_calls import FunctionCalls, activation_class, is_activation_module
from trajlab.replays.hooks import first_tensor, hooked, tensors_in
from trajlab.replays.nonlinearities import SOFTMAXES, Nonlinearity, function_name
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


class OutputKey(NamedTuple):
    """Where an output is in a pass.

    Parameters
    ----------
    path
        Path of the module; of a function, of the module that calls it.
    call
        Number of its call.
    tensor
        Which of the tensors that it returns.
    function
        Name of the function; empty for a module.
    """

    path: str
    call: int = 0
    tensor: int = 0
    function: str = ""

    @property
    def whole(self) -> str:
        """Name of the layer without numbers."""
        return ".".join(filter(None, (self.path, self.function)))

    @property
    def name(self) -> str:
        """Name of the layer.

        >>> OutputKey("relu").name, OutputKey("relu", 1).name, OutputKey("attention", 0, 1).name
        ('relu', 'relu:1', 'attention[1]')
        >>> OutputKey("layer1.0", 1, function="relu").name
        'layer1.0.relu:1'
        """
        return self.whole + (f":{self.call}" if self.call else "") + (f"[{self.tensor}]" if self.tensor else "")


class Call(NamedTuple):
    """One output of one call of a module, or of a nonlinear function, in a pass through the network.

    Parameters
    ----------
    key
        Where it is.
    module
        The module; None for the inputs, and for functions.
    shape
        Shape of the output for one sample, () if it does not give values for each sample.
    dtype
        Element type of the output.
    input_shape
        Shape of the first input for one sample, () if that has no values for each sample.
    is_attention
        Whether it is the attention that each head of a module pays, (head, query, key).
    ndim
        Number of axes of the output of several samples.
    function
        The function.
    units
        Axis of the output of several samples over its units, and the position of the call of the module that made
        them; None if it cannot be known.
    ends_in
        Of the network itself, class of torch.nn of the softmax or sigmoid whose output it returns; empty for none.
    is_gate
        Whether it is the activation in the product of a gated MLP.
    enters_weight
        Whether it is multiplied by a weight next.
    """

    key: OutputKey
    module: Any
    shape: tuple[int, ...]
    dtype: torch.dtype
    input_shape: tuple[int, ...] = ()
    is_attention: bool = False
    ndim: int = 0
    function: Nonlinearity | None = None
    units: UnitAxis | None = None
    ends_in: str = ""
    is_gate: bool = False
    enters_weight: bool = False

    @property
    def is_called(self) -> bool:
        """Whether it is the output of a module or a function, not the inputs."""
        return self.module is not None or self.function is not None

    @property
    def is_activation(self) -> bool:
        """Whether it is the output of an elementwise activation."""
        if self.function is not None and self.function.is_product:
            return False
        if self.function is not None:
            return not self.function.is_softmax
        return not self.key.tensor and is_activation_module(self.module) and not self.is_softmax

    @property
    def is_gated(self) -> bool:
        """Whether it holds the units of a gated MLP: the product of activation and linear output that enters a weight.

        The activation alone is then no unit.
        """
        return self.enters_weight and self.function is not None and self.function.is_product

    @property
    def is_softmax(self) -> bool:
        """Whether it is the output of a softmax, or the logarithm of one."""
        softmax = self.function.is_softmax if self.function else type(self.module).__name__ in SOFTMAXES
        return not self.key.tensor and softmax and bool(self.shape)

    @property
    def nonlinearity(self) -> str:
        """Class of torch.nn that computes the activation or softmax, or its own class; empty for other modules."""
        if self.function is not None:
            return self.function.kind
        if not (self.is_activation or self.is_softmax):
            return ""
        return activation_class(self.module)

    @property
    def softmax_axis(self) -> int:
        """Axis in `shape` along which a softmax sums to 1; -1 if that is the one over the samples."""
        dim = self.function.dim if self.function else -3 if isinstance(self.module, nn.Softmax2d) else self.module.dim
        if dim is None:
            dim = 0 if self.ndim in (0, 1, 3) else 1  # as torch takes it
        return max(dim % self.ndim - (self.ndim - len(self.shape)), -1)

    @property
    def is_convolution(self) -> bool:
        """Whether the module is a convolution."""
        return isinstance(self.module, nn.modules.conv._ConvNd)

    @property
    def has_units(self) -> bool:
        """Whether the module has a matrix or kernels as its weight, and so units that it gives the values of."""
        return not self.key.tensor and makes_units(self.module)

    @property
    def unit_axis(self) -> int | None:
        """Axis over the units in `shape`; None if it cannot be known."""
        if len(self.shape) == 1 or self.is_attention:
            return 0
        axis = -1 if self.units is None else self.units.axis - (self.ndim - len(self.shape))
        return axis if axis >= 0 else None

    @property
    def has_row_per_unit(self) -> bool:
        """Whether the weight of a module that has units has a row for each; a transposed convolution's has not."""
        transposed = isinstance(self.module, nn.modules.conv._ConvTransposeNd)
        axis = self.unit_axis
        return axis is not None and not transposed and len(self.module.weight) == self.shape[axis]


def makes_units(module: Any) -> bool:
    """Return whether a module has a matrix or kernels as its weight, and so makes units."""
    weight = getattr(module, "weight", None)
    no_units = nn.Embedding | nn.EmbeddingBag | nn.LayerNorm | nn.RMSNorm
    return isinstance(weight, torch.Tensor) and weight.ndim > 1 and not isinstance(module, no_units)


def shape_for_one(tensor: torch.Tensor | None, samples: int) -> tuple[int, ...]:
    """Return the shape of a tensor for one sample, () if it has no values for each."""
    if tensor is None or not tensor.ndim or not len(tensor) or len(tensor) % samples:
        return ()
    rows = len(tensor) // samples
    return (*((rows,) if rows > 1 else ()), *tensor.shape[1:]) or (1,)


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


def trial(model: nn.Module, inputs: torch.Tensor) -> Trial:
    """Run a network once, to learn what it calls.

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
        output_of(model, inputs)
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
        elif name in ("mul", "rmul", "multiply") and isinstance(output, torch.Tensor):
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


def output_of(model: nn.Module, inputs: torch.Tensor) -> Any:
    """Call a network.

    Raises
    ------
    BadSetting
        The network does not take the inputs.
    """
    try:
        return model(inputs)
    except Exception as error:
        raise BadSetting(
            f"cannot call {type(model).__name__} with inputs of shape {list(inputs.shape)} and type {inputs.dtype}: "
            f"{str(error).strip()}; pass a probe= that the model takes"
        ) from error
