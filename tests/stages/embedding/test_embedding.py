import dask
import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.running.fuse import fuse_scans
from trajlab.stages.embedding import embedding


def served(**layers):
    """Return a replay of these activations, dims (step, sample, unit) unless they are arrays already."""
    arrays = {
        name: values
        if isinstance(values, xr.DataArray)
        else xr.DataArray(np.asarray(values), {"step": np.arange(len(values))}, ("step", "sample", "unit"))
        for name, values in layers.items()
    }
    return lambda layers=None, probe=None: {name: arrays[name or "output"] for name in layers or arrays}


def probe(targets=None, inputs=None, samples=None):
    samples = samples or len(targets)
    inputs = np.zeros((samples, 2), np.float32) if inputs is None else inputs
    actual = {"inputs": (("sample", *(f"i{i}" for i in range(inputs.ndim - 1))), inputs)}
    if targets is not None:
        targets = np.asarray(targets)
        actual["targets"] = (("sample", *(f"t{i}" for i in range(targets.ndim - 1))), targets)
    return xr.Dataset(actual, attrs={"sha256": "abc"})


LABELS = np.arange(24) % 3


@pytest.fixture
def apart(rng):
    """Features of three classes, which are mixed at step 0 and apart at step 1."""
    noise = rng.standard_normal((2, 24, 5))
    noise[1] += 50 * np.eye(5)[LABELS]
    return noise


def test_embedding__of_classes_apart_neighbors_tell_all(apart):
    result = embedding(served(fc=apart), probe(LABELS), layers=["fc"]).compute().sel(layer="fc")
    for name in ("knn_accuracy", "knn_accuracy_pca", "knn_accuracy_tsne"):
        assert result[name][1] == 1 and result[name][0] < 0.7
    assert result.knn_chance == pytest.approx(1 / 3)
    assert result.target.values.tolist() == LABELS.tolist()
    assert result.tsne_perplexity.values.tolist() == [pytest.approx(23 / 3)] * 2


@pytest.mark.parametrize("features", [5, 60])
def test_embedding__agrees_with_scikit_learn_and_numpy(rng, features):
    values = rng.standard_normal((3, 24, features)).astype(np.float32) ** 3
    result = (
        embedding(served(fc=values), probe(LABELS), layers=["fc"], tsne=False, neighbors=1).compute().sel(layer="fc")
    )
    for step, own in enumerate(values.astype(float)):
        actual, plain = result.isel(step=step), PCA(2).fit(own)
        scores = plain.transform(own)
        np.testing.assert_allclose(abs(actual.pca), abs(scores), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(actual.explained_variance_ratio, plain.explained_variance_ratio_)
        s = np.linalg.svd(own - own.mean(0), compute_uv=False)
        np.testing.assert_allclose(actual.singular_values.dropna("direction"), s, rtol=1e-9, atol=1e-12)
        p = s[s > 1e-9] / s.sum()
        assert actual.effective_rank.item() == pytest.approx(np.exp(-(p * np.log(p)).sum()))
        assert actual.participation_ratio.item() == pytest.approx((s**2).sum() ** 2 / (s**4).sum())
        others = [np.delete(np.arange(24), i) for i in range(24)]
        with threadpool_limits(1):
            said = [KNeighborsClassifier(1).fit(own[o], LABELS[o]).predict(own[[i]])[0] for i, o in enumerate(others)]
        assert actual.knn_accuracy.item() == pytest.approx((said == LABELS).mean())
        assert step == 0 or ((actual.pca * result.pca[step - 1]).sum("sample") > 0).all()
    assert "tsne" not in result and result.sizes["direction"] == min(features, 24)


def test_embedding__of_features_that_are_the_same_there_are_no_directions():
    values = np.ones((1, 24, 4))
    values[..., 3] = 0.1
    result = embedding(served(fc=values), probe(LABELS // 2), layers=["fc"]).compute().isel(step=0, layer=0)
    assert result.constant == result.features == 4
    assert (result.singular_values == 0).all() and (result.pca == 0).all()
    assert result.knn_accuracy == result.knn_accuracy_pca == result.knn_chance == pytest.approx(2 / 3)
    for name in ("tsne", "tsne_kl", "effective_rank", "participation_ratio", "explained_variance_ratio"):
        assert np.isnan(result[name]).all()


def test_embedding__samples_that_are_not_finite_are_counted_and_left_out(apart):
    broken = apart.copy()
    broken[1, 3, 0], broken[1, 7] = np.nan, np.inf
    kept = np.delete(np.arange(24), [3, 7])
    result = embedding(served(fc=broken), probe(LABELS), layers=["fc"]).compute().sel(layer="fc", step=1)
    expected = (
        embedding(served(fc=apart[1:, kept]), probe(LABELS[kept]), layers=["fc"]).compute().sel(layer="fc", step=0)
    )
    assert result.nonfinite == 2 and expected.nonfinite == 0
    np.testing.assert_allclose(abs(result.pca[kept]), abs(expected.pca))
    assert np.isnan(result.pca[[3, 7]]).all() and np.isnan(result.tsne[[3, 7]]).all()
    assert np.isfinite(result.tsne[kept]).all()
    assert result.knn_accuracy == expected.knn_accuracy and result.constant == 0
    np.testing.assert_allclose(result.singular_values[:5], expected.singular_values[:5])
    every = embedding(served(fc=apart * np.nan), probe(LABELS), layers=["fc"]).compute().isel(layer=0, step=0)
    assert every.nonfinite == 24 and np.isnan(every.pca).all() and np.isnan(every.knn_accuracy)


def test_embedding__huge_and_tiny_features_are_what_they_are_in_other_units(apart):
    plain = embedding(served(fc=apart), probe(LABELS), layers=["fc"]).compute()
    for exponent in (-600, 600):
        scaled = embedding(served(fc=np.ldexp(apart, exponent)), probe(LABELS), layers=["fc"]).compute()
        xr.testing.assert_identical(scaled.tsne, plain.tsne)
        xr.testing.assert_identical(scaled.effective_rank, plain.effective_rank)
        np.testing.assert_array_equal(scaled.pca, np.ldexp(plain.pca.values, exponent))


def test_embedding__without_labels_neighbors_tell_nothing(apart):
    for targets in (None, np.linspace(0, 1, 24), np.zeros((24, 5), int)):
        result = embedding(served(fc=apart), probe(targets, samples=24), layers=["fc"], tsne=False).compute()
        assert not [name for name in result if "knn" in name]
        assert np.isfinite(result.pca).all()
        assert ("target" in result) == (targets is not None and targets.ndim == 1)


def test_embedding__of_one_sample_and_of_few(rng):
    one = embedding(served(fc=rng.random((2, 1, 3))), probe([1]), layers=["fc"]).compute()
    assert (one.pca.isel(component=0) == 0).all() and np.isnan(one.knn_accuracy).all() and np.isnan(one.tsne).all()
    three = embedding(served(fc=rng.random((1, 3, 3))), probe([0, 0, 1]), layers=["fc"]).compute()
    assert three.knn_accuracy == pytest.approx(2 / 3) and np.isnan(three.tsne).all()


def test_embedding__of_fewer_features_than_components_ends_in_nan(rng):
    result = embedding(served(fc=rng.random((1, 9, 1))), probe(np.arange(9) % 2), layers=["fc"]).compute()
    assert np.isnan(result.pca.sel(component=2)).all() and np.isfinite(result.pca.sel(component=1)).all()
    assert result.explained_variance_ratio.values.ravel().tolist()[0] == 1
    assert np.isfinite(result.tsne).all() and result.knn_accuracy == result.knn_accuracy_pca


def test_embedding__inputs_and_outputs_are_layers_unless_inputs_are_integers(apart, rng):
    inputs = rng.random((24, 2, 3)).astype(np.float32)
    arrays = served(fc=apart, output=apart[..., :2])
    result = embedding(arrays, probe(LABELS, inputs), tsne=False).compute()
    assert result.layer.values.tolist() == ["input", "fc", "output"]
    assert result.features.values.tolist() == [6, 5, 2]
    flat = inputs.reshape(24, 6).astype(float)
    s = np.linalg.svd(flat - flat.mean(0), compute_uv=False)
    for step in (0, 1):
        np.testing.assert_allclose(result.singular_values.sel(layer="input").isel(step=step)[:6], s[:6])
    tokens = embedding(arrays, probe(LABELS, rng.integers(9, size=(24, 4))), tsne=False)
    assert tokens.layer.values.tolist() == ["fc", "output"]
    asked = embedding(arrays, probe(LABELS, inputs), layers=["output", "input"], tsne=False)
    assert asked.layer.values.tolist() == ["input", "output"]


def test_embedding__pools_maps_or_takes_all_their_values(rng):
    maps = rng.standard_normal((2, 10, 3, 4, 4)).astype(np.float32)
    conv = xr.DataArray(maps, {"step": [0, 5]}, ("step", "sample", "unit", "y", "x"))
    for pool, features in (("mean", maps.mean((3, 4), dtype=float)), ("flat", maps.reshape(2, 10, -1).astype(float))):
        result = embedding(served(conv=conv), probe(samples=10), layers=["conv"], pool=pool, tsne=False).compute()
        assert result.features.item() == features.shape[2]
        for step in (0, 1):
            s = np.linalg.svd(features[step] - features[step].mean(0), compute_uv=False)
            np.testing.assert_allclose(result.singular_values[step, 0], s, rtol=1e-9, atol=1e-12)


def test_embedding__cosine_looks_at_directions(rng):
    directions = np.eye(3)[LABELS] + 0.01 * rng.standard_normal((24, 3))
    values = (directions * rng.uniform(0.01, 10, (24, 1)))[None]
    near, far = (
        embedding(served(fc=values), probe(LABELS), layers=["fc"], metric=metric).compute().isel(step=0, layer=0)
        for metric in ("cosine", "euclidean")
    )
    assert near.knn_accuracy == near.knn_accuracy_tsne == 1 > far.knn_accuracy


def test_embedding__steps_are_evenly_spaced_or_those_that_are_asked_for(rng):
    values = xr.DataArray(rng.random((9, 8, 2)), {"step": np.arange(9) * 10}, ("step", "sample", "unit"))
    arrays, examples = served(fc=values), probe(samples=8)
    assert embedding(arrays, examples, layers=["fc"]).step.values.tolist() == [0, 20, 40, 60, 80]
    chosen = embedding(arrays, examples, layers=["fc"], steps=[-1, 30], tsne=False).compute()
    assert chosen.step.values.tolist() == [30, 80]
    every = embedding(arrays, examples, layers=["fc"], max_steps=9, tsne=False).compute()
    np.testing.assert_array_equal(chosen.singular_values, every.singular_values.sel(step=[30, 80]))
    with pytest.raises(MissingData, match="step 7"):
        embedding(arrays, examples, layers=["fc"], steps=[7])


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"pool": "max"}, "pool='max'.*mean or flat"),
        ({"metric": "city"}, "euclidean or cosine"),
        ({"components": 0}, "components=0"),
        ({"components": 4}, "components=4.*--no-tsne"),
        ({"neighbors": 0}, "neighbors=0"),
        ({"perplexity": 0.5}, "perplexity=0.5"),
        ({"perplexity": np.nan}, "perplexity=nan"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"kind": "dream"}, "'dream'"),
    ],
)
def test_embedding__says_what_is_wrong_with_a_setting(apart, settings, said):
    with pytest.raises(BadSetting, match=said):
        embedding(served(fc=apart), probe(LABELS), layers=["fc"], **settings)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).mean((2, 3)))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.block(self.embed(tokens)).mean(1))


def perceptron():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def recorded(build, inputs, dtype=torch.float32):
    """Four snapshots of a network with gaps between the steps, and a probe with labels."""
    torch.manual_seed(0)
    states = [build().to(dtype).state_dict() for _ in range(4)]
    import ml_dtypes

    def array(values):
        return values.view(torch.uint16).numpy().view(ml_dtypes.bfloat16) if dtype == torch.bfloat16 else values.numpy()

    run = trajlab.from_arrays(
        {name: np.stack([array(state[name]) for state in states]) for name in states[0]}, steps=[0, 1, 5, 20]
    )
    run.model = build
    run.probe = probe(np.arange(len(inputs)) % 3, inputs)
    return run, states


CASES = {
    "convolutional": (Convolutional, lambda rng: rng.standard_normal((14, 1, 5, 5)).astype(np.float32)),
    "transformer": (Transformer, lambda rng: rng.integers(11, size=(14, 5))),
    "perceptron": (perceptron, lambda rng: rng.standard_normal((14, 6)).astype(np.float32)),
}


@pytest.mark.parametrize("case", CASES)
def test_embedding__of_a_network_is_what_torch_and_numpy_give(rng, case):
    build, make = CASES[case]
    run, states = recorded(build, make(rng))
    result = trajlab.run("embedding", run, tsne=False).compute()
    inputs = torch.as_tensor(run.probe.inputs.values)
    assert ("input" in result.layer) == inputs.is_floating_point()
    for step, state in zip([0, 1, 5, 20], states, strict=True):
        model = build().eval()
        model.load_state_dict(state)
        with torch.no_grad():
            outputs = model(inputs).double().numpy()
        s = np.linalg.svd(outputs - outputs.mean(0), compute_uv=False)
        np.testing.assert_allclose(result.singular_values.sel(step=step, layer="output")[:3], s, rtol=1e-4, atol=1e-6)
    if case == "convolutional":
        model = build()
        model.load_state_dict(states[-1])
        with torch.no_grad():
            features = model.relu(model.conv(inputs)).double().mean((2, 3)).numpy()
        scores = PCA(2).fit_transform(features)
        np.testing.assert_allclose(abs(result.pca.sel(step=20, layer="relu")), abs(scores), atol=1e-5)


def test_embedding__of_a_bf16_run(rng):
    run, _ = recorded(perceptron, CASES["perceptron"][1](rng), torch.bfloat16)
    result = trajlab.run("embedding", run).compute()
    assert np.isfinite(result.tsne).all() and result.layer.values.tolist() == ["input", "1", "output"]


@pytest.fixture
def run(rng):
    return recorded(Convolutional, CASES["convolutional"][1](rng))[0]


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_embedding__any_scheduler_gives_the_same_numbers(apart, scheduler):
    """To the bit on threads; BLAS of another process may add in another order."""
    arrays = served(fc=xr.DataArray(apart, {"step": [0, 1]}, ("step", "sample", "unit")).chunk(step=1))
    result = embedding(arrays, probe(LABELS), layers=["fc"])
    expected, actual = result.compute(scheduler="sync"), result.compute(scheduler=scheduler, num_workers=2)
    if scheduler == "threads":
        xr.testing.assert_identical(actual, expected)
    xr.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_embedding__fused_or_not_and_in_batches_it_gives_the_same_bits(run, monkeypatch):
    result = trajlab.run("embedding", run)
    with dask.config.set(array_optimize=fuse_scans):
        fused = result.compute()
    xr.testing.assert_identical(fused, result.compute())
    assert fused.attrs["probe_sha256"] == "abc"


def test_embedding__is_lazy_and_has_few_tasks(run, no_compute):
    with no_compute():
        result = trajlab.run("embedding", run)
    assert len(dict(result.pca.__dask_graph__())) < 150


def test_embedding__of_other_kinds_of_inputs(run):
    shuffled = trajlab.run("embedding", run, kind="shuffled", tsne=False, layers=["relu"])
    assert "knn_accuracy" in shuffled and shuffled.attrs["kind"] == "shuffled"
    noise = trajlab.run("embedding", run, kind="gaussian", tsne=False, layers=["relu"])
    assert "knn_accuracy" not in noise and noise.attrs["probe_sha256"] != "abc"
    with pytest.raises(MissingData, match="train"):
        trajlab.run("embedding", run, kind="train")
    with pytest.raises(BadSetting, match="rely.*relu"):
        trajlab.run("embedding", run, layers=["rely"])


def test_embedding__runs_are_stacked(run):
    result = trajlab.run("embedding", {"a": run, "b": run}, tsne=False).compute()
    assert result.pca.sizes["run"] == 2
    np.testing.assert_array_equal(result.pca.sel(run="a"), result.pca.sel(run="b"))
