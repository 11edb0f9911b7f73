"""Nonlinear functions of torch, known by their calls: `F.relu(x)`, `torch.relu_(x)`, `x.clamp(min=0)`, …."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import ref

import torch

from trajlab.replays.observers.constants import GATED

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

ALIASES = {
    "rmul": "mul", "imul": "mul", "multiply": "mul", "expit": "sigmoid", "log_sigmoid": "logsigmoid", "clip": "clamp",
    "clamp_min": "clamp", "fmax": "maximum",
}  # fmt: skip
CLAMPS = ("clamp", "clip", "clamp_min")
MAXIMA = ("maximum", "fmax", "max")
ZEROS = ("zeros", "zeros_like", "new_zeros")
"""Functions that return zeros; the maximum of zeros and a tensor is a ReLU."""

SIGN_TESTS = {"gt": True, "ge": True, "greater": True, "greater_equal": True, "lt": False, "le": False, "less": False,
              "less_equal": False}  # fmt: skip
"""Comparisons with 0 that select the positive entries of a tensor, or the others."""

CASTS = ("to", "type", "type_as", "float", "double", "half", "bfloat16", "clone", "contiguous")
"""Functions behind which a selection of entries is still the same."""

PRODUCTS = ("mul", "rmul", "multiply")
INVERSES = ("logical_not", "bitwise_not", "invert")
SELECTIONS = ("where", *PRODUCTS, "imul", "masked_fill", "setitem")
"""Functions that rectify a tensor if they take the signs of its own entries."""

GATES = ("ReLU", "GELU", "SiLU", "Mish")
"""What the names of activations contain that gate the units of an MLP, as in SwiGLU and GEGLU; Shazeer 2020,
arXiv:2002.05202."""

SOFTMAXES = ("Softmin", "Softmax", "Softmax2d", "LogSoftmax")


class Signs(NamedTuple):
    """Which entries of a tensor a tensor of booleans, or of 0 and 1, selects.

    Parameters
    ----------
    of
        Returns the tensor whose entries were compared with 0; None once it is gone.
    positive
        Whether the positive entries are selected, not the others.
    """

    of: Callable[[], Any]
    positive: bool


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

    @property
    def is_product(self) -> bool:
        """Whether it is the product of an activation and another tensor of its shape."""
        return self.kind.startswith(GATED)


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


def signs_of(
    function: Callable, args: Sequence[Any], is_zeros: Callable[[Any], bool], earlier: Callable[[Any], Signs | None]
) -> Signs | None:
    """Return which entries of a tensor the output of a call selects by their sign, None if it does not.

    Parameters
    ----------
    function, args
        The call.
    is_zeros
        Tells tensors that were made as zeros.
    earlier
        Returns the same of earlier outputs.
    """
    name = function_name(function)
    if name in SIGN_TESTS and len(args) == 2 and isinstance(args[0], torch.Tensor):
        return Signs(ref(args[0]), SIGN_TESTS[name]) if _is_zero(args[1]) or is_zeros(args[1]) else None
    signs = earlier(args[0]) if args and name in (*CASTS, *INVERSES) else None
    return signs._replace(positive=not signs.positive) if signs and name in INVERSES else signs


def selection_of(
    function: Callable, args: Sequence[Any], is_zeros: Callable[[Any], bool], earlier: Callable[[Any], Signs | None]
) -> tuple[Nonlinearity | None, bool]:
    """Return the rectifier that a call computes by the signs of a tensor: `x * (x > 0)`, `torch.where(x > 0, x, 0)`, ….

    Also return whether the call is an activation: other functions of a tensor and its own signs, such as
    `torch.where(x > 0, x, x.exp() - 1)`, are, but it is not known which.
    """
    name = function_name(function)
    if name not in SELECTIONS or len(args) < 2:
        return None, False
    chosen = next(((signs, signs.of()) for value in args[:3] if (signs := earlier(value)) is not None), None)
    if chosen is None or not any(value is chosen[1] for value in args[:3]) or not chosen[1].is_floating_point():
        return None, False

    def is_zero(value: Any) -> bool:
        return _is_zero(value) or is_zeros(value)

    (signs, tensor), fits = chosen, False
    if name == "where" and len(args) == 3:
        kept, other = (args[1:] if earlier(args[0]) else (args[0], args[2]))[:: 1 if signs.positive else -1]
        fits = kept is tensor and is_zero(other)
    elif name in ("masked_fill", "setitem") and len(args) == 3:
        fits = args[0] is tensor and not signs.positive and is_zero(args[2])
    elif len(args) == 2:
        fits = signs.positive and any(earlier(value) is None and value is tensor for value in args)
    return (Nonlinearity(ALIASES.get(name, name), "ReLU") if fits else None), True


def product_of(function: Callable, args: Sequence[Any], kind_of: Callable[[Any], str]) -> Nonlinearity | None:
    """Return the product of an activation and another tensor of its shape, None if a call computes none.

    Parameters
    ----------
    function, args
        The call.
    kind_of
        Returns the kind of the activation that a tensor is the output of; empty for other tensors.
    """
    if function_name(function) not in PRODUCTS or len(args) < 2:
        return None
    left, right = args[:2]
    if not all(isinstance(value, torch.Tensor) for value in (left, right)) or left.shape != right.shape:
        return None
    kinds = [kind for kind in map(kind_of, (left, right)) if any(gate in kind for gate in GATES)]
    return Nonlinearity("gated", GATED + kinds[0]) if len(kinds) == 1 else None


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
