"""Outputs of a pass through a network: where each is, and what it says of its layer."""

from typing import Any, NamedTuple

import torch
from torch import nn

from trajlab.replays.function_calls import activation_class, is_activation_module
from trajlab.replays.nonlinearities import SOFTMAXES, Nonlinearity
from trajlab.replays.unit_axes import UnitAxis


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
