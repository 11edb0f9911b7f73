"""Nonlinear functions of torch, known by their calls: `F.relu(x)`, `torch.relu_(x)`, `x.clamp(min=0)`, …."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

KINDS = {
    "relu": "ReLU", "relu6": "ReLU6", "threshold": "Threshold", "hardtanh": "Hardtanh", "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish", "tanh": "Tanh", "sigmoid": "Sigmoid", "expit": "Sigmoid", "elu": "ELU", "celu": "CELU",
    "selu": "SELU", "softplus": "Softplus", "logsigmoid": "LogSigmoid", "log_sigmoid": "LogSigmoid", "gelu": "GELU",
    "silu": "SiLU", "mish": "Mish", "leaky_relu": "LeakyReLU", "prelu": "PReLU", "rrelu": "RReLU",
    "softsign": "Softsign", "tanhshrink": "Tanhshrink", "hardshrink": "Hardshrink", "softshrink": "Softshrink",
    "glu": "GLU", "softmax": "Softmax", "softmin": "Softmin", "log_softmax": "LogSoftmax",
}  # fmt: skip
"""Class of torch.nn that computes the same as a function."""

NUMBERS: dict[str, dict[str, float]] = {
    "Threshold": {"threshold": 0.0, "value": 0.0},
    "Hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "ELU": {"alpha": 1.0},
    "CELU": {"alpha": 1.0},
    "Softplus": {"beta": 1.0, "threshold": 20.0},
    "LeakyReLU": {"negative_slope": 0.01},
    "Hardshrink": {"lambd": 0.5},
    "Softshrink": {"lambd": 0.5},
}
"""Arguments of functions after the input, in order, with their defaults, by kind."""

ALIASES = {"expit": "sigmoid", "log_sigmoid": "logsigmoid", "clip": "clamp", "clamp_min": "clamp", "fmax": "maximum"}
CLAMPS = ("clamp", "clip", "clamp_min")
MAXIMA = ("maximum", "fmax", "max")
ZEROS = ("zeros", "zeros_like", "new_zeros")
"""Functions that return zeros; the maximum of zeros and a tensor is a ReLU."""

SOFTMAXES = ("Softmin", "Softmax", "Softmax2d", "LogSoftmax")


class Nonlinearity(NamedTuple):
    """A nonlinear function as it is called.

    Parameters
    ----------
    name
        Its name in the names of layers.
    kind
        Class of torch.nn that computes the same.
    numbers
        What it is computed with, such as its bounds or its slope.
    dim
        Axis along which a softmax sums to 1; None for torch's default.
    """

    name: str
    kind: str
    numbers: Mapping[str, float] = {}
    dim: int | None = None

    @property
    def is_softmax(self) -> bool:
        """Whether it is a softmax, or the logarithm of one."""
        return self.kind in SOFTMAXES


def function_name(function: Callable) -> str:
    """Return the name of a function without the marks of in-place, private and special functions.

    >>> function_name(torch.relu_), function_name(torch.Tensor.relu), function_name(torch.special.expit)
    ('relu', 'relu', 'expit')
    """
    return getattr(function, "__name__", "").strip("_").removeprefix("special_")


def nonlinearity_of(
    function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any], is_zeros: Callable[[Any], bool]
) -> Nonlinearity | None:
    """Return the nonlinear function that a call computes, None if it is none.

    A clamp is one if its lower bound is 0, and a maximum if one of its two tensors is zeros: both are then rectifiers.

    Parameters
    ----------
    function, args, kwargs
        The call.
    is_zeros
        Tells tensors that were made as zeros.
    """
    name = function_name(function)
    if name in CLAMPS:
        low, high = (_argument(args, kwargs, position, key) for position, key in ((1, "min"), (2, "max")))
        return _rectifier("clamp", high) if _is_zero(low) and (high is None or _number(high) is not None) else None
    if name in MAXIMA:
        operands = (_argument(args, kwargs, 0, "input"), _argument(args, kwargs, 1, "other"))
        if all(isinstance(value, torch.Tensor) for value in operands) and any(map(is_zeros, operands)):
            return _rectifier("maximum", None)
        return None
    if name not in KINDS:
        return None
    kind = KINDS[name]
    numbers: dict[str, float] = {}
    for position, (key, default) in enumerate(NUMBERS.get(kind, {}).items(), 1):
        number = _number(_argument(args, kwargs, position, key, default))
        numbers |= {} if number is None else {key: number}
    dim = _argument(args, kwargs, 1, "dim") if kind in SOFTMAXES else None
    return Nonlinearity(ALIASES.get(name, name), kind, numbers, dim if isinstance(dim, int) else None)


def _rectifier(name: str, high: Any) -> Nonlinearity:
    if high is None:
        return Nonlinearity(name, "ReLU")
    return Nonlinearity(name, "Hardtanh", {"min_val": 0.0, "max_val": float(high)})


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, key: str, default: Any = None) -> Any:
    return args[position] if len(args) > position else kwargs.get(key, default)


def _is_zero(value: Any) -> bool:
    return value is not None and _number(value) == 0.0


def _number(value: Any) -> float | None:
    """Return a number, or the only entry of a tensor, as a float; None for anything else."""
    if isinstance(value, torch.Tensor):
        return float(value) if value.numel() == 1 and not value.is_meta else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
