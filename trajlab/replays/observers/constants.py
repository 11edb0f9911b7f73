"""Values at which activations are constant: a unit that is stuck at one is dead."""

from collections.abc import Mapping
from typing import Any, NamedTuple

GATED = "Gated "
"""What the kind of a product of an activation and a linear output begins with; the kind of the activation follows."""

RECTIFIERS = ("ReLU", "ReLUSquaredActivation")
"""0 below 0, by definition."""

SMOOTH = ("GELU", "SiLU", "Mish", "Softplus")
"""What the names of activations contain that tend to 0 from some value on, and never get there."""

VANISHING = ("Hardswish", "Hardshrink", "Softshrink")
"""What the names of activations contain that are 0 on a range."""

NEVER = ("Tanh", "Sigmoid", "Softsign", "ELU", "CELU", "SELU", "LogSigmoid", "LeakyReLU", "PReLU", "RReLU",
         "Tanhshrink", "GLU", "Softmin", "Softmax", "Softmax2d", "LogSoftmax")  # fmt: skip
"""Activations without such a range: their units can saturate, but not die."""


FLAT = 1e-3
"""A unit of an activation that vanishes smoothly is dead if the RMS of its output is at most this share of the mean |h|
of its layer."""


class Constants(NamedTuple):
    """The values at which an activation is constant.

    Parameters
    ----------
    words
        When a unit is dead, in words, or why that is never so or not known.
    can_die
        Whether it can be; None if that is not known.
    low, high
        Its lower and upper value; None where it has none.
    exact
        Whether the activation can also be below the lower one.
    smooth
        Whether it only tends to the constant: a unit is then dead where it is as good as there, by `FLAT`.
    """

    words: str
    can_die: bool | None = True
    low: float | None = None
    high: float | None = None
    exact: bool = False
    smooth: bool = False


def is_rectified_later(attrs: Mapping[str, Any]) -> bool:
    """Return whether activations that did not come from a replay say that the network rectifies them later."""
    return not attrs.get("activation", True) and "nonlinearity" not in attrs


def constants_of(attrs: Mapping[str, Any]) -> Constants:
    """Return the values at which a layer is constant, from its attrs.

    Activations without a class, which did not come from a replay, count as those of a ReLU.

    Examples
    --------
    >>> constants_of({"module_class": "ReLU6"}).words, constants_of({"module_class": "Tanh"}).can_die
    ('h = 0 or h = 6', False)
    """
    kind = str(attrs.get("nonlinearity", attrs.get("module_class", "")))
    if attrs.get("unknown_units"):
        return Constants(f"unknown: {attrs['unknown_units']}", None)
    if is_rectified_later(attrs) or (not kind and "nonlinearity" not in attrs):
        return Constants("h ≤ 0", low=0.0)
    if not kind and attrs.get("unobserved"):
        return Constants("unknown: its activation cannot be observed", None)
    if not kind:
        return Constants("never: it is no activation", False)
    if kind.removeprefix(GATED) in RECTIFIERS and kind.startswith(GATED):
        return Constants("h = 0", low=0.0, exact=True)
    if kind in RECTIFIERS or (kind == "LeakyReLU" and attrs.get("negative_slope") == 0):
        return Constants("h = 0", low=0.0)
    if kind in ("ReLU6", "Hardtanh", "Hardsigmoid"):
        low, high = attrs.get("min_val", 0.0), attrs.get("max_val", 6.0 if kind == "ReLU6" else 1.0)
        return Constants(f"h = {low:g} or h = {high:g}", low=float(low), high=float(high))
    if kind == "Threshold" and "value" in attrs:
        return Constants(f"h = {attrs['value']:g}", low=float(attrs["value"]), exact=True)
    kind = kind.removeprefix(GATED)
    if any(name in kind for name in SMOOTH):
        return Constants(f"RMS of h ≤ {FLAT:g} · mean |h| of the layer", low=0.0, exact=True, smooth=True)
    if any(name in kind for name in VANISHING):
        return Constants("h = 0", low=0.0, exact=True)
    if kind in NEVER:
        return Constants(f"never: {kind} is constant nowhere", False)
    return Constants(f"unknown: trajlab does not know where {kind} is constant", None)
