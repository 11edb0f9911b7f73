"""Which outputs of a network are layers, and how they are labeled."""

import difflib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from trajlab.errors import BadSetting
from trajlab.replays.blocks import stream_of
from trajlab.replays.calls import Call, OutputKey
from trajlab.replays.dtypes import array_type
from trajlab.replays.named_axes import axis_named
from trajlab.replays.observers.constants import RECTIFIERS
from trajlab.replays.observers.observer import Layer
from trajlab.replays.routers import routers_in
from trajlab.runs.tensors import SPATIAL
from trajlab.statistics.logits import ENDS_IN

KINDS = ("activations", "nonlinearities", "attention", "convolutions", "units", "modules", "blocks", "routers")
"""Selections of layers that need no names.

- activations: outputs of nonlinearities; of gated MLPs the product that enters the next weight
- nonlinearities: activations, softmaxes and the attention of heads
- attention: the attention of heads
- convolutions: outputs of convolutions
- units: outputs of modules whose weight is a matrix or kernels
- modules: outputs of all modules that are called
- blocks: hidden states of the residual stream, see `stream_of`
- routers: scores of the routers of mixtures of experts, see `routers_in`
"""

UNKNOWN_UNITS = "which of its axes runs over the units of a module is unknown; name it with --unit-axis (unit_axis=)"


def select_layers(calls: Sequence[Call], patterns: Sequence[str] | None, of: str = "activations") -> list[Call]:
    """Return the selected outputs, in the order of the pass.

    Parameters
    ----------
    calls
        All outputs of the pass.
    patterns
        Names of layers, or patterns of names; "" is the network itself, `INPUT` what goes into it.
    of
        Without patterns, one of `KINDS`. In a network without an activation, the modules that have units, except the
        last, stand for them.

    Raises
    ------
    BadSetting
        A pattern fits no module or function that is called, or one whose output has no values for each sample.
    """
    if patterns is None:
        if of not in KINDS:
            raise BadSetting(f"cannot select layers of={of!r}; choose one of {', '.join(KINDS)}")
        usable = [call for call in calls if call.shape and call.key.whole and call.is_called and not call.key.tensor]
        units = [call for call in usable if call.has_units]
        activations = [call for call in usable if (call.is_activation and not call.is_gate) or call.is_gated]
        maps = [call for call in calls if is_attention_map(call)]
        computed = {call.key.path for call in maps}
        attention = [call for call in calls if call.is_attention and call.shape and call.key.path not in computed]
        attending = {call.key for call in (*attention, *maps)}
        elementwise = [call for call in usable if call.is_activation]
        nonlinear = {call.key for call in (*elementwise, *attention, *(call for call in calls if call.is_softmax))}
        kinds = {
            "activations": activations or units[:-1],
            "nonlinearities": [call for call in calls if call.key in nonlinear],
            "attention": [call for call in calls if call.key in attending],
            "convolutions": [call for call in usable if call.is_convolution],
            "units": units,
            "modules": [call for call in usable if call.module is not None],
            "blocks": stream_of(calls).states,
            "routers": routers_in(calls),
        }
        return kinds[of]
    wanted: set[OutputKey] = set()
    for pattern in patterns:
        fitting = _fitting(calls, pattern)
        if not fitting:
            names = [call.key.name for call in calls if call.key.whole and call.is_called]
            close = difflib.get_close_matches(pattern, names, 3, 0.4) or names[:5]
            raise BadSetting(
                f"cannot select the layer {pattern!r}: no module or function of that name is called; did you mean "
                f"{', '.join(close)}?"
            )
        wanted |= fitting
    chosen = [call for call in calls if call.key in wanted]
    for call in chosen:
        if not call.shape:
            raise BadSetting(
                f"cannot observe {call.key.name}: its output has no values per sample; leave it out of layers"
            )
    return chosen


def is_attention_map(call: Call) -> bool:
    """Return whether a softmax is that of a module of attention, (head, query, key), as an eager one computes it."""
    within = any(word in call.key.path.lower() for word in ("attn", "attention"))
    return call.is_softmax and within and len(call.shape) == 3 and call.softmax_axis == 2


def _fitting(calls: Sequence[Call], pattern: str) -> set[OutputKey]:
    """Return the outputs that a pattern names; a number in brackets at its end selects a tensor of a module."""
    numbered = re.fullmatch(r"(.*)\[(\d+)\]", pattern)
    matching = _named(calls, numbered[1], int(numbered[2])) if numbered and int(numbered[2]) else set()
    return matching or _named(calls, pattern, 0)


def _named(calls: Sequence[Call], pattern: str, tensor: int) -> set[OutputKey]:
    keys = set()
    for call in calls:
        name = call.key._replace(tensor=0).name
        bare = not call.key.whole or not call.is_called
        fits = pattern == name if bare else fnmatchcase(call.key.whole, pattern) or fnmatchcase(name, pattern)
        if fits and call.key.tensor == tensor:
            keys.add(call.key)
    return keys


def layer_of(call: Call, calls: Sequence[Call], unit_axis: Sequence[str] = ()) -> Layer:
    """Label an output, from the calls up to it.

    Parameters
    ----------
    call
        The output.
    calls
        All outputs of the pass.
    unit_axis
        Axes over units that the caller names, as `axis_named` reads them.
    """
    axis = call.unit_axis if call.is_called or len(call.shape) == 1 else _usual_axis(call)
    named = axis_named(call, unit_axis)
    axis = 0 if is_attention_map(call) else axis if named is None else named
    maker = call.units.maker if call.units is not None and not call.is_attention else -1
    origin = calls[maker] if maker >= 0 and named is None else None
    attrs = {
        "module": call.key.path,
        "module_class": _class_of(call),
        "nonlinearity": call.nonlinearity,
        "function": call.key.function,
        "source": origin.key.path if origin and _feeds(origin, call) else "",
        "rectified": _rectified(call),
        "activation": not call.is_called
        or call.is_attention
        or call.is_activation
        or call.is_softmax
        or bool(call.function),
        "unknown_units": UNKNOWN_UNITS if axis is None else "",
    }
    if call.is_convolution:
        attrs |= _convolution(call.module)
    if call.is_activation:
        attrs |= call.function.numbers if call.function else _constants(call.module)
    if call.is_softmax:
        attrs["softmax_axis"] = call.softmax_axis
    if call.ends_in:
        attrs[ENDS_IN] = call.ends_in
    axis = _usual_axis(call) if axis is None else axis
    before, after = axis, len(call.shape) - axis - 1
    positions = ("position",) if before == 1 else tuple(f"position_{i}" for i in range(before))
    spatial = SPATIAL.get(after) or tuple(f"dim_{i}" for i in range(after))
    is_map = call.is_attention or is_attention_map(call)
    dims = ("unit", "query", "key") if is_map else (*positions, "unit", *spatial)
    return Layer(call.key.name, call.shape, dims, array_type(call.dtype), attrs, call.input_shape)


def _usual_axis(call: Call) -> int:
    """Return where the units of inputs are most often: the channels of images, or the last axis."""
    return 0 if len(call.shape) > 2 else len(call.shape) - 1


def _feeds(origin: Call, call: Call) -> bool:
    """Return whether the rows of a module's weight are the units of an output."""
    return origin.has_row_per_unit and (
        call.unit_axis is not None
        and origin.unit_axis is not None
        and origin.shape[origin.unit_axis] == call.shape[call.unit_axis]
    )


def _class_of(call: Call) -> str:
    """Return the class of a module, or that of torch.nn that computes the same as a function."""
    if call.function is not None:
        return call.function.kind
    return "" if call.module is None else type(call.module).__name__


def _rectified(call: Call) -> bool:
    """Return whether an output is that of a ReLU, or of a function that computes the same."""
    if call.nonlinearity != "Threshold":
        return call.nonlinearity in (*RECTIFIERS, "ReLU6")
    numbers = call.function.numbers if call.function else _constants(call.module)
    return numbers.get("threshold") == numbers.get("value") == 0


def _constants(module: Any) -> dict[str, float]:
    """Return the numbers that make an activation what it is, such as its bounds or its slope."""
    named = {name: getattr(module, name, None) for name in getattr(module, "__constants__", ())}
    return {
        name: value for name, value in named.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


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
