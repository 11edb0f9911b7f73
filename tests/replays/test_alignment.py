from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipelines import zoo
from trajlab.replays.alignment import align, aligned_squares, chain_of, permuted

NETS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2)), (4,)),
    "mlp_batchnorm": (lambda: zoo.mlp_batchnorm(20, 4), (20,)),
    "digits_cnn": (zoo.digits_cnn, (1, 8, 8)),
    "lenet5": (zoo.lenet5, (1, 28, 28)),
    "vgg": (lambda: zoo.vgg(11, batch_norm=True, head="cifar"), (3, 32, 32)),
}


def split(model):
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    weights = {name: state[name] for name, _ in model.named_parameters()}
    return weights, {name: value for name, value in state.items() if name not in weights}


def shapes(group):
    return {name: value.shape for name, value in group.items()}


def shuffled(model, seed=0):
    """Return the state of a network with all its hidden units in another order."""
    weights, buffers = split(model)
    links = chain_of(shapes(weights), shapes(buffers))
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(layer.units) for layer in links.hidden]
    return links, {name: permuted(links, orders, name, value) for name, value in (weights | buffers).items()}


@pytest.mark.parametrize("name", NETS)
def test_permuted__leaves_the_output_of_a_network_as_it_was(name):
    build, shape = NETS[name]
    torch.manual_seed(0)
    model = build().eval()
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.add_(torch.rand(buffer.shape))
    links, state = shuffled(model)
    inputs = torch.randn(3, *shape)
    expected = model(inputs)
    model.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in state.items()})
    torch.testing.assert_close(model(inputs), expected, rtol=1e-3, atol=1e-4)
    assert len(links.hidden) == sum(value.ndim > 1 for value in state.values()) - 1


@pytest.mark.parametrize("name", NETS)
def test_aligning__finds_a_permuted_copy(name):
    torch.manual_seed(0)
    model = NETS[name][0]()
    weights, _ = split(model)
    links, state = shuffled(model)
    theirs = {key: state[key] for key in weights}
    orders = align(links, weights, theirs)
    assert sum(((weights[key].astype(float) - theirs[key]) ** 2).sum() for key in weights) > 1
    assert aligned_squares(links, orders, weights, theirs).sum() == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_aligning__ends_where_no_other_order_of_a_layer_is_better(seed):
    rng = np.random.default_rng(seed)
    layout = {"0.weight": (3, 2), "0.bias": (3,), "1.weight": (3, 3), "2.weight": (2, 3)}
    ours, theirs = ({name: rng.standard_normal(shape) for name, shape in layout.items()} for _ in range(2))
    links = chain_of(layout, {})
    orders = align(links, ours, theirs)
    actual = aligned_squares(links, orders, ours, theirs).sum()
    for position, order in product(range(2), permutations(range(3))):
        other = [np.array(order) if i == position else one for i, one in enumerate(orders)]
        assert aligned_squares(links, other, ours, theirs).sum() >= actual - 1e-9


@pytest.mark.parametrize(
    ("weights", "buffers", "reason"),
    [
        ({"a": (4, 3)}, {}, "there is no hidden layer"),
        ({"a": (4, 3), "b": (2, 5)}, {}, "b takes 5 inputs, and a before it has 4 units"),
        ({"a": (4, 3, 1, 1), "b": (2, 8, 1, 1)}, {}, "b takes 8 inputs"),
        ({"a": (4, 3), "s": (3,), "b": (2, 4)}, {}, "s has 3 entries, and a before it has 4 units"),
        ({"a": (4, 3), "b": (2, 4)}, {"n.mean": (4,)}, "the buffer n.mean belongs to no layer"),
        ({"n.weight": (4, 3), "b": (2, 4)}, {"n.mean": (3,)}, "the buffer n.mean has not one entry for each unit"),
    ],
)
def test_chain_of__says_why_there_is_none(weights, buffers, reason):
    assert reason in chain_of(weights, buffers).reason
    assert chain_of(weights, buffers).hidden == ()
