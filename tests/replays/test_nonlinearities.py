import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trajlab.replays.nonlinearities import KINDS, NUMBERS, nonlinearity_of

X = torch.linspace(-3, 3, 7)


def called(function, *args, **kwargs):
    return nonlinearity_of(function, args, kwargs, lambda value: isinstance(value, torch.Tensor) and not value.any())


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "kind", "numbers"),
    [
        (F.relu, (X,), {"inplace": True}, "ReLU", {}),
        (torch.relu_, (X,), {}, "ReLU", {}),
        (torch.Tensor.sigmoid, (X,), {}, "Sigmoid", {}),
        (torch.special.expit, (X,), {}, "Sigmoid", {}),
        (F.leaky_relu, (X, 0.3), {}, "LeakyReLU", {"negative_slope": 0.3}),
        (F.leaky_relu, (X,), {}, "LeakyReLU", {"negative_slope": 0.01}),
        (F.hardtanh, (X, -2), {"max_val": 5}, "Hardtanh", {"min_val": -2, "max_val": 5}),
        (F.threshold, (X, 0.1, 20), {}, "Threshold", {"threshold": 0.1, "value": 20}),
        (F.softplus, (X,), {"beta": torch.tensor(2.0)}, "Softplus", {"beta": 2, "threshold": 20}),
        (torch.clamp, (X, 0), {}, "ReLU", {}),
        (torch.Tensor.clamp_min_, (X, 0.0), {}, "ReLU", {}),
        (torch.clip, (X,), {"min": 0, "max": 6}, "Hardtanh", {"min_val": 0, "max_val": 6}),
        (torch.maximum, (X, torch.zeros(7)), {}, "ReLU", {}),
        (torch.max, (torch.zeros(7), X), {}, "ReLU", {}),
    ],
)
def test_nonlinearity_of__knows_functions_by_their_calls(function, args, kwargs, kind, numbers):
    nonlinearity = called(function, *args, **kwargs)
    assert (nonlinearity.kind, dict(nonlinearity.numbers)) == (kind, numbers)
    module = getattr(nn, kind)(*numbers.values()) if kind in NUMBERS else getattr(nn, kind)()
    torch.testing.assert_close(
        function(*[value.clone() if value is X else value for value in args], **kwargs), module(X)
    )


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (torch.clamp, (X, 1)), (torch.clamp, (X, None, 1)), (torch.clamp, (X, False)), (torch.max, (X,)),
        (torch.clamp, (X, 0, X)), (torch.maximum, (X, X + 1)), (torch.add, (X, X)),
    ],
)  # fmt: skip
def test_nonlinearity_of__other_calls_are_none(function, args):
    assert called(function, *args) is None


def test_nonlinearity_of__a_softmax_knows_its_axis():
    assert (called(F.softmax, X, 1).dim, called(F.log_softmax, X, dim=-1).dim, called(F.softmax, X).dim) == (
        1,
        -1,
        None,
    )
    assert called(torch.softmax, X, 0).is_softmax and not called(torch.tanh, X).is_softmax


def test_kinds__are_classes_of_torch_whose_numbers_are_their_arguments():
    for kind in KINDS.values():
        module = getattr(nn, kind)
        arguments = {"threshold": 1.0, "value": 1.0} if kind == "Threshold" else {}
        built = module(**arguments)
        defaults = NUMBERS.get(kind, {})
        if kind != "Threshold":
            assert {name: getattr(built, name) for name in defaults} == defaults, kind
