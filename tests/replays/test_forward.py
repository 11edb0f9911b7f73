"""A pass by itself: batches, objectives that reach some layers only, and outputs that change their shape."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.replays.test_observe import Gradients
from trajlab.errors import BadSetting
from trajlab.replays.forward import Pass, Request
from trajlab.replays.layers import layer_of
from trajlab.replays.observers.observer import Objective
from trajlab.replays.observers.outputs import Outputs
from trajlab.replays.trace import trial
from trajlab.statistics.tasks import Coding


class Branching(nn.Module):
    """Two outputs: the loss depends on the first alone. The forward pass changes its input in place."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x):
        x += 1
        return self.a(x), self.b(x)


def passed(model, inputs, targets, *observers, names=("a", "b"), batch=2):
    calls = trial(model, inputs.clone()).calls
    chosen = [call for call in calls if call.key.name in names]
    layers = tuple(layer_of(call, calls) for call in chosen)
    requests = [Request(observer, layers, tuple(call.key for call in chosen)) for observer in observers]
    state = dict(model.state_dict())
    run = Pass(model, state, requests, len(inputs), device="cpu", attention=(), coding=Coding())
    for first in range(0, len(inputs), batch):
        some = slice(first, first + batch)
        run.batch(first, inputs[some].numpy(), None if targets is None else targets[some].numpy())
    names_of = [list(observer.outputs(layers, len(inputs))) for observer in observers]
    return [dict(zip(keys, found, strict=True)) for keys, found in zip(names_of, run.found(), strict=True)]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_pass__values_and_gradients_in_one_go_are_those_of_autograd(batch):
    torch.manual_seed(0)
    model, x, labels = Branching(), torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])

    values, slopes = passed(model, x.clone(), labels, Outputs(), Gradients(), batch=batch)

    out = model.a(x + 1).detach().requires_grad_()
    (expected,) = torch.autograd.grad(nn.functional.cross_entropy(out, labels, reduction="sum"), out)
    np.testing.assert_allclose(values["a"], out.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slopes["gradient a"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slopes["value b"], model.b(x + 1).detach(), rtol=1e-5, atol=1e-6)
    assert (slopes["gradient b"] == 0).all()  # the loss does not depend on it


def test_pass__several_objectives_keep_apart():
    torch.manual_seed(0)
    model, x, labels = Branching(), torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    logit, loss = passed(model, x, labels, Gradients(Objective("logit")), Gradients())
    assert np.array_equal(logit["gradient a"], np.eye(2)[labels]) and abs(loss["gradient a"]).max() < 1


class Growing(nn.Module):
    """Gives more positions for more samples."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 2)

    def forward(self, x):
        return self.a(x[:, None].expand(-1, len(x), -1))


class Skipping(nn.Module):
    """Calls a module for large batches only."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 2)

    def forward(self, x):
        return self.a(x) if len(x) > 1 else x


@pytest.mark.parametrize(
    ("model", "words"), [(Growing(), r"a: its output has \[2, 2, 2\]"), (Skipping(), "a: its output has 4 samples")]
)
def test_pass__outputs_that_depend_on_the_number_of_samples_are_named(model, words):
    with pytest.raises(BadSetting, match=words):
        passed(model, torch.zeros(5, 3), None, Outputs())


def test_pass__of_tokens_differentiates_with_respect_to_embeddings():
    model = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(6, 2))
    (slopes,) = passed(model, torch.tensor([[1, 2], [0, 6]]), torch.tensor([0, 1]), Gradients(), names=("0",))
    assert slopes["gradient 0"].shape == (2, 2, 3) and (slopes["gradient 0"] != 0).all()


def test_pass__leaves_its_inputs_and_the_network_as_they_were():
    model, x = Branching(), torch.randn(3, 3)
    before = x.clone(), {name: value.clone() for name, value in model.state_dict().items()}
    passed(model, x, torch.tensor([0, 1, 0]), Gradients())
    assert torch.equal(x, before[0])
    assert all(torch.equal(value, before[1][name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
