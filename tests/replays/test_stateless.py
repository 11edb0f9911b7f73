import numpy as np
import pytest
import torch
from torch import nn

from trajlab.replays.calls import OutputKey
from trajlab.replays.forward import Request
from trajlab.replays.observers.observer import INPUT, Layer
from trajlab.replays.observers.outputs import Outputs
from trajlab.replays.stateless import Network, hollow

OUTPUT = Layer("", (2,), ("unit",), np.dtype(np.float32), {})


def watched(network, inputs, *tables, rows=None):
    request = Request(Outputs(), (OUTPUT,), (OutputKey(""),))
    rows = rows or [0] * len(tables)
    ((output,),) = network.watched(inputs, None, tables, rows, [request])
    return output


def linear(**settings):
    return Network(hollow(nn.Linear(3, 2)), ("weight", "bias"), 2, "cpu", **settings)


WEIGHT = np.array([[[4.0, -1, 0.5], [0.1, 2, -8]]], np.float32)
BIAS = np.array([[0.25, -0.25]], np.float32)


def test_network__runs_with_the_weights_of_a_row_in_batches(rng):
    inputs = rng.standard_normal((5, 3)).astype(np.float32)
    tables = np.concatenate([WEIGHT, 2 * WEIGHT]), np.concatenate([BIAS, BIAS])
    for row in (0, 1):
        expected = inputs @ tables[0][row].T + BIAS[0]
        np.testing.assert_allclose(watched(linear(), inputs, *tables, rows=[row, row]), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"prune": 1.0}, [[4, -1, 0], [0, 2, -8]]),
        ({"prune_relative": 0.5}, [[4, 0, 0], [0, 2, -8]]),  # RMS 3.77
        ({"prune": 100.0}, [[0, 0, 0], [0, 0, 0]]),
    ],
)
def test_network__prunes_weights_and_no_bias(settings, kept):
    output = watched(linear(**settings), np.eye(3, dtype=np.float32), WEIGHT, BIAS)
    np.testing.assert_allclose(output, np.array(kept, np.float32).T + BIAS)


def test_network__of_weights_that_are_nan_prunes_none():
    broken = WEIGHT.copy()
    broken[0, 0, 0] = np.nan
    output = watched(linear(prune_relative=0.5), np.eye(3, dtype=np.float32), broken, BIAS)
    np.testing.assert_allclose(output[:, 1], WEIGHT[0, 1] + BIAS[0, 1])


def test_hollow__keeps_ties_and_what_is_not_stored():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight
            self.register_buffer("mean", torch.ones(2))
            self.register_buffer("table", torch.arange(2.0), persistent=False)

    model = Net()
    assert hollow(model) is model
    assert model.a.weight is model.b.weight and model.a.weight.device.type == "meta"
    assert model.mean.device.type == "meta" and model.table.tolist() == [0, 1]
    assert not model.a.weight.requires_grad


def test_network__takes_the_types_of_the_model_and_leaves_its_tables():
    model = hollow(nn.Linear(3, 2).double())
    inputs = np.eye(3, dtype=np.float32)
    before = WEIGHT.copy()
    request = Request(Outputs(), (OUTPUT._replace(name=INPUT, shape=(3,)),), (OutputKey(INPUT),))
    ((seen,),) = Network(model, ("weight", "bias"), 9, "cpu").watched(inputs, None, [WEIGHT, BIAS], [0, 0], [request])
    np.testing.assert_array_equal(seen, inputs)
    np.testing.assert_array_equal(WEIGHT, before)
