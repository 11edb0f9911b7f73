"""Which outputs of a network are layers, and how they are labeled."""

import difflib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from trajlab.errors import BadSetting
from trajlab.replays.dtypes import array_type
from trajlab.replays.observers.observer import Layer
from trajlab.replays.trace import Call, OutputKey
from trajlab.runs.tensors import SPATIAL

RECTIFIERS = (nn.ReLU, nn.ReLU6)
KINDS = ("activations", "nonlinearities", "convolutions", "units", "modules")
"""Selections without names: activations; these, softmaxes and the attention of heads; convolutions; modules with a
matrix or kernels as weight; all modules that are called."""


def select_layers(calls: Sequence[Call], patterns: Sequence[str] | None, of: str = "activations") -> list[Call]:
    """Return the selected outputs, in the order of the pass.

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
            raise BadSetting(f"cannot select layers of={of!r}; choose one of {', '.join(KINDS)}")
        usable = [call for call in calls if call.shape and call.key.path and call.module and not call.key.tensor]
        units = [call for call in usable if call.has_units]
        activations = [call for call in usable if call.is_activation] or units[:-1]
        kinds = {
            "activations": activations,
            "nonlinearities": [c for c in calls if c in activations or c.is_softmax or (c.is_attention and c.shape)],
            "convolutions": [call for call in usable if call.is_convolution],
            "units": units,
            "modules": usable,
        }
        return kinds[of]
    wanted: set[OutputKey] = set()
    for pattern in patterns:
        fitting = _fitting(calls, pattern)
        if not fitting:
            names = [call.key.name for call in calls if call.key.path and call.module]
            close = difflib.get_close_matches(pattern, names, 3, 0.4) or names[:5]
            raise BadSetting(
                f"cannot select the layer {pattern!r}: no module of that name is called; did you mean "
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


def _fitting(calls: Sequence[Call], pattern: str) -> set[OutputKey]:
    """Return the outputs that a pattern names; a number in brackets at its end selects a tensor of a module."""
    numbered = re.fullmatch(r"(.*)\[(\d+)\]", pattern)
    found = _named(calls, numbered[1], int(numbered[2])) if numbered and int(numbered[2]) else set()
    return found or _named(calls, pattern, 0)


def _named(calls: Sequence[Call], pattern: str, tensor: int) -> set[OutputKey]:
    keys = set()
    for call in calls:
        name = call.key._replace(tensor=0).name
        bare = not call.key.path or call.module is None
        fits = pattern == name if bare else fnmatchcase(call.key.path, pattern) or fnmatchcase(name, pattern)
        if fits and call.key.tensor == tensor:
            keys.add(call.key)
    return keys


def layer_of(call: Call, calls: Sequence[Call]) -> Layer:
    """Label an output, from the calls up to it."""
    axis = 0 if len(call.shape) > 2 else len(call.shape) - 1
    origin = None
    if call.module is not None and not call.is_attention:
        origin = next((one for one in reversed(calls[: calls.index(call) + 1]) if _leads_to(one, call)), None)
        axis = origin.unit_axis if origin else axis
    attrs = {
        "module": call.key.path,
        "module_class": type(call.module).__name__ if call.module is not None else "",
        "source": origin.key.path if origin and origin.has_row_per_unit else "",
        "rectified": isinstance(call.module, RECTIFIERS),
        "activation": call.module is None or call.is_attention or call.is_activation,
    }
    if call.is_convolution:
        attrs |= _convolution(call.module)
    if call.is_activation:
        attrs |= _constants(call.module)
    if call.is_softmax:
        attrs["softmax_axis"] = call.softmax_axis
    before, after = axis, len(call.shape) - axis - 1
    positions = ("position",) if before == 1 else tuple(f"position_{i}" for i in range(before))
    spatial = SPATIAL.get(after) or tuple(f"dim_{i}" for i in range(after))
    dims = ("unit", "query", "key") if call.is_attention else (*positions, "unit", *spatial)
    return Layer(call.key.name, call.shape, dims, array_type(call.dtype), attrs, call.input_shape)


def _leads_to(one: Call, call: Call) -> bool:
    """Return whether the units of a module may be those of an output."""
    return bool(
        one.module is not None
        and one.shape
        and one.key.path
        and one.has_units
        and len(one.shape) == len(call.shape)
        and one.shape[one.unit_axis] == call.shape[one.unit_axis]
    )


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
