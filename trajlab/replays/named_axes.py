"""Axes over units that a caller names: "AXIS" for all layers, or "LAYER=AXIS" for some."""

import difflib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from trajlab.errors import BadSetting
from trajlab.replays.calls import Call


def axis_named(call: Call, unit_axis: Sequence[str]) -> int | None:
    """Return the axis over units, in the shape for one sample, that the caller names for an output; None if none.

    Parameters
    ----------
    call
        The output.
    unit_axis
        Axes of the output of several samples, as in torch, such as "-1" for all layers or "relu*=1" for some; the
        last that fits holds.

    Raises
    ------
    BadSetting
        One is no number, or no axis of the output.
    """
    axis = None
    for entry in unit_axis:
        pattern, _, number = str(entry).rpartition("=")
        if not re.fullmatch(r"[+-]?\d+", number.strip()):
            raise BadSetting(f"cannot use unit axis {entry!r}: write AXIS or LAYER=AXIS, such as -1 or relu=1")
        fits = fnmatchcase(call.key.whole, pattern) or fnmatchcase(call.key.name, pattern)
        if not _takes_axis(call) or not (fits if pattern else call.is_called):
            continue
        size = call.ndim
        wanted = int(number) + (size if int(number) < 0 else 0)
        axis = wanted - (size - len(call.shape))
        if not 0 <= axis < len(call.shape):
            if pattern:
                raise BadSetting(
                    f"cannot use unit axis {entry!r}: the output of {call.key.name} has {size} axes with that over the "
                    f"samples first; choose 1 to {size - 1}, or -1 to {1 - size}"
                )
            axis = None
    return axis


def check_unit_axes(calls: Sequence[Call], unit_axis: Sequence[str]) -> None:
    """Check that each axis that is named for some layers is that of an output of the network.

    Raises
    ------
    BadSetting
        It names no layer.
    """
    layers = {name: None for call in calls if _takes_axis(call) for name in (call.key.whole, call.key.name)}
    for entry in unit_axis:
        pattern = str(entry).rpartition("=")[0]
        if pattern and not any(fnmatchcase(name, pattern) for name in layers):
            close = difflib.get_close_matches(pattern, layers, 3, 0.4)
            way_out = (
                f"did you mean {', '.join(close)}?" if close else f"the layers are {', '.join(filter(None, layers))}"
            )
            raise BadSetting(f"cannot use unit axis {entry!r}: no layer is called {pattern!r}; {way_out}")


def _takes_axis(call: Call) -> bool:
    return bool(call.shape) and not call.is_attention
