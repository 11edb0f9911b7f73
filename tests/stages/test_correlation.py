import dask
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure
from trajlab.replays import stateless as network
from trajlab.running.fuse import fuse_scans
from trajlab.stages.correlation import correlation
from trajlab.statistics.correlation import cka, features_of


def given(**layers):
    """A replay that gives arrays, dims (step, sample, unit) unless they are DataArrays."""
    arrays = {
        name: array
        if isinstance(array, xr.DataArray)
        else xr.DataArray(array, {"step": 10 * np.arange(len(array))}, ("step", "sample", "unit"))
        for name, array in layers.items()
    }
    return lambda layers=None, probe=None: arrays


@pytest.mark.parametrize("samples", [2, 3, 12, 400])
def test_correlation__by_chance_is_that_of_noise(rng, samples):
    noise = rng.standard_normal((1, samples, 300))
    result = correlation(given(noise=noise), shuffles=0).compute()

    assert result.absolute_null == pytest.approx(result.absolute_off_diagonal.item(), rel=0.02)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(5 * 16, 9)
        self.tanh = nn.Tanh()
        self.fc2 = nn.Linear(9, 3)

    def forward(self, x):
        return self.fc2(self.tanh(self.fc1(self.relu(self.conv(x)).flatten(1))))


def record(position, net, inputs, targets, steps=7):
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    probe = {"valid": (inputs, targets), "train": (inputs.flip(0), targets.flip(0))}
    with trajlab.Recorder(net, position, when=trajlab.every(2), probe=probe) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs), targets).backward()
            recorder.step(loss=0.0)
            optimizer.step()
    return trajlab.open(position)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    torch.manual_seed(0)
    inputs, targets = torch.randn(40, 2, 6, 6), torch.randint(3, (40,))
    return record(tmp_path_factory.mktemp("correlation") / "run", Net(), inputs, targets)


@pytest.fixture(scope="module")
def seen(trained):
    """Features by a plain loop, (step, sample, unit) by layer."""
    actual = {"relu": [], "tanh": []}
    inputs = torch.from_numpy(np.array(trained.probe["inputs"].values))
    for step in trained.steps:
        net = Net()
        net.load_state_dict(trained.at(int(step)))
        with torch.no_grad():
            hidden = net.relu(net.conv(inputs))
            actual["relu"].append(hidden.double().mean((2, 3)).numpy())
            actual["tanh"].append(net.tanh(net.fc1(hidden.flatten(1))).double().numpy())
    return {name: np.stack(rows) for name, rows in actual.items()}


def of(run, **settings):
    def replay(**inputs):
        return trajlab.replay(run, model=Net, **inputs)

    return correlation(replay, run.probe, **settings)


def test_correlation__agrees_with_numpy_and_a_plain_loop(trained, seen):
    result = of(trained).compute()

    assert result.layer.values.tolist() == result.layer_other.values.tolist() == ["relu", "tanh"]
    assert result.step.values.tolist() == trained.steps.tolist()
    for position in range(len(trained.steps)):
        at = result.isel(step=position)
        whole = np.corrcoef(np.hstack([seen["relu"][position], seen["tanh"][position]]).T)
        parts = {"relu": slice(0, 5), "tanh": slice(5, 14)}
        for a, rows in parts.items():
            for b, columns in parts.items():
                two, block = at.sel(layer=a, layer_other=b), whole[rows, columns]
                apart = block[~np.eye(len(block), dtype=bool)] if a == b else block
                for suffix, values in (("", block), ("_off_diagonal", apart)):
                    np.testing.assert_allclose(two[f"signed{suffix}"], values.mean(), atol=1e-6)
                    np.testing.assert_allclose(two[f"absolute{suffix}"], abs(values).mean(), atol=1e-6)
                    np.testing.assert_allclose(two[f"clipped{suffix}"], np.maximum(values, 0).mean(), atol=1e-6)
                features = features_of(seen[a][position]), features_of(seen[b][position])
                np.testing.assert_allclose(two.cka, cka(*features), atol=1e-5)
        apart = whole[~np.eye(14, dtype=bool)]
        np.testing.assert_allclose(at.total_absolute_off_diagonal, abs(apart).mean(), atol=1e-6)
        np.testing.assert_allclose(at.total_clipped, np.maximum(whole, 0).mean(), atol=1e-6)
        for name, values in seen.items():
            start, now, end = (features_of(values[row]) for row in (0, position, -1))
            np.testing.assert_allclose(at.cka_start.sel(layer=name), cka(start, now), atol=1e-5)
            np.testing.assert_allclose(at.cka_end.sel(layer=name), cka(now, end), atol=1e-5)
            own = [np.corrcoef(a, b)[0, 1] for a, b in zip(values[position].T, values[-1].T, strict=True)]
            np.testing.assert_allclose(at.own_end.sel(layer=name), np.mean(own), atol=1e-5)
    assert (result.features == [5, 9]).all() and result.total_features[0] == 14
    np.testing.assert_allclose(result.cka_end[-1], 1)
    np.testing.assert_allclose(result.matched_end[-1], 1)
    assert (result.kept_end[-1] == 1).all()
    assert result.cka_start[-1].max() < 0.999


def test_correlation__hand_made():
    """Features a and −a, and one that is unrelated to both."""
    a, b = np.array([1.0, -1, 1, -1]), np.array([1.0, 1, -1, -1])
    result = correlation(given(one=np.stack([np.stack([a, -a, b], 1)] * 2), two=np.stack([b[:, None]] * 2))).compute()
    at = result.isel(step=0)
    np.testing.assert_allclose(at.signed, [[1 / 9, 1 / 3], [1 / 3, 1]], atol=1e-15)
    np.testing.assert_allclose(at.absolute, [[5 / 9, 1 / 3], [1 / 3, 1]], atol=1e-15)
    np.testing.assert_allclose(at.clipped, [[1 / 3, 1 / 3], [1 / 3, 1]], atol=1e-15)
    np.testing.assert_allclose(at.signed_off_diagonal, [[-1 / 3, 1 / 3], [1 / 3, np.nan]], atol=1e-15)
    np.testing.assert_allclose(at.absolute_off_diagonal, [[1 / 3, 1 / 3], [1 / 3, np.nan]], atol=1e-15)


def test_correlation__a_channel_is_the_mean_of_its_map_and_a_unit_that_of_its_tokens(rng):
    conv = xr.DataArray(rng.standard_normal((2, 9, 3, 4, 5)), {"step": [0, 1]}, ("step", "sample", "unit", "y", "x"))
    text = xr.DataArray(rng.standard_normal((2, 9, 7, 3)), {"step": [0, 1]}, ("step", "sample", "position", "unit"))
    pooled = given(conv=conv.mean(("y", "x")).values, text=text.mean("position").values)
    expected = correlation(pooled).compute().assign_coords(step=[0, 1])
    xr.testing.assert_allclose(correlation(given(conv=conv, text=text)).compute(), expected)


def test_correlation__of_each_unit_of_two_layers_agrees_with_numpy(trained, seen):
    settings = {"matrix_layer": "relu", "matrix_layer_other": "tanh", "matrix_steps": [-1], "max_steps": 2}
    result = of(trained, **settings).compute()
    ours, theirs = (seen[name][-1] for name in ("relu", "tanh"))
    with np.errstate(all="ignore"):
        expected = np.corrcoef(ours.T, theirs.T)[: ours.shape[1], ours.shape[1] :]
    np.testing.assert_allclose(result.cross_correlation[-1], expected, atol=1e-5)
    covariance = np.cov(ours.T, theirs.T)[: ours.shape[1], ours.shape[1] :]
    np.testing.assert_allclose(result.cross_covariance[-1], covariance, atol=1e-6)
    assert (
        result.cross_correlation.dims == ("step", "unit", "unit_across") and result.cross_correlation[0].isnull().all()
    )
    ax = figure(result.assign_attrs(stage="correlation"), variable="cross_correlation")
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("unit of relu", "unit of tanh")
    with pytest.raises(BadSetting, match="cannot correlate 'tanh' with no layer"):
        of(trained, matrix_layer_other="tanh")


def test_correlation__matrices_stand_at_their_steps(trained, seen):
    result = of(trained, matrix_layer="tanh", matrix_steps=[2, -1], max_steps=2).compute()
    assert result.step.values.tolist() == [0, 2, 7]
    assert np.isnan(result.feature_correlation[0]).all() and np.isnan(result.sample_correlation[0]).all()
    for position, row in ((1, 1), (2, -1)):
        values = seen["tanh"][row]
        np.testing.assert_allclose(result.feature_correlation[position], np.corrcoef(values.T), atol=1e-5)
        np.testing.assert_allclose(result.sample_correlation[position], np.corrcoef(values), atol=1e-5)
    np.testing.assert_array_equal(result.target, trained.probe["targets"])


def test_correlation__keeps_features_and_their_cosine_of_a_layer(trained, seen):
    result = of(trained, matrix_layer="relu", matrix_steps=[-1], max_steps=2).compute()
    values = seen["relu"][-1]
    np.testing.assert_allclose(result.feature_values[-1], values, rtol=1e-5, atol=1e-6)
    with np.errstate(all="ignore"):
        length = np.linalg.norm(values, axis=0)
        np.testing.assert_allclose(result.feature_cosine[-1], values.T @ values / np.outer(length, length), atol=1e-5)
    assert result.feature_values[0].isnull().all() and result.feature_cosine[0].isnull().all()
    ax = figure(result.assign_attrs(stage="correlation"), variable="feature_values")
    order = np.argsort(result.target.values, kind="stable")
    np.testing.assert_allclose(ax.collections[0].get_array(), result.feature_values[-1].values[order])
    assert ax.get_ylabel() == "sample, by class"


def test_correlation__of_another_kind_of_inputs(trained):
    layers = ["tanh"]
    result = of(trained, kind="train", layers=layers).compute()
    backwards = of(trained, layers=layers).compute()
    np.testing.assert_allclose(result.cka_start, backwards.cka_start, atol=1e-5)
    assert result.layer.values.tolist() == layers
    assert result.attrs["probe_sha256"] == trained.probe.attrs["train_sha256"] != backwards.attrs["probe_sha256"]
    assert of(trained, kind="gaussian").attrs["kind"] == "gaussian"


def test_correlation__constant_and_broken_features_are_counted_and_left_out(rng):
    values = rng.standard_normal((3, 12, 6))
    values[:, :, 1] = 4
    values[1:, 3, 2] = np.nan
    values[1:, 5, 2] = np.inf
    result = correlation(given(a=values, b=values[:, :, :1])).compute()
    assert result.features.values.tolist() == [[5, 1], [4, 1], [4, 1]]
    assert result.constant.values.tolist() == [[1, 0]] * 3
    assert result.nonfinite.values.tolist() == [[0, 0], [2, 0], [2, 0]]
    known = correlation(given(a=values[:, :, [0, 3, 4, 5]], b=values[:, :, :1])).compute()
    for name in ("signed", "absolute_off_diagonal", "cka", "cka_end"):
        np.testing.assert_allclose(result[name][1:], known[name][1:], atol=1e-12)
    assert result.total_nonfinite.values.tolist() == [0, 2, 2]


def test_correlation__of_one_sample_nothing_varies(rng):
    result = correlation(given(a=rng.standard_normal((2, 1, 3)))).compute()
    assert (result.constant == 3).all() and np.isnan(result.signed).all() and np.isnan(result.cka_end).all()


def test_correlation__of_one_step(rng):
    result = correlation(given(a=rng.standard_normal((1, 9, 3)))).compute()
    np.testing.assert_allclose([result.cka_start, result.cka_end, result.own_end, result.kept_end], 1)


def test_correlation__any_scheduler_gives_the_same_bits(trained):
    result = of(trained, matrix_layer="relu")
    expected = result.compute(scheduler="sync")
    xr.testing.assert_identical(result.compute(scheduler="threads", num_workers=4), expected)
    with dask.config.set(array_optimize=fuse_scans):
        xr.testing.assert_identical(result.compute(), expected)


@pytest.mark.parametrize("chunks", [{"step": 1}, {"step": 3, "unit": 2}, {"sample": 4}])
def test_correlation__any_chunking_gives_the_same_bits(rng, chunks):
    array = xr.DataArray(rng.standard_normal((7, 10, 5)), {"step": np.arange(7)}, ("step", "sample", "unit"))
    expected = correlation(given(a=array)).compute()
    xr.testing.assert_identical(correlation(given(a=array.chunk(chunks))).compute(), expected)


def test_correlation__batches_do_not_matter(trained, monkeypatch):
    expected = of(trained).compute()
    monkeypatch.setattr("trajlab.sizes.BATCH_SAMPLES", 7)
    xr.testing.assert_allclose(of(trained).compute(), expected, atol=1e-4)


def test_correlation__shares_the_pass_with_other_stages_and_skips_steps(trained, monkeypatch):
    passes = []
    real = network.Network.watched
    monkeypatch.setattr(network.Network, "watched", lambda *args: passes.append(1) or real(*args))
    run = trained.with_model(Net)
    results = [trajlab.run("correlation", run, max_steps=3, matrix_layer="relu"), trajlab.run("dead_neurons", run)]
    with dask.config.set(array_optimize=fuse_scans, scheduler="sync"):
        dask.compute(results[0])
        assert len(passes) == results[0].sizes["step"] == 3
        dask.compute(*results)
    assert len(passes) == 3 + len(trained.steps)


def test_correlation__is_lazy(trained, no_compute):
    with no_compute():
        of(trained, matrix_layer="tanh")


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, activation=nn.GELU())
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.block(self.embed(tokens)).mean(1))


@pytest.mark.filterwarnings("ignore:.*nested tensors")
def test_correlation__of_a_transformer_on_tokens_in_bfloat16(tmp_path):
    torch.manual_seed(0)
    tokens = torch.randint(11, (20, 5))
    net = Transformer()
    states = [{name: value.bfloat16() for name, value in Transformer().state_dict().items()} for _ in range(2)]
    run = trajlab.from_arrays({name: torch.stack([state[name] for state in states]) for name in states[0]})
    replay = trajlab.replay(run, model=Transformer, probe=tokens, layers=["block*", "head"])
    result = correlation(lambda **_: replay).compute()
    net.load_state_dict({name: value.float() for name, value in states[1].items()})
    with torch.no_grad():
        values = net.eval()(tokens).double().numpy()
    expected = np.corrcoef(values.T)
    np.testing.assert_allclose(result.signed.sel(layer="head", layer_other="head")[1], expected.mean(), atol=1e-5)
    assert result.features.sel(layer="head").values.tolist() == [3, 3]


def test_correlation__without_modules_is_of_the_output():
    weights = {"0.weight": np.stack([np.eye(3, dtype=np.float32)] * 2)}
    run = trajlab.from_arrays(weights)

    def replay(**inputs):
        model = nn.Sequential(nn.Linear(3, 3, bias=False))
        return trajlab.replay(run, model=model, probe=torch.randn(9, 3), **inputs)

    result = correlation(replay, matrix_layer="output").compute()
    assert result.layer.values.tolist() == ["output"]
    assert result.feature_correlation.shape == (2, 3, 3)


def test_correlation__says_what_it_lacks(trained):
    with pytest.raises(BadSetting, match=r"matrix_layer='conv'.*relu, tanh"):
        of(trained, matrix_layer="conv")
    with pytest.raises(BadSetting, match="module"):
        of(trained, layers=["relo"])
    with pytest.raises(BadSetting, match="shuffles=-1"):
        of(trained, shuffles=-1)
    with pytest.raises(BadSetting, match="max_steps=0"):
        of(trained, max_steps=0)
    with pytest.raises(MissingData, match="step 3 of the layers"):
        of(trained, matrix_layer="relu", matrix_steps=[3])
    with pytest.raises(BadSetting, match="'noise'"):
        of(trained, kind="noise")
    with pytest.raises(MissingData, match="no probe"):
        correlation(given(a=np.ones((1, 2, 2))), kind="train")
    with pytest.raises(MissingData, match="names its network"):
        trajlab.run("correlation", trajlab.example())
