"""Which outputs of a network are layers: a trial run tells what is called, in what order, and in what shapes."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.snapshots.tensors import SPATIAL

ACTIVATION_HOMES = ("torch.nn.modules.activation", "transformers.activations")
NOT_ELEMENTWISE = ("MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax")
RECTIFIERS = (nn.ReLU, nn.ReLU6)


def call_name(path: str, number: int) -> str:
    """Name of a call: the path of the module, with the number of the call if it is not the first.

    >>> call_name("layer1.0.relu", 0), call_name("layer1.0.relu", 1)
    ('layer1.0.relu', 'layer1.0.relu:1')
    """
    return f"{path}:{number}" if number else path


class Call(NamedTuple):
    """One call of a module in a pass through the network.

    Parameters
    ----------
    path
        Path of the module.
    name
        Name of the call.
    module
        The module.
    shape
        Shape of its output for one sample, () if it does not give values for each sample.
    dtype
        Element type of its output.
    """

    path: str
    name: str
    module: Any
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def is_activation(self) -> bool:
        """Whether the module is an elementwise activation."""
        return any(
            kind.__module__ in ACTIVATION_HOMES and kind.__name__ not in NOT_ELEMENTWISE
            for kind in type(self.module).__mro__
        )

    @property
    def has_units(self) -> bool:
        """Whether the module has a matrix or kernels as its weight, and so units that it gives the values of."""
        weight = getattr(self.module, "weight", None)
        no_units = nn.Embedding | nn.EmbeddingBag | nn.LayerNorm | nn.RMSNorm
        return isinstance(weight, torch.Tensor) and weight.ndim > 1 and not isinstance(self.module, no_units)

    @property
    def unit_axis(self) -> int:
        """Axis over the units in the output for one sample, of a module that has units."""
        return 0 if self.module.weight.ndim > 2 else len(self.shape) - 1

    @property
    def has_row_per_unit(self) -> bool:
        """Whether the weight of a module that has units has a row for each; a transposed convolution's has not."""
        transposed = isinstance(self.module, nn.modules.conv._ConvTransposeNd)
        return not transposed and len(self.module.weight) == self.shape[self.unit_axis]


class Layer(NamedTuple):
    """A call whose output is kept: how it is recognized, the shape for one sample, and how it is labeled."""

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    dims: tuple[str, ...]
    attrs: dict[str, Any]


@contextmanager
def listening(modules: Mapping[str, nn.Module], hear: Any) -> Iterator[None]:
    """Have `hear(path, module, output)` called with the first tensor that a module gives, each time it was called."""

    def hook(path: str) -> Any:
        return lambda module, inputs, output: hear(path, module, first_tensor(output))

    handles = [module.register_forward_hook(hook(path)) for path, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(output: Any) -> torch.Tensor | None:
    """Give the first tensor in what a module gives, which may be nested; None if there is none."""
    if isinstance(output, torch.Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return next((found for found in map(first_tensor, parts) if found is not None), None)


def trial(model: nn.Module, inputs: torch.Tensor) -> list[Call]:
    """Run a network once and give the calls of its modules, in the order in which these end.

    Raises
    ------
    BadSetting
        The network does not take the inputs.
    """
    calls: list[Call] = []
    samples = len(inputs)

    def hear(path: str, module: nn.Module, output: torch.Tensor | None) -> None:
        shape: tuple[int, ...] = ()
        if output is not None and output.ndim and len(output) and len(output) % samples == 0:
            rows = len(output) // samples
            shape = (*((rows,) if rows > 1 else ()), *output.shape[1:]) or (1,)
        name = call_name(path, sum(call.path == path for call in calls))
        calls.append(Call(path, name, module, shape, torch.float32 if output is None else output.dtype))

    with torch.no_grad(), listening(dict(model.named_modules()), hear):
        try:
            model(inputs)
        except Exception as error:
            raise BadSetting(
                f"{type(model).__name__} was called with inputs of shape {list(inputs.shape)} and type {inputs.dtype}; "
                f"{str(error).strip()}. Pass a probe= that the model takes."
            ) from error
    return calls


def choose(calls: Sequence[Call], patterns: Sequence[str] | None) -> list[Layer]:
    """Give the calls whose outputs are asked for, in the order of the pass.

    Parameters
    ----------
    calls
        All calls of the pass.
    patterns
        Names of modules, or patterns of names; "" is the network itself. Without them: activations, and where there
        are none the modules that have units except the last.

    Raises
    ------
    BadSetting
        A pattern fits no module that is called, or one whose output has no values for each sample.
    """
    if patterns is None:
        usable = [call for call in calls if call.shape and call.path]
        chosen = [call for call in usable if call.is_activation] or [call for call in usable if call.has_units][:-1]
    else:
        for pattern in patterns:
            if not any(_fits(call, pattern) for call in calls):
                names = [call.name for call in calls if call.path]
                close = difflib.get_close_matches(pattern, names, 3, 0.4) or names[:5]
                raise BadSetting(
                    f"the layer {pattern!r} was asked for; no module of that name is called. "
                    f"Did you mean {', '.join(close)}?"
                )
        chosen = [call for call in calls if any(_fits(call, pattern) for pattern in patterns)]
        for call in chosen:
            if not call.shape:
                raise BadSetting(
                    f"the output of {call.name} was asked for; it has no values for each sample. "
                    "Leave it out of layers."
                )
    return [_layer(call, calls[: calls.index(call) + 1]) for call in chosen]


def _fits(call: Call, pattern: str) -> bool:
    if not call.path:
        return pattern == ""
    return fnmatchcase(call.path, pattern) or fnmatchcase(call.name, pattern)


def _layer(call: Call, until: Sequence[Call]) -> Layer:
    """Label the output of a call, from the calls up to it."""
    origins = [
        one
        for one in until
        if one.shape
        and one.path
        and one.has_units
        and len(one.shape) == len(call.shape)
        and one.shape[one.unit_axis] == call.shape[one.unit_axis]
    ]
    origin = origins[-1] if origins else None
    axis = origin.unit_axis if origin else 0 if len(call.shape) > 2 else len(call.shape) - 1
    before, after = axis, len(call.shape) - axis - 1
    positions = ("position",) if before == 1 else tuple(f"position_{i}" for i in range(before))
    spatial = SPATIAL.get(after) or tuple(f"dim_{i}" for i in range(after))
    attrs = {
        "module": call.path,
        "module_class": type(call.module).__name__,
        "source": origin.path if origin and origin.has_row_per_unit else "",
        "rectified": isinstance(call.module, RECTIFIERS),
        "activation": call.is_activation,
    }
    return Layer(call.path, call.name, call.shape, call.dtype, (*positions, "unit", *spatial), attrs)
