"""Observers of replays against plain loops of torch: what they see, gradients, and how often the network is run."""

from dataclasses import dataclass

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn import functional as F

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observe import observe
from trajlab.replays.observers.activity import Activity
from trajlab.replays.observers.observer import Objective, Observer, Output
from trajlab.replays.observers.outputs import Outputs
from trajlab.replays.observers.pooled import Pooled
from trajlab.replays.replay import replay
from trajlab.running.fuse import fuse_scans


@dataclass(frozen=True)
class Gradients(Observer):
    """Keeps the gradients by all outputs, and the outputs beside them."""

    objective: Objective = Objective()

    def outputs(self, layers, samples):
        return {
            f"{kind} {layer.name}": Output(("sample", *layer.dims), (samples, *layer.shape))
            for layer in layers
            for kind in ("gradient", "value")
        }

    def start(self, layers, samples):
        return {name: np.full(output.shape, np.nan) for name, output in self.outputs(layers, samples).items()}

    def add(self, state, position, seen):
        rows = slice(seen.first, seen.first + len(seen.gradient))
        list(state.values())[2 * position][rows] = seen.gradient
        list(state.values())[2 * position + 1][rows] = seen.values

    def finish(self, state):
        return state


class Residual(nn.Module):
    """In-place ReLUs, one module called twice, a skip connection, and a module that gives a tuple."""

    runs = 0

    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.split = nn.Conv2d(4, 4, 3, padding=1), Split()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        Residual.runs += 1
        out = self.relu(self.norm(self.conv1(x)))
        out = self.relu(self.conv2(out) + out)
        a, b = self.split(out)
        return self.fc((a - b).mean((2, 3)))


class Split(nn.Module):
    def forward(self, x):
        return 2 * x, x**2


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(self.embedding(x)).mean(1))


def trained(build, steps=3, seed=0):
    """States of a network at several steps, and a run of them."""
    torch.manual_seed(seed)
    nets = [build().eval() for _ in range(steps)]
    states = [{name: value.clone() for name, value in net.state_dict().items()} for net in nets]
    buffers = {name for name, _ in nets[0].named_buffers()}
    arrays = {name: np.stack([state[name].numpy() for state in states]) for name in states[0]}
    return nets, trajlab.from_arrays(
        {name: array for name, array in arrays.items() if name not in buffers},
        buffers={name: array for name, array in arrays.items() if name in buffers},
        steps=10 * np.arange(steps),
    )


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 2, 5, 5, generator=generator), torch.randint(0, 3, (9,), generator=generator)


def fused(*actual):
    with dask.config.set(array_optimize=fuse_scans):
        return dask.compute(*actual)


def test_observe__all_observers_share_one_pass_a_step(images):
    _, run = trained(Residual)
    replayed = replay(run.with_model(Residual, probe=None), probe=images)
    Residual.runs = 0

    activity, pooled, outputs, gradients = fused(
        replayed.observe(Activity()), replayed.observe(Pooled()), dict(replayed), replayed.observe(Gradients())
    )

    assert Residual.runs == 3
    for name in ("relu", "relu:1"):
        values = outputs[name].values
        np.testing.assert_allclose(pooled[name], values.mean((3, 4), dtype=float))
        active = activity[name].sel(column="active")
        np.testing.assert_array_equal(active, (values > 0).sum((1, 3, 4)))
        np.testing.assert_array_equal(gradients[f"value {name}"], values)


def test_observe__two_stages_on_a_named_model_share_one_pass(images):
    _, run = trained(Residual)
    run.facts["describe"] = {"model": {"factory": "tests.replays.test_observe:Residual"}}
    first, second = (replay(run, probe=images, layers=[name]) for name in ("conv1", ""))
    Residual.runs = 0
    fused(first.observe(Activity()), dict(second))
    assert Residual.runs == 3
    first, second = (replay(run, probe=probe, layers=["conv1"]) for probe in (images, (images[0] + 1, images[1])))
    Residual.runs = 0
    fused(first.observe(Activity()), dict(second))
    assert Residual.runs == 6


def test_observe__together_or_alone_and_on_arrays_gives_the_same(images):
    _, run = trained(Residual)
    replayed = replay(run.with_model(Residual), probe=images)
    alone = {name: array.compute(scheduler="sync") for name, array in replayed.observe(Activity()).items()}
    together, _ = fused(replayed.observe(Activity()), replayed.observe(Gradients(Objective("logit"))))
    arrays = {name: array.compute() for name, array in replayed.items()}
    for name, table in alone.items():
        np.testing.assert_array_equal(together[name], table)
        np.testing.assert_allclose(observe(arrays, Activity())[name], table, rtol=1e-12)


@pytest.mark.parametrize("kind", ["loss", "logit", "p_logit", "predicted_logit"])
def test_observe__gradients_agree_with_autograd(images, kind):
    nets, run = trained(Residual)
    layers = ["input", "conv1", "relu", "relu:1", "split[1]", ""]
    replayed = replay(run.with_model(Residual), probe=images, layers=layers)
    actual = replayed.observe(Gradients(Objective(kind)))
    for step, net in enumerate(nets):
        x = images[0].clone().requires_grad_()
        conv1 = net.conv1(x)
        relu = F.relu(net.norm(conv1))
        again = F.relu(net.conv2(relu) + relu)
        square = again**2
        logits = net.fc((2 * again - square).mean((2, 3)))
        own = logits[torch.arange(9), images[1]]
        value = {
            "loss": F.cross_entropy(logits, images[1], reduction="sum"),
            "logit": own.sum(),
            "p_logit": (logits.softmax(1)[torch.arange(9), images[1]].detach() * own).sum(),
            "predicted_logit": logits.max(1).values.sum(),
        }[kind]
        expected = torch.autograd.grad(value, [x, conv1, relu, again, square, logits])
        for name, gradient in zip(layers, expected, strict=True):
            np.testing.assert_allclose(actual[f"gradient {name}"][step], gradient, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(actual["value input"][0], images[0])


def test_observe__gradient_of_a_unit_of_each_sample(images):
    nets, run = trained(Residual)
    units = (0, 3, 1, 2, 0, 1, 2, 3, 3)
    replayed = replay(run.with_model(Residual), probe=images[0], layers=["input", "fc"])
    actual = replayed.observe(Gradients(Objective("unit", "relu", units)))
    for step, net in enumerate(nets):
        x = images[0].clone().requires_grad_()
        relu = F.relu(net.norm(net.conv1(x)))
        value = relu.mean((2, 3))[torch.arange(9), torch.tensor(units)].sum()
        expected = torch.autograd.grad(value, x)[0]
        np.testing.assert_allclose(actual["gradient input"][step], expected, rtol=1e-4, atol=1e-7)
    assert (actual["gradient fc"].compute() == 0).all(), "the unit does not depend on what comes after it"


def test_observe__a_transformer_on_tokens_gives_gradients_and_attention():
    nets, run = trained(Tokens)
    x, y = torch.randint(0, 11, (300, 6)), torch.randint(0, 3, (300,))
    layers = ["encoder", "encoder.self_attn[1]"]
    replayed = replay(run.with_model(Tokens), probe=(x, y), layers=layers)
    gradients, outputs = fused(replayed.observe(Gradients()), replayed.observe(Outputs()))
    assert [layer.dims for layer in replayed.layers] == [("unit", "query", "key"), ("position", "unit")]
    for step, net in enumerate(nets):
        embedded = net.embedding(x)
        _, attention = net.encoder.self_attn(embedded, embedded, embedded, average_attn_weights=False)
        np.testing.assert_allclose(outputs["encoder.self_attn[1]"][step], attention.detach(), rtol=1e-4, atol=1e-6)
        hidden = net.encoder(embedded).detach().requires_grad_()
        loss = F.cross_entropy(net.head(hidden.mean(1)), y, reduction="sum")
        expected = torch.autograd.grad(loss, hidden)[0]
        np.testing.assert_allclose(gradients["gradient encoder"][step], expected, rtol=1e-3, atol=1e-6)


def test_observe__attention_is_not_asked_for_unless_it_is_wanted():
    _, run = trained(Tokens)
    x = torch.randint(0, 11, (5, 6))
    plain = replay(run.with_model(Tokens), probe=x, layers=["encoder"])["encoder"]
    asked = replay(run.with_model(Tokens), probe=x, layers=["encoder*"])
    assert "encoder.self_attn[1]" not in list(replay(run.with_model(Tokens), probe=x, of="modules"))
    np.testing.assert_allclose(asked["encoder"], plain, rtol=1e-4, atol=1e-6)


class CausalSelfAttention(nn.Module):
    """As nanoGPT writes it: nothing but what comes of the attention is given."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def parts(self, x):
        return (part.unflatten(2, (2, 4)).transpose(1, 2) for part in self.qkv(x).chunk(3, 2))

    def forward(self, x):
        q, k, v = self.parts(x)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


def test_observe__attention_of_modules_that_do_not_give_it():
    def build():
        return nn.Sequential(nn.Embedding(11, 8), CausalSelfAttention(), CausalSelfAttention())

    nets, run = trained(build)
    x = torch.randint(0, 11, (5, 6))
    actual = replay(run.with_model(build), probe=x, layers=["*[1]", ""])
    assert list(actual) == ["1[1]", "2[1]", ""]
    plain = replay(run.with_model(build), probe=x, layers=[""])[""]
    np.testing.assert_array_equal(actual[""], plain)
    for step, net in enumerate(nets):
        q, k, _ = net[1].parts(net[0](x))
        scores = (q @ k.transpose(2, 3) / 2).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf)
        np.testing.assert_allclose(actual["1[1]"][step], scores.softmax(3).detach(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(actual["2[1]"].sum("key"), 1, rtol=1e-5)


def test_observe__inputs_of_each_step_of_its_own(images):
    nets, run = trained(Residual)
    inputs = torch.stack([images[0] + shift for shift in range(3)])
    probe = xr.Dataset(
        {"inputs": (("step", "sample", "c", "y", "x"), dask.array.from_array(inputs.numpy(), chunks=2))},
        {"step": [0, 10, 20]},
    )
    actual = replay(run.with_model(Residual), probe=probe, layers=[""])[""]
    for step, net in enumerate(nets):
        np.testing.assert_allclose(actual[step], net(inputs[step]).detach(), rtol=1e-4, atol=1e-6)
    part = replay(run.with_model(Residual), probe=probe.sel(step=[20]), layers=[""])[""]
    np.testing.assert_array_equal(part.sel(step=20), actual.sel(step=20))


def test_observe__pruning_leaves_biases_and_what_is_large(images):
    nets, run = trained(Residual)
    actual = replay(run.with_model(Residual), probe=images, layers=[""], prune=0.1)[""]
    for step, net in enumerate(nets):
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.ndim > 1:
                    parameter[parameter.abs() < 0.1] = 0
        np.testing.assert_allclose(actual[step], net(images[0]).detach(), rtol=1e-4, atol=1e-6)


def test_observe__weights_that_are_shared_have_one_gradient():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.act, self.b = nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.act(self.a(x)))

    w = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(np.float32)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    run = trajlab.from_arrays({"a.weight": w}).with_model(Shared)
    actual = replay(run, probe=(x, y)).observe(Gradients())["gradient act"]
    for step in range(2):
        hidden = torch.tanh(x @ torch.from_numpy(w[step]).T).requires_grad_()
        loss = F.cross_entropy(hidden @ torch.from_numpy(w[step]).T, y, reduction="sum")
        np.testing.assert_allclose(actual[step], torch.autograd.grad(loss, hidden)[0], rtol=1e-4, atol=1e-6)


def test_observe__values_of_the_loss_for_regression_and_labels_of_no_class():
    net = nn.Linear(3, 2)
    run = trajlab.from_arrays({"weight": np.ones((1, 2, 3), np.float32), "bias": np.zeros((1, 2), np.float32)})
    x = torch.randn(4, 3)
    wanted = torch.randn(4, 2)
    out = (x @ torch.ones(3, 2)).requires_grad_()
    actual = replay(run, model=net, probe=(x, wanted), layers=[""]).observe(Gradients())["gradient "]
    np.testing.assert_allclose(actual[0], (out - wanted).detach(), rtol=1e-4, atol=1e-6)
    labels = torch.tensor([0, -100, 1, 7])
    actual = replay(run, model=net, probe=(x, labels), layers=[""]).observe(Gradients())["gradient "]
    expected = torch.autograd.grad(F.cross_entropy(out[[0, 2]], labels[[0, 2]], reduction="sum"), out)[0]
    np.testing.assert_allclose(actual[0], expected, rtol=1e-4, atol=1e-6)


def test_observe__what_can_not_be_derived_is_said(images):
    _, run = trained(Residual)
    run = run.with_model(Residual)
    with pytest.raises(MissingData, match="the loss.*no targets"):
        dask.compute(replay(run, probe=images[0]).observe(Gradients()))
    with pytest.raises(BadSetting, match="'los'.*loss, logit"):
        dask.compute(replay(run, probe=images).observe(Gradients(Objective("los"))))
    _, tokens = trained(Tokens)
    with pytest.raises(BadSetting, match="torch.int64 inputs.*embedding"):
        replay(tokens.with_model(Tokens), probe=torch.zeros(2, 3).long(), layers=["input"]).observe(Gradients())
    with pytest.raises(BadSetting, match="arrays of activations"):
        observe({"a": xr.DataArray(np.ones((1, 2)), dims=("step", "unit"))}, Gradients())
    with pytest.raises(BadSetting, match=r"targets are float32 \(9,\).*values of shape \(9, 3\)"):
        dask.compute(replay(run, probe=(images[0], torch.ones(9))).observe(Gradients()))


def test_observe__a_long_probe_goes_in_batches_of_few_bytes(images, monkeypatch):

    nets, run = trained(Residual)
    expected = dask.compute(replay(run.with_model(Residual), probe=images).observe(Gradients()))[0]
    monkeypatch.setattr("trajlab.sizes.BATCH_BYTES", 1)
    Residual.runs = 0
    actual = dask.compute(replay(run.with_model(Residual), probe=images).observe(Gradients()))[0]
    assert Residual.runs == 1 + 3 * 9
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-4, atol=1e-6)


def test_observe__layers_of_a_kind(images):
    _, run = trained(Residual)
    run = run.with_model(Residual)
    assert list(replay(run, probe=images, of="convolutions")) == ["conv1", "conv2"]
    assert list(replay(run, probe=images, of="units")) == ["conv1", "conv2", "fc"]
    assert list(replay(run, probe=images, of="modules")) == ["conv1", "norm", "relu", "conv2", "relu:1", "split", "fc"]
    attrs = replay(run, probe=images, of="convolutions").layers[0].attrs
    assert attrs["padding"] == [[1, 1], [1, 1]] and attrs["stride"] == [1, 1] and not attrs["transposed"]
    with pytest.raises(BadSetting, match="of='convs'.*activations"):
        replay(run, probe=images, of="convs")


@pytest.mark.parametrize("scheduler", ["sync", "threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_observe__any_scheduler_gives_the_same_bits(images, scheduler):
    _, run = trained(Residual)
    run.facts["describe"] = {"model": {"factory": "tests.replays.test_observe:Residual"}}
    replayed = replay(run, probe=images)
    observers = Activity(), Pooled(), Gradients()
    expected = [dask.compute(replayed.observe(first), scheduler="sync")[0] for first in observers]
    with dask.config.set(scheduler=scheduler, num_workers=2, array_optimize=fuse_scans):
        actual = dask.compute(*(replayed.observe(first) for first in observers))
    for first, second in zip(expected, actual, strict=True):
        for name, array in first.items():
            np.testing.assert_array_equal(second[name], array)


def test_observe__is_lazy(images, no_compute):
    _, run = trained(Residual)
    with no_compute():
        replayed = replay(run.with_model(Residual), probe=images)
        for observer in (Activity(), Pooled(), Gradients()):
            replayed.observe(observer)
        observe(dict(replayed), Activity())
