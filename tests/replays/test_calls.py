import pytest
import torch
from torch import nn

from tests.replays.test_trace import by_name
from trajlab.replays.calls import makes_units, shape_for_one


@pytest.mark.parametrize(
    ("shape", "samples", "expected"),
    [((4, 3), 4, (3,)), ((8, 3), 4, (2, 3)), ((4,), 4, (1,)), ((5, 3), 4, ()), ((), 4, ()), ((0, 3), 4, ())],
)
def test_shape_for_one__has_no_axis_over_samples(shape, samples, expected):
    assert shape_for_one(torch.zeros(shape), samples) == expected
    assert shape_for_one(None, samples) == ()


@pytest.mark.parametrize(
    ("module", "shape", "axis"),
    [
        (nn.Softmax(1), (3, 4), 0),
        (nn.Softmax(-1), (3, 4, 5), 1),
        (nn.Softmax2d(), (3, 4, 5, 6), 0),
        (nn.LogSoftmax(0), (3, 4), -1),
    ],
)
def test_softmax_axis__counts_without_the_samples(module, shape, axis):
    assert by_name(nn.Sequential(module), torch.zeros(shape))["0"].softmax_axis == axis


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize(("shape", "axis"), [((3, 4), 0), ((3, 4, 5), -1), ((3, 4, 5, 6), 0)])
def test_softmax_axis__without_a_dim_is_that_of_torch(shape, axis):
    outputs = nn.Softmax()(torch.randn(shape))
    call = by_name(nn.Sequential(nn.Softmax()), torch.zeros(shape))["0"]
    assert call.softmax_axis == axis
    torch.testing.assert_close(outputs.sum(axis + 1), torch.ones_like(outputs.sum(axis + 1)))


@pytest.mark.parametrize(
    ("module", "expected"),
    [(nn.Linear(2, 2), True), (nn.Conv1d(1, 1, 1), True), (nn.Embedding(2, 2), False), (nn.LayerNorm((2, 2)), False),
     (nn.BatchNorm1d(2), False), (nn.ReLU(), False), (None, False)],
    ids=str,
)  # fmt: skip
def test_makes_units__modules_with_a_matrix_or_kernels(module, expected):
    assert makes_units(module) == expected


def test_has_row_per_unit__not_of_a_transposed_convolution():
    layers = nn.Linear(3, 4), nn.Unflatten(1, (4, 1)), nn.ConvTranspose1d(4, 4, 2)
    calls = by_name(nn.Sequential(*layers), torch.zeros(2, 3))
    assert calls["0"].has_row_per_unit and not calls["2"].has_row_per_unit
