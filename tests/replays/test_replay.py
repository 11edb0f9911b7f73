"""Replaying against plain loops of torch over the same snapshots."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.replay import activations, replay
from trajlab.running.fuse import fuse_scans
from trajlab.runs.trajectory import Trajectory


class Block(nn.Module):
    """Two convolutions that share one in-place ReLU."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        out = self.norm(self.conv1(x))
        return self.relu(self.conv2(self.relu(out)) + x)


class Net(nn.Module):
    """A block, a pool and two linear layers; `seen` is what its own forward pass saw of each activation."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(Block())
        self.fc1 = nn.Linear(2 * 16, 5)
        self.act = nn.Tanh()
        self.fc2 = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(self.layer1(x).flatten(1))))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3)
        self.fc1 = nn.Linear(8, 6)
        self.fc2 = nn.Linear(6, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x[:, None]))
        return self.fc2(torch.relu(self.fc1(x.mean(1))))


def snapshots(build, steps=4, seed=0):
    """State dicts of a network that moves at random, buffers too."""
    torch.manual_seed(seed)
    net, states = build(), []
    for _ in range(steps):
        states.append({name: value.detach().clone() for name, value in net.state_dict().items()})
        with torch.no_grad():
            for value in net.state_dict().values():
                if value.is_floating_point():
                    value.add_(0.3 * torch.rand_like(value))
    return states


def trajectory(build, steps=4, chunks=None, seed=0) -> Trajectory:
    states = snapshots(build, steps, seed)
    buffers = {name for name, _ in build().named_buffers()}
    arrays = {name: np.stack([state[name].numpy() for state in states]) for name in states[0]}
    if chunks:
        arrays = {
            name: dask.array.from_array(array, chunks=(chunks, *array.shape[1:])) for name, array in arrays.items()
        }
    return trajlab.from_arrays(
        {name: array for name, array in arrays.items() if name not in buffers},
        buffers={name: array for name, array in arrays.items() if name in buffers},
        steps=10 * np.arange(steps),
    )


@pytest.fixture
def probe():
    return torch.randn(9, 2, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def run():
    return trajectory(Net)


def by_hand(states, x):
    """What the activations of Net are, written out."""
    actual = {"layer1.0.relu": [], "layer1.0.relu:1": [], "act": []}
    for state in states:
        net = Net().eval()
        net.load_state_dict(state)
        block = net.layer1[0]
        with torch.no_grad():
            first = torch.relu(block.norm(block.conv1(x)))
            second = torch.relu(block.conv2(first) + x)
            actual["layer1.0.relu"].append(first)
            actual["layer1.0.relu:1"].append(second)
            actual["act"].append(torch.tanh(net.fc1(second.flatten(1))))
    return {name: torch.stack(rows).numpy() for name, rows in actual.items()}


def test_replay__agrees_with_a_loop_over_the_snapshots(run, probe):
    layers = replay(run, model=Net, probe=probe)

    expected = by_hand(snapshots(Net), probe)
    assert list(layers) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(layers[name], values, rtol=1e-5, atol=1e-6)
        assert layers[name].step.values.tolist() == [0, 10, 20, 30]


def test_replay__says_what_each_layer_is(run, probe):
    layers = replay(run, model=Net, probe=probe)

    assert layers["layer1.0.relu"].dims == ("step", "sample", "unit", "y", "x")
    assert layers["act"].dims == ("step", "sample", "unit")
    about = {name: [layer.attrs[key] for key in ("module", "source", "rectified")] for name, layer in layers.items()}
    assert about == {
        "layer1.0.relu": ["layer1.0.relu", "layer1.0.conv1", True],
        "layer1.0.relu:1": ["layer1.0.relu", "layer1.0.conv2", True],
        "act": ["act", "fc1", False],
    }
    assert layers["act"].attrs["module_class"] == "Tanh"


def test_replay__the_network_itself_is_a_layer_where_it_is_asked_for(run, probe):
    output = replay(run, model=Net, probe=probe, layers=[""])[""]

    for step, state in zip(output.step.values, snapshots(Net), strict=True):
        net = Net().eval()
        net.load_state_dict(state)
        with torch.no_grad():
            np.testing.assert_allclose(output.sel(step=step), net(probe), rtol=1e-5, atol=1e-6)
    assert "" not in replay(run, model=Net, probe=probe, layers=["*"])


def test_replay__uses_the_buffers_of_the_step(run, probe):
    layers = replay(run, model=Net, probe=probe)["layer1.0.relu"].values

    same = {name: array.values for name, array in run.weights.items()}
    frozen = {name: array.values[[0] * 4] for name, array in run.buffers.items()}
    other = replay(trajlab.from_arrays(same, buffers=frozen), model=Net, probe=probe)["layer1.0.relu"].values
    np.testing.assert_array_equal(layers[0], other[0])
    assert (layers[1] != other[1]).any()


def test_replay__is_lazy(run, probe, no_compute):
    with no_compute():
        layers = replay(trajectory(Net, chunks=3), model=Net, probe=probe)
        stored = with_probe(run, xr.DataArray(probe.numpy(), dims=("sample", "a", "b", "c")).chunk(2))
        replay(stored, model=Net)
    assert layers["act"].data.chunks[0] == (1, 1, 1, 1)


def with_probe(run, inputs, sha256="abc"):
    run.probe = xr.Dataset({"inputs": inputs}, attrs={"sha256": sha256})
    return run


def test_replay__takes_the_probe_of_the_run_by_default(run, probe):
    lazy = xr.DataArray(probe.numpy(), dims=("sample", "a", "b", "c")).chunk(sample=2, a=1)

    layers = replay(with_probe(run, lazy), model=Net)

    assert layers["act"].attrs["probe_sha256"] == "abc"
    np.testing.assert_array_equal(layers["act"], replay(run, model=Net, probe=probe)["act"])


@pytest.mark.parametrize("form", ["numpy", "tensor", "pair", "labeled", "lazy"])
def test_replay__takes_a_probe_in_any_form(run, probe, form):
    forms = {
        "numpy": probe.numpy(), "tensor": probe, "pair": (probe, torch.zeros(9)),
        "labeled": xr.DataArray(probe.numpy()), "lazy": dask.array.from_array(probe.numpy(), chunks=2),
    }  # fmt: skip
    layer = replay(run, model=Net, probe=forms[form])["act"]
    np.testing.assert_array_equal(layer, replay(run, model=Net, probe=probe)["act"])


def test_replay__probes_are_told_apart_by_their_hash_as_the_recorder_makes_it(run, probe, tmp_path):
    with trajlab.Recorder(Net(), tmp_path / "run", probe=probe):
        pass
    recorded = trajlab.open(tmp_path / "run").probe.attrs["sha256"]

    hashes = [replay(run, model=Net, probe=one)["act"].attrs["probe_sha256"] for one in (probe, probe + 1)]

    assert hashes[0] == recorded != hashes[1]


@pytest.mark.parametrize("chunks", [1, 3, 4])
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_replay__any_scheduler_and_chunks_give_the_same_bits(run, probe, chunks, scheduler):
    expected = dask.compute(dict(replay(run, model=Net, probe=probe)), scheduler="sync")[0]

    with dask.config.set(scheduler=scheduler, num_workers=4):
        actual = dask.compute(dict(replay(trajectory(Net, chunks=chunks), model=Net, probe=probe)))[0]

    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name])


def test_replay__processes_give_the_same_bits(example_net, monkeypatch):
    run, probe = example_net
    layers = dict(replay(run, probe=probe))
    expected = dask.compute(layers, scheduler="sync")[0]

    actual = dask.compute(layers, scheduler="processes", num_workers=1)[0]

    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name])


FACTORY = """
from torch import nn

class Small(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.relu, self.fc2 = nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(x)))

def small(width=3):
    return Small(width)

def nothing():
    return 7
"""


@pytest.fixture
def example_net(tmp_path, monkeypatch):
    """A run whose model is in a module of the current directory, and a probe."""
    (tmp_path / "replayed_net.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "replayed_net", raising=False)
    run = trajectory(lambda: nn.Sequential(dict_of(fc1=nn.Linear(4, 5), relu=nn.ReLU(), fc2=nn.Linear(5, 2))), 3)
    run.facts["describe"] = {"model": {"factory": "replayed_net:small", "arguments": {"width": 5}}}
    return run, torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def dict_of(**modules):
    from collections import OrderedDict

    return OrderedDict(modules)


def test_replay__builds_the_model_that_run_json_names(example_net):
    run, probe = example_net
    layer = replay(run, probe=probe)["relu"]

    w, b = run.weights["fc1.weight"].values, run.weights["fc1.bias"].values
    expected = np.maximum(np.einsum("si,tui->tsu", probe.numpy(), w) + b[:, None], 0)
    np.testing.assert_allclose(layer, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(replay(run, model="replayed_net:small", probe=probe)["relu"], layer)


def test_replay__leaves_the_global_random_state_alone(example_net):
    run, probe = example_net
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    replay(run, probe=probe)["relu"].compute()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_replay__leaves_the_threads_of_torch_as_they_were(run, probe, scheduler):
    actual = []

    class Watching(Net):
        def forward(self, x):
            actual.append(torch.get_num_threads())
            return super().forward(x)

    torch.set_num_threads(2)
    dask.compute(dict(replay(run, model=Watching(), probe=probe)), scheduler=scheduler)
    with ThreadPoolExecutor(1) as fresh:
        after = fresh.submit(torch.get_num_threads).result()

    assert actual == [2, 1, 1, 1, 1]
    assert (torch.get_num_threads(), after) == (2, 2)


def test_replay__leaves_a_model_that_is_given_as_it_was(run, probe):
    net = Net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    replay(run, model=net, probe=probe)["act"].compute()
    assert net.training
    assert not [module for module in net.modules() if module._forward_hooks]
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_replay__two_times_the_same_is_computed_once(example_net):
    run, probe = example_net
    first, second = replay(run, probe=probe)["relu"], replay(run, probe=probe)["relu"]
    assert first.data.name == second.data.name
    other = replay(run, probe=probe + 1)["relu"]
    run.weights.series["fc1.bias"].values[0] += 1
    assert len({first.data.name, other.data.name, replay(run, probe=probe)["relu"].data.name}) == 3


def test_replay__two_models_that_are_given_are_not_mixed_up():
    run = trajectory(lambda: nn.Sequential(nn.Linear(4, 3)))
    x = torch.randn(5, 4)
    models = [nn.Sequential(nn.Linear(4, 3), act) for act in (nn.ReLU(), nn.LeakyReLU(0.5))]
    hard, leaky = dask.compute(*(replay(run, model=model, probe=x)["1"] for model in models))
    assert (leaky < 0).any() and (hard >= 0).all()
    np.testing.assert_array_equal(hard, np.maximum(leaky, 0))


def test_replay__computes_under_the_fusion_of_scans(run, probe):
    layers = dict(replay(run, model=Net, probe=probe))
    with dask.config.set(array_optimize=fuse_scans):
        actual = dask.compute(layers)[0]
    np.testing.assert_array_equal(actual["act"], layers["act"].compute())


def test_replay__goes_through_a_long_probe_in_batches(run):
    probe = torch.randn(600, 2, 4, 4)
    layer = replay(run, model=Net, probe=probe)["act"].values
    np.testing.assert_allclose(layer, by_hand(snapshots(Net), probe)["act"], rtol=1e-5, atol=1e-6)


class Caching(nn.Module):
    """Keeps what it made for the first batch that it saw, as masks and states are kept."""

    def __init__(self):
        super().__init__()
        self.fc, self.kept = nn.Linear(4, 2), None

    def forward(self, x):
        if self.kept is None:
            self.kept = torch.arange(len(x))[:, None]
        return self.fc(x + self.kept)


def test_replay__what_a_network_keeps_of_one_batch_does_not_reach_batches_of_another_size(monkeypatch):
    monkeypatch.setattr("trajlab.sizes.BATCH_SAMPLES", 5)
    net, inputs = Caching(), torch.randn(7, 4)
    run = trajlab.from_arrays({name: value.detach().numpy()[None] for name, value in net.named_parameters()})
    values = replay(run, model=Caching, probe=inputs, layers=[""])[""].values[0]
    positions = torch.tensor([0, 1, 2, 3, 4, 0, 1])[:, None]
    np.testing.assert_allclose(values, net.fc(inputs + positions).detach(), rtol=1e-5, atol=1e-6)


class ThreeAtMost(nn.Linear):
    """Takes no more samples than it was once traced with."""

    def forward(self, x):
        return super().forward(x).reshape(min(len(x), 3), 2)


def test_replay__a_network_that_does_not_take_as_many_samples_is_told():
    run = trajlab.from_arrays({"weight": np.ones((1, 2, 4)), "bias": np.ones((1, 2))})
    replayed = replay(run, model=lambda: ThreeAtMost(4, 2), probe=torch.ones(7, 4), layers=[""])
    with pytest.raises(BadSetting, match=r"with 7 samples of shape \[4\].*; pass a model= that takes any number"):
        replayed[""].compute()


def test_replay__a_probe_of_one_sample_is_enough(run, probe):
    layer = replay(run, model=Net, probe=probe[:1])["act"]
    np.testing.assert_allclose(layer, by_hand(snapshots(Net), probe[:1])["act"], rtol=1e-5, atol=1e-6)


def test_replay__functions_that_are_activations_are_layers(probe):
    run = trajectory(Functional)
    x = torch.randn(5, 10)
    layers = replay(run, model=Functional(), probe=x)

    assert [(name, layer.dims[2:], layer.attrs["source"]) for name, layer in layers.items()] == [
        ("relu", ("unit", "x"), "conv"), ("relu:1", ("unit",), "fc1"),
    ]  # fmt: skip
    assert layers["relu"].attrs["rectified"] and layers["relu"].attrs["activation"]
    assert (layers["relu"].attrs["module_class"], layers["relu"].attrs["function"]) == ("ReLU", "relu")
    state = snapshots(Functional)[2]
    expected = nn.functional.conv1d(x[:, None], state["conv.weight"], state["conv.bias"]).clamp(min=0)
    np.testing.assert_allclose(layers["relu"][2], expected, rtol=1e-5, atol=1e-6)


def test_replay__transformers_have_positions():
    def build():
        return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=nn.GELU())

    layers = replay(trajectory(build), model=build, probe=torch.randn(5, 7, 8))
    assert {name: (layer.dims, layer.shape, layer.attrs["source"]) for name, layer in layers.items()} == {
        "activation": (("step", "sample", "position", "unit"), (4, 5, 7, 16), "linear1")
    }


def test_replay__the_source_is_the_nearest_module_with_as_many_units():
    def build():
        return nn.Sequential(
            nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 5), nn.Softplus()
        )

    layers = replay(trajectory(build), model=build, probe=torch.randn(2, 4))
    assert {name: layer.attrs["source"] for name, layer in layers.items()} == {"1": "0", "4": "2", "6": "5"}


def test_replay__recurrent_networks_give_their_first_output():
    def build():
        return nn.Sequential(nn.LSTM(3, 4, batch_first=True), Take(), nn.Tanh())

    run = trajectory(build)
    x = torch.randn(2, 5, 3)
    layers = replay(run, model=build, probe=x, layers=["0"])
    lstm = nn.LSTM(3, 4, batch_first=True)
    lstm.load_state_dict({name.removeprefix("0."): value for name, value in snapshots(build)[3].items()})
    np.testing.assert_allclose(layers["0"][3], lstm(x)[0].detach(), rtol=1e-5, atol=1e-6)


class Take(nn.Module):
    def forward(self, actual):
        return actual[0]


def test_replay__units_of_a_transposed_convolution_have_no_rows():
    def build():
        return nn.Sequential(nn.ConvTranspose2d(3, 3, 2), nn.ReLU())

    layer = replay(trajectory(build), model=build, probe=torch.randn(2, 3, 4, 4))["1"]
    assert layer.sizes["unit"] == 3 and layer.dims[2] == "unit"
    assert layer.attrs["source"] == ""


def test_replay__tied_weights_may_be_recorded_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.relu, self.b = nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.relu(self.a(x)))

    w = np.random.default_rng(0).standard_normal((3, 4, 4)).astype(np.float32)
    x = torch.randn(5, 4)
    for name in ("a.weight", "b.weight"):
        layers = replay(trajlab.from_arrays({name: w}), model=Tied, probe=x, layers=["relu", "b"])
        hidden = np.maximum(np.einsum("si,tui->tsu", x, w), 0)
        np.testing.assert_allclose(layers["relu"], hidden, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layers["b"], np.einsum("tsi,tui->tsu", hidden, w), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_replay__computes_in_the_types_the_model_was_built_in(dtype):
    run = trajectory(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    x = torch.randn(5, 4)
    layer = replay(run, model=nn.Sequential(nn.Linear(4, 3), nn.ReLU()).to(dtype), probe=x)["1"]

    state = {name: torch.from_numpy(array.values[2]).to(dtype) for name, array in run.weights.items()}
    expected = torch.relu(nn.functional.linear(x.to(dtype), state["0.weight"], state["0.bias"]))
    assert layer.dtype == (np.float32 if dtype is torch.bfloat16 else np.float64)
    np.testing.assert_array_equal(layer[2], expected.to(torch.float64))


def test_replay__buffers_that_are_not_stored_keep_what_the_factory_gave_them():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.relu = nn.Linear(4, 3), nn.ReLU()
            self.register_buffer("scale", torch.tensor(2.0), persistent=False)

        def forward(self, x):
            return self.relu(self.fc(x * self.scale))

    run = trajectory(lambda: nn.Sequential(dict_of(fc=nn.Linear(4, 3))))
    x = torch.randn(5, 4)
    plain = nn.Sequential(dict_of(fc=nn.Linear(4, 3), relu=nn.ReLU()))
    np.testing.assert_allclose(
        replay(run, model=Scaled, probe=x)["relu"], replay(run, model=plain, probe=2 * x)["relu"], rtol=1e-5, atol=1e-6
    )


def test_replay__layers_are_named_or_matched(run, probe):
    def chosen(*patterns):
        return list(replay(run, model=Net, probe=probe, layers=patterns))

    assert chosen("fc*") == ["fc1", "fc2"]
    assert chosen("act", "layer1.*.relu") == ["layer1.0.relu", "layer1.0.relu:1", "act"]
    assert chosen("*:1") == ["layer1.0.relu:1"]
    assert list(replay(run, model=Net, probe=probe, layers="act")) == ["act"]


class Looking(nn.Module):
    """Heads that look around, a softmax over positions of maps, and one over rows of samples and heads together."""

    def __init__(self):
        super().__init__()
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True)
        self.squash = nn.Hardtanh(-2.0, 3.0)
        self.over = nn.Softmax(dim=1)
        self.rows = nn.Softmax(dim=2)
        self.usual = nn.LogSoftmax(dim=-1)

    def forward(self, x):
        looked = self.squash(self.heads(x, x, x)[0])
        per_head = looked.reshape(len(x), 5, 2, 2).transpose(1, 2).reshape(-1, 5, 2)
        self.rows(per_head @ per_head.transpose(1, 2))
        return self.usual(self.over(looked))


def test_replay__nonlinearities_are_activations_softmaxes_and_attention():
    run = trajectory(Looking)
    layers = replay(run, model=Looking, probe=torch.randn(3, 5, 4), of="nonlinearities")

    assert list(layers) == ["heads[1]", "squash", "rows", "over", "usual"]
    assert layers["heads[1]"].dims == ("step", "sample", "unit", "query", "key")
    assert layers["squash"].attrs["min_val"] == -2.0 and layers["squash"].attrs["max_val"] == 3.0
    for name in ("rows", "over", "usual"):
        layer = layers[name]
        axis = layer.attrs["softmax_axis"]
        total = (np.exp(layer) if name == "usual" else layer).sum(layer.dims[2 + axis])
        np.testing.assert_allclose(total, 1.0, rtol=1e-5)
    assert layers["rows"].shape[1:] == (3, 2, 5, 5)
    assert [layers[name].attrs["softmax_axis"] for name in ("rows", "over", "usual")] == [2, 0, 1]


def test_replay__a_linear_network_has_no_nonlinearity_but_its_softmax():
    def build():
        return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), nn.Softmax(-1))

    run, x = trajectory(build), torch.randn(5, 4)
    assert list(replay(run, model=build, probe=x, of="nonlinearities")) == ["2"]
    assert list(replay(run, model=build, probe=x)) == ["0"]


def test_replay__an_output_that_is_written_over_later_is_kept_as_it_was(run, probe):
    layers = replay(run, model=Net, probe=probe, layers=["layer1.0.norm", "layer1.0.relu"])
    normed = layers["layer1.0.norm"].values
    assert (normed < 0).any()
    np.testing.assert_array_equal(np.maximum(normed, 0), layers["layer1.0.relu"])


def test_replay__a_pattern_that_fits_nothing_offers_close_names(run, probe):
    with pytest.raises(BadSetting, match=r"'layer1.0.rule'.*layer1.0.relu"):
        replay(run, model=Net, probe=probe, layers=["layer1.0.rule"])
    with pytest.raises(BadSetting, match="conv9"):
        replay(run, model=Net, probe=probe, layers=["act", "conv9*"])


def test_replay__an_output_without_samples_is_refused():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.total = nn.Linear(4, 3), Total()

        def forward(self, x):
            return self.total(self.fc(x))

    run = trajectory(Odd)
    with pytest.raises(BadSetting, match="total.*no values per sample"):
        replay(run, model=Odd, probe=torch.randn(5, 4), layers=["total"])


class Total(nn.Module):
    def forward(self, x):
        return x.sum()


def test_replay__an_output_whose_first_dim_is_not_over_samples_is_told_when_computed():
    class Transposed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.relu = nn.Linear(4, 3), nn.ReLU()

        def forward(self, x):
            return self.relu(self.fc(x).T)

    layer = replay(trajectory(Transposed), model=Transposed, probe=torch.randn(5, 4))["relu"]
    with pytest.raises(BadSetting, match=r"relu.*\[3, 5\]"):
        layer.compute()


def test_replay__without_a_probe_says_what_to_try(run):
    with pytest.raises(MissingData, match=r"probe.*Recorder\(probe="):
        replay(run, model=Net)


def test_replay__without_a_model_says_what_to_try(run, probe):
    with pytest.raises(MissingData, match="names no model.*model="):
        replay(run, probe=probe)


@pytest.mark.parametrize(
    ("model", "error", "actual"),
    [
        ("replayed_net", BadSetting, "package.module"),
        ("no_such_net:small", MissingData, "No module named 'no_such_net'"),
        ("replayed_net:large", MissingData, "has no large;"),
        ("replayed_net:nothing", BadSetting, "returned a int"),
    ],
)
def test_replay__a_factory_that_is_wrong_is_told(example_net, model, error, actual):
    run, probe = example_net
    with pytest.raises(error, match=actual):
        replay(run, model=model, probe=probe)


def test_replay__arguments_that_a_factory_does_not_take_are_told(example_net):
    run, probe = example_net
    run.facts["describe"]["model"]["arguments"] = {"depth": 3}
    with pytest.raises(BadSetting, match="depth"):
        replay(run, probe=probe)


def test_replay__a_model_that_does_not_fit_lists_the_names(run, probe):
    class Other(Net):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(32, 6)
            self.head = nn.Linear(5, 3)
            del self.fc2

    with pytest.raises(BadSetting) as caught:
        replay(run, model=Other, probe=probe)
    message = str(caught.value)
    assert "2 missing in the run (head.weight, head.bias)" in message
    assert "2 not in the model (fc2.weight, fc2.bias)" in message
    assert "2 of another shape (fc1.weight [6, 32] recorded as [5, 32], fc1.bias [6] recorded as [5])" in message


def test_replay__long_lists_of_names_are_cut():
    run = trajectory(lambda: nn.Sequential(*(nn.Linear(2, 2) for _ in range(20))))
    with pytest.raises(BadSetting, match=r"38 not in the model \(1.weight, .* and 34 more\)"):
        replay(run, model=nn.Sequential(nn.Linear(2, 2)), probe=torch.zeros(1, 2))


def test_replay__running_statistics_that_were_not_recorded_are_missing(run, probe):
    bare = trajlab.from_arrays({name: array.values for name, array in run.weights.items()})
    with pytest.raises(BadSetting, match="2 missing in the run .*running_mean"):
        replay(bare, model=Net, probe=probe)


def test_replay__a_probe_that_the_model_does_not_take_is_told(run):
    with pytest.raises(BadSetting, match=r"Net.*\[3, 7\]"):
        replay(run, model=Net, probe=torch.zeros(5, 7))


def test_replay__steps_that_lack_a_tensor_are_left_out():
    run = trajectory(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    life = run.weights.series["0.bias"]
    life.steps, life.values = life.steps[1:3], life.values[1:3]
    layer = replay(run, model=nn.Sequential(nn.Linear(4, 3), nn.ReLU()), probe=torch.ones(2, 4))["1"]
    assert layer.step.values.tolist() == [10, 20]
    w, b = run.weights["0.weight"].values[2], life.values[1]
    np.testing.assert_allclose(layer[1, 0], np.maximum(w.sum(1) + b, 0), rtol=1e-5, atol=1e-6)
    life.steps = np.array([1, 2])
    with pytest.raises(MissingData, match="all weights and buffers"):
        replay(run, model=nn.Sequential(nn.Linear(4, 3), nn.ReLU()), probe=torch.ones(2, 4))


def test_replay__reads_snapshots_from_disk_in_the_types_they_were_stored_in(tmp_path, probe):
    net = Net().to(torch.bfloat16)
    with trajlab.Recorder(net, tmp_path / "run", when=trajlab.every(1), gradients=False, probe=probe) as recorder:
        for _ in range(3):
            recorder.step(loss=0.0)
            with torch.no_grad():
                net.fc1.weight.add_(0.5)
    run = trajlab.open(tmp_path / "run")

    layer = replay(run, model=Net)["act"]

    states = [{name: value.float() for name, value in run.at(int(step)).items()} for step in run.steps]
    np.testing.assert_allclose(layer, by_hand(states, probe)["act"], rtol=1e-5, atol=1e-6)
    packed = trajlab.open(trajlab.pack(run, Path(tmp_path) / "run.zarr"))
    np.testing.assert_array_equal(replay(packed, model=Net)["act"], layer)


def test_activations__are_none_without_a_probe_or_a_model(example_net):
    run, probe = example_net
    assert activations(run) is None
    with_probe(run, xr.DataArray(probe.numpy(), dims=("sample", "inputs_0")))
    np.testing.assert_array_equal(activations(run)["relu"], replay(run, probe=probe)["relu"])
    run.facts["describe"] = {"model": "LeNet"}
    assert activations(run) is None
