from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import trajlab
from pipelines import zoo
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.alignment import align, aligned_squares, chain_of, permuted
from trajlab.replays.permutable import chain

NETS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2)), (4,)),
    "mlp_batchnorm": (lambda: zoo.mlp_batchnorm(20, 4), (20,)),
    "digits_cnn": (zoo.digits_cnn, (1, 8, 8)),
    "lenet5": (zoo.lenet5, (1, 28, 28)),
    "vgg": (lambda: zoo.vgg(11, batch_norm=True, head="cifar"), (3, 32, 32)),
}


class Skipping(nn.Module):
    """A residual network whose shapes look like those of a chain."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = self.first(x).relu()
        return self.last(x + self.second(x).relu())


def grouped():
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.GroupNorm(3, 6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 2))


def split(model):
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    weights = {name: state[name] for name, _ in model.named_parameters()}
    return weights, {name: value for name, value in state.items() if name not in weights}


def shapes(group):
    return {name: value.shape for name, value in group.items()}


def shuffled(model, seed=0):
    """Give the state of a network with all its hidden units in another order."""
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


def recorded(factory, model, folder, shape):
    with trajlab.Recorder(
        model, folder, gradients=False, probe=(torch.zeros(2, *shape), torch.zeros(2, dtype=torch.long)),
        describe={"model": {"factory": factory, "arguments": {}}},
    ) as recorder:  # fmt: skip
        recorder.step()
    return trajlab.open(folder)


def test_chain__is_tried_on_the_network(tmp_path):
    here = "tests.replays.test_alignment:"
    runs = {
        "chain": recorded("pipelines.zoo:digits_cnn", zoo.digits_cnn(), tmp_path / "a", (1, 8, 8)),
        "skip": recorded(here + "Skipping", Skipping(), tmp_path / "b", (4,)),
        "groups": recorded(here + "grouped", grouped(), tmp_path / "c", (1, 8, 8)),
    }
    assert len(chain(runs["chain"]).hidden) == 3
    assert "the output of Skipping changes when units of first.weight are permuted" in chain(runs["skip"]).reason
    assert "changes when units" in chain(runs["groups"]).reason
    resnet = zoo.resnet18("cifar").state_dict()
    run = trajlab.from_arrays({name: value.numpy()[None] for name, value in resnet.items() if value.ndim})
    assert "before it has" in chain(run).reason
    assert chain(trajlab.from_arrays({"w": np.zeros((1, 2, 2))})).reason == "there is no hidden layer"


def ends(build, seeds=(0, 1)):
    runs = []
    for seed in seeds:
        torch.manual_seed(seed)
        weights, buffers = split(build())
        runs.append(
            trajlab.from_arrays(
                {name: value[None] for name, value in weights.items()},
                buffers={name: value[None] for name, value in buffers.items()},
                steps=[40],
            )
        )
    return runs


def test_between__is_the_straight_line_with_both_ends_to_the_bit(no_compute):
    one, other = ends(lambda: zoo.mlp_batchnorm(20, 4))
    with no_compute():
        line = trajlab.between(one, other, points=5)
    for group in ("weights", "buffers"):
        for name, array in getattr(line, group).items():
            a, b = (getattr(run, group)[name].values[0] for run in (one, other))
            expected = np.linspace(a.astype(float), b.astype(float), 5)
            np.testing.assert_allclose(array.values, expected, rtol=1e-6, atol=1e-6)
            np.testing.assert_array_equal(array.values[[0, -1]], [a, b])
            assert array.dtype == a.dtype
    assert line.metrics.alpha.values.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert line.steps.tolist() == [0, 1, 2, 3, 4]


def test_between__aligned_runs_ends_in_the_same_network():
    one, other = ends(zoo.digits_cnn)
    inputs = torch.rand(5, 1, 8, 8)
    straight, aligned = (
        trajlab.replay(trajlab.between(one, other, align=align), model=zoo.digits_cnn, probe=inputs, layers=[""])[""]
        for align in (False, True)
    )
    np.testing.assert_array_equal(aligned[0], straight[0])
    np.testing.assert_allclose(aligned[-1], straight[-1], rtol=1e-4, atol=1e-5)
    assert abs(aligned[5] - straight[5]).max() > 1e-3


def test_between__says_what_it_can_not_join(example):
    other = trajlab.from_arrays({"w": np.zeros((1, 2))})
    with pytest.raises(MissingData, match=r"conv.weight is \(4, 1, 3, 3\) in one and missing in the other"):
        trajlab.between(example, other)
    with pytest.raises(MissingData, match="they share no step"):
        trajlab.between(other, trajlab.from_arrays({"w": np.zeros((1, 2))}, steps=[5]))
    with pytest.raises(BadSetting, match="points=1"):
        trajlab.between(other, other, points=1)
    with pytest.raises(BadSetting, match="no hidden layer.*leave align out"):
        trajlab.between(other, other, align=True)


def test_between__names_the_steps_of_its_ends_and_takes_each_runs_own_when_asked():
    one = trajlab.from_arrays({"w": np.arange(3.0)[:, None]}, steps=[0, 40, 80])
    other = trajlab.from_arrays({"w": 10 + np.arange(3.0)[:, None]}, steps=[0, 50, 100])
    shared, own = trajlab.between(one, other, points=2), trajlab.between(one, other, points=2, ends="own")
    assert shared.metrics.ends.values.tolist() == [0, 0] and own.metrics.ends.values.tolist() == [80, 100]
    assert shared.weights["w"].values.ravel().tolist() == [0, 10]
    assert own.weights["w"].values.ravel().tolist() == [2, 12]
    apart = trajlab.from_arrays({"w": np.zeros((1, 1))}, steps=[7])
    assert trajlab.between(one, apart, ends="own").metrics.ends.values.tolist() == [80, 7]
    with pytest.raises(BadSetting, match="ends='start'"):
        trajlab.between(one, other, ends="start")
