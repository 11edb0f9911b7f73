"""Trace of a network: which modules a trial pass calls, in which order, with which output shapes."""

from typing import Any, NamedTuple

import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.replays.hooks import first_tensor, hooked
from trajlab.replays.observers.observer import INPUT

ACTIVATION_HOMES = ("torch.nn.modules.activation", "transformers.activations")
SOFTMAXES = ("Softmin", "Softmax", "Softmax2d", "LogSoftmax")
NOT_ELEMENTWISE = ("MultiheadAttention", *SOFTMAXES)


class OutputKey(NamedTuple):
    """Where an output is in a pass: the path of the module, the number of its call, and which of its tensors."""

    path: str
    call: int = 0
    tensor: int = 0

    @property
    def name(self) -> str:
        """Name of the layer.

        >>> OutputKey("relu").name, OutputKey("relu", 1).name, OutputKey("attention", 0, 1).name
        ('relu', 'relu:1', 'attention[1]')
        """
        return self.path + (f":{self.call}" if self.call else "") + (f"[{self.tensor}]" if self.tensor else "")


class Call(NamedTuple):
    """One output of one call of a module in a pass through the network.

    Parameters
    ----------
    key
        Where it is.
    module
        The module.
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
    """

    key: OutputKey
    module: Any
    shape: tuple[int, ...]
    dtype: torch.dtype
    input_shape: tuple[int, ...] = ()
    is_attention: bool = False
    ndim: int = 0

    @property
    def is_activation(self) -> bool:
        """Whether the module is an elementwise activation."""
        return not self.key.tensor and any(
            kind.__module__ in ACTIVATION_HOMES and kind.__name__ not in NOT_ELEMENTWISE
            for kind in type(self.module).__mro__
        )

    @property
    def is_softmax(self) -> bool:
        """Whether the module is a softmax, or the logarithm of one."""
        return not self.key.tensor and type(self.module).__name__ in SOFTMAXES and bool(self.shape)

    @property
    def softmax_axis(self) -> int:
        """Axis in `shape` along which a softmax sums to 1; -1 if that is the one over the samples."""
        dim = -3 if isinstance(self.module, nn.Softmax2d) else self.module.dim
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
        weight = getattr(self.module, "weight", None)
        no_units = nn.Embedding | nn.EmbeddingBag | nn.LayerNorm | nn.RMSNorm
        matrix = isinstance(weight, torch.Tensor) and weight.ndim > 1 and not self.key.tensor
        return matrix and not isinstance(self.module, no_units)

    @property
    def unit_axis(self) -> int:
        """Axis over the units in the output for one sample, of a module that has units."""
        return 0 if self.module.weight.ndim > 2 else len(self.shape) - 1

    @property
    def has_row_per_unit(self) -> bool:
        """Whether the weight of a module that has units has a row for each; a transposed convolution's has not."""
        transposed = isinstance(self.module, nn.modules.conv._ConvTransposeNd)
        return not transposed and len(self.module.weight) == self.shape[self.unit_axis]


def shape_for_one(tensor: torch.Tensor | None, samples: int) -> tuple[int, ...]:
    """Return the shape of a tensor for one sample, () if it has no values for each."""
    if tensor is None or not tensor.ndim or not len(tensor) or len(tensor) % samples:
        return ()
    rows = len(tensor) // samples
    return (*((rows,) if rows > 1 else ()), *tensor.shape[1:]) or (1,)


def trial(model: nn.Module, inputs: torch.Tensor) -> list[Call]:
    """Run a network once and give the outputs of its modules, in the order in which these end; the inputs come first.

    Raises
    ------
    BadSetting
        The network does not take the inputs.
    """
    modules = dict(model.named_modules())
    samples = len(inputs)
    calls: list[Call] = []
    if INPUT not in modules:
        calls.append(Call(OutputKey(INPUT), None, tuple(inputs.shape[1:]) or (1,), inputs.dtype))

    def hear(path: str, module: nn.Module, given: Any, tensors: list[torch.Tensor], maps: list[torch.Tensor]) -> None:
        number = sum(call.key.path == path and not call.key.tensor for call in calls)
        into = shape_for_one(first_tensor(given), samples)
        for key, tensor in enumerate([*tensors, *maps]):
            shape = shape_for_one(tensor, samples)
            named = key > 0 and (key >= len(tensors) or "Attention" in type(module).__name__) and len(shape) == 3
            calls.append(Call(OutputKey(path, number, key), module, shape, tensor.dtype, into, named, tensor.ndim))
        if not tensors:
            calls.append(Call(OutputKey(path, number), module, (), torch.float32))

    with torch.no_grad(), hooked(modules, hear, modules):
        output_of(model, inputs)
    return calls


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
