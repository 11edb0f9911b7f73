"""Which outputs of a network are layers: a trial run tells what is called, in what order, and in what shapes."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.observing import INPUT, Layer
from trajlab.replaying.attention import Attention, ask, tells_if_asked
from trajlab.replaying.types import array_type
from trajlab.snapshots.tensors import SPATIAL

ACTIVATION_HOMES = ("torch.nn.modules.activation", "transformers.activations")
NOT_ELEMENTWISE = ("MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax")
RECTIFIERS = (nn.ReLU, nn.ReLU6)
KINDS = ("activations", "convolutions", "units", "modules")
"""What may be asked for without naming it: activations; convolutions; modules with a matrix or kernels as weight; all
modules that are called."""


class Place(NamedTuple):
    """Where an output is in a pass: the path of the module, the number of its call, and which of its tensors."""

    path: str
    call: int = 0
    tensor: int = 0

    @property
    def name(self) -> str:
        """Name of the layer.

        >>> Place("relu").name, Place("relu", 1).name, Place("attention", 0, 1).name
        ('relu', 'relu:1', 'attention[1]')
        """
        return self.path + (f":{self.call}" if self.call else "") + (f"[{self.tensor}]" if self.tensor else "")


class Call(NamedTuple):
    """One output of one call of a module in a pass through the network.

    Parameters
    ----------
    place
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
    """

    place: Place
    module: Any
    shape: tuple[int, ...]
    dtype: torch.dtype
    input_shape: tuple[int, ...] = ()
    is_attention: bool = False

    @property
    def is_activation(self) -> bool:
        """Whether the module is an elementwise activation."""
        return not self.place.tensor and any(
            kind.__module__ in ACTIVATION_HOMES and kind.__name__ not in NOT_ELEMENTWISE
            for kind in type(self.module).__mro__
        )

    @property
    def is_convolution(self) -> bool:
        """Whether the module is a convolution."""
        return isinstance(self.module, nn.modules.conv._ConvNd)

    @property
    def has_units(self) -> bool:
        """Whether the module has a matrix or kernels as its weight, and so units that it gives the values of."""
        weight = getattr(self.module, "weight", None)
        no_units = nn.Embedding | nn.EmbeddingBag | nn.LayerNorm | nn.RMSNorm
        matrix = isinstance(weight, torch.Tensor) and weight.ndim > 1 and not self.place.tensor
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


@contextmanager
def listening(modules: Mapping[str, nn.Module], hear: Any, attention: Collection[str] = ()) -> Iterator[None]:
    """Have `hear(path, module, inputs, tensors, maps)` called each time that a module was called.

    Parameters
    ----------
    modules
        The modules by path.
    hear
        Is given what went in, the tensors that came out, and the attention that the module paid on the way.
    attention
        Paths of the modules whose attention is wanted.
    """
    watch = Attention()
    followed = {path for path in attention if not tells_if_asked(modules[path])}

    def enter(path: str) -> Any:
        return lambda module, inputs: watch.stack.append(path)

    def leave(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            maps = watch.left(path) if path in followed else []
            hear(path, module, inputs, list(tensors_in(output)), maps)

        return hook

    handles = [modules[path].register_forward_pre_hook(enter(path)) for path in followed]
    handles += [modules[path].register_forward_pre_hook(ask, with_kwargs=True) for path in set(attention) - followed]
    handles += [module.register_forward_hook(leave(path)) for path, module in modules.items()]
    try:
        with watch if followed else nullcontext():
            yield
    finally:
        for handle in handles:
            handle.remove()


def tensors_in(output: Any) -> Iterator[torch.Tensor]:
    """Go over the tensors in what a module gives, which may be nested."""
    if isinstance(output, torch.Tensor):
        yield output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    for part in parts:
        yield from tensors_in(part)


def first_tensor(output: Any) -> torch.Tensor | None:
    """Give the first tensor in what a module gives, which may be nested; None if there is none."""
    return next(tensors_in(output), None)


def shape_for_one(tensor: torch.Tensor | None, samples: int) -> tuple[int, ...]:
    """Give the shape of a tensor for one sample, () if it has no values for each."""
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
        calls.append(Call(Place(INPUT), None, tuple(inputs.shape[1:]) or (1,), inputs.dtype))

    def hear(path: str, module: nn.Module, given: Any, tensors: list[torch.Tensor], maps: list[torch.Tensor]) -> None:
        number = sum(call.place.path == path and not call.place.tensor for call in calls)
        into = shape_for_one(first_tensor(given), samples)
        for place, tensor in enumerate([*tensors, *maps]):
            shape = shape_for_one(tensor, samples)
            named = place > 0 and (place >= len(tensors) or "Attention" in type(module).__name__) and len(shape) == 3
            calls.append(Call(Place(path, number, place), module, shape, tensor.dtype, into, named))
        if not tensors:
            calls.append(Call(Place(path, number), module, (), torch.float32))

    with torch.no_grad(), listening(modules, hear, modules):
        try:
            model(inputs)
        except Exception as error:
            raise BadSetting(
                f"{type(model).__name__} was called with inputs of shape {list(inputs.shape)} and type {inputs.dtype}; "
                f"{str(error).strip()}. Pass a probe= that the model takes."
            ) from error
    return calls


def choose(calls: Sequence[Call], patterns: Sequence[str] | None, of: str = "activations") -> list[Call]:
    """Give the outputs that are asked for, in the order of the pass.

    Parameters
    ----------
    calls
        All outputs of the pass.
    patterns
        Names of layers, or patterns of names; "" is the network itself, `INPUT` what goes into it.
    of
        Without patterns, one of `KINDS`. Where no activation is a module, the modules that have units, except the
        last, stand for them.

    Raises
    ------
    BadSetting
        A pattern fits no module that is called, or one whose output has no values for each sample.
    """
    if patterns is None:
        if of not in KINDS:
            raise BadSetting(f"layers of={of!r} were asked for; it is one of {', '.join(KINDS)}. Choose one of these.")
        usable = [call for call in calls if call.shape and call.place.path and call.module and not call.place.tensor]
        units = [call for call in usable if call.has_units]
        kinds = {
            "activations": [call for call in usable if call.is_activation] or units[:-1],
            "convolutions": [call for call in usable if call.is_convolution],
            "units": units,
            "modules": usable,
        }
        return kinds[of]
    wanted: set[Place] = set()
    for pattern in patterns:
        fitting = _fitting(calls, pattern)
        if not fitting:
            names = [call.place.name for call in calls if call.place.path and call.module]
            close = difflib.get_close_matches(pattern, names, 3, 0.4) or names[:5]
            raise BadSetting(
                f"the layer {pattern!r} was asked for; no module of that name is called. "
                f"Did you mean {', '.join(close)}?"
            )
        wanted |= fitting
    chosen = [call for call in calls if call.place in wanted]
    for call in chosen:
        if not call.shape:
            raise BadSetting(
                f"the output of {call.place.name} was asked for; it has no values for each sample. "
                "Leave it out of layers."
            )
    return chosen


def _fitting(calls: Sequence[Call], pattern: str) -> set[Place]:
    """Find the outputs that a pattern names; a number in brackets at its end is that of a tensor, where one has it."""
    numbered = re.fullmatch(r"(.*)\[(\d+)\]", pattern)
    found = _named(calls, numbered[1], int(numbered[2])) if numbered and int(numbered[2]) else set()
    return found or _named(calls, pattern, 0)


def _named(calls: Sequence[Call], pattern: str, tensor: int) -> set[Place]:
    places = set()
    for call in calls:
        name = call.place._replace(tensor=0).name
        bare = not call.place.path or call.module is None
        fits = pattern == name if bare else fnmatchcase(call.place.path, pattern) or fnmatchcase(name, pattern)
        if fits and call.place.tensor == tensor:
            places.add(call.place)
    return places


def layer_of(call: Call, calls: Sequence[Call]) -> Layer:
    """Label an output, from the calls up to it."""
    axis = 0 if len(call.shape) > 2 else len(call.shape) - 1
    origin = None
    if call.module is not None and not call.is_attention:
        origin = next((one for one in reversed(calls[: calls.index(call) + 1]) if _leads_to(one, call)), None)
        axis = origin.unit_axis if origin else axis
    attrs = {
        "module": call.place.path,
        "module_class": type(call.module).__name__ if call.module is not None else "",
        "source": origin.place.path if origin and origin.has_row_per_unit else "",
        "rectified": isinstance(call.module, RECTIFIERS),
        "activation": call.module is None or call.is_attention or call.is_activation,
    }
    if call.is_convolution:
        attrs |= _convolution(call.module)
    before, after = axis, len(call.shape) - axis - 1
    positions = ("position",) if before == 1 else tuple(f"position_{i}" for i in range(before))
    spatial = SPATIAL.get(after) or tuple(f"dim_{i}" for i in range(after))
    dims = ("unit", "query", "key") if call.is_attention else (*positions, "unit", *spatial)
    return Layer(call.place.name, call.shape, dims, array_type(call.dtype), attrs, call.input_shape)


def _leads_to(one: Call, call: Call) -> bool:
    """Tell whether the units of a module may be those of an output."""
    return bool(
        one.module is not None
        and one.shape
        and one.place.path
        and one.has_units
        and len(one.shape) == len(call.shape)
        and one.shape[one.unit_axis] == call.shape[one.unit_axis]
    )


def _convolution(module: Any) -> dict[str, Any]:
    """Describe a convolution: along each axis, padding before and after."""
    pads = module._reversed_padding_repeated_twice
    pairs = [[pads[i], pads[i + 1]] for i in range(len(pads) - 2, -1, -2)]
    return {
        "kernel": list(module.kernel_size),
        "stride": list(module.stride),
        "padding": pairs,
        "dilation": list(module.dilation),
        "groups": module.groups,
        "padding_mode": module.padding_mode,
        "transposed": bool(module.transposed),
    }
