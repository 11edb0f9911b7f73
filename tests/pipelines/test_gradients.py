import pytest
import torch
from torch import nn

from pipelines import zoo
from pipelines.gradients import KINDS


def batches(count):
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 5, generator=generator), torch.randint(0, 10, (8,), generator=generator)) for _ in range(count)
    ]


def trained(kind, steps=4):
    """Train a network with batch normalization and dropout, and give it, and the gradients that were shown."""
    torch.manual_seed(0)
    model = nn.Sequential(zoo.mlp_batchnorm(in_features=5), nn.Dropout(0.5))
    updater = torch.optim.SGD(model.parameters(), lr=0.1)
    first, *others = batches(steps + 1)
    gradient, shown, own = KINDS[kind](model, *first), [], []
    for inputs, targets in others:
        updater.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        own.append([parameter.grad.clone() for parameter in model.parameters()])
        with gradient.shown():
            shown.append([parameter.grad.clone() for parameter in model.parameters()])
        updater.step()
    return model, shown, own


@pytest.mark.parametrize("kind", KINDS)
def test_kinds__leave_the_training_as_it_is(kind):
    plain, _, _ = trained("batch")
    model, _, _ = trained(kind)

    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_batch__is_the_gradient_of_the_update():
    _, shown, own = trained("batch")
    torch.testing.assert_close(shown, own, rtol=0, atol=0)


def test_average__is_the_decayed_mean_of_the_gradients():
    _, shown, own = trained("average")
    for step, averages in enumerate(shown):
        decays = [0.1 * 0.9 ** (step - t) for t in range(step + 1)]
        for i, average in enumerate(averages):
            expected = sum(decay * own[t][i] for t, decay in enumerate(decays)) / sum(decays)
            torch.testing.assert_close(average, expected)


def test_uncorrected_average__starts_at_the_first_gradient():
    _, shown, own = trained("uncorrected_average")
    average = own[0][0]
    torch.testing.assert_close(shown[0][0], average)
    for step in range(1, 4):
        average = 0.9 * average + 0.1 * own[step][0]
        torch.testing.assert_close(shown[step][0], average)


@pytest.mark.parametrize("kind", ["average", "uncorrected_average"])
def test_average__goes_on_from_a_state(kind):
    model = nn.Linear(2, 1)
    first, second = (KINDS[kind](model, torch.zeros(0), torch.zeros(0)) for _ in range(2))
    for value in (1.0, 3.0):
        model.weight.grad, model.bias.grad = torch.full((1, 2), value), torch.full((1,), value)
        first.gradients()
    second.load(first.state())
    expected = {
        "average": (0.1 * 0.81 * 1 + 0.1 * 0.9 * 3 + 0.1 * 1) / (1 - 0.9**3),
        "uncorrected_average": 0.9 * (0.9 * 1 + 0.1 * 3) + 0.1 * 1,
    }
    model.weight.grad, model.bias.grad = torch.ones(1, 2), torch.ones(1)

    for average in second.gradients():
        torch.testing.assert_close(average, torch.full_like(average, expected[kind]))


@pytest.mark.parametrize(("kind", "updated"), [("average", True), ("average", False), ("uncorrected_average", True)])
def test_average__of_the_weights_is_shown_and_the_trained_weights_come_back(kind, updated):
    model = nn.Linear(1, 1, bias=False)
    gradient = KINDS[kind](model, torch.zeros(0), torch.zeros(0))
    shown = []
    for value in (2.0, 4.0):
        model.weight.data.fill_(value)
        model.weight.grad = torch.zeros(1, 1)
        with gradient.shown():
            shown.append(model.weight.item())
        assert model.weight.item() == value
    model.weight.data.fill_(8.0)
    with gradient.closing(updated):
        shown.append(model.weight.item())

    assert model.weight.item() == 8
    second = (0.9 * 2 + 4) / 1.9 if kind == "average" else 0.9 * 2 + 0.1 * 4
    third = (0.81 * 2 + 0.9 * 4 + 8) / 2.71 if kind == "average" else 0.9 * second + 0.8
    assert shown == pytest.approx([2, second, third if updated else second])


def test_probe__is_the_gradient_on_the_fixed_batch():
    torch.manual_seed(0)
    model = zoo.mlp_batchnorm(in_features=5)
    inputs, targets = batches(1)[0]
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with KINDS["probe"](model, inputs, targets).shown():
        shown = [parameter.grad for parameter in model.parameters()]
    torch.testing.assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())

    nn.functional.cross_entropy(model(inputs), targets).backward()
    torch.testing.assert_close(shown, [parameter.grad for parameter in model.parameters()])
