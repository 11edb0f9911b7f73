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


def test_average__is_the_decayed_sum_of_the_gradients():
    _, shown, own = trained("average")
    for step, averages in enumerate(shown):
        for i, average in enumerate(averages):
            expected = sum(0.1 * 0.9 ** (step - t) * own[t][i] for t in range(step + 1))
            torch.testing.assert_close(average, expected)


def test_average__goes_on_from_a_state():
    model = nn.Linear(2, 1)
    first, second = (KINDS["average"](model, torch.zeros(0), torch.zeros(0)) for _ in range(2))
    model.weight.grad, model.bias.grad = torch.ones(1, 2), torch.ones(1)
    first.gradients()
    second.load(first.state())

    torch.testing.assert_close(second.gradients(), [torch.full((1, 2), 0.19), torch.full((1,), 0.19)])


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
