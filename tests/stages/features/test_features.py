import weakref

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from scipy import stats
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure, panels
from trajlab.replays.probe_batches import as_probe
from trajlab.replays.probe_kinds import probe_of
from trajlab.reports.findings import findings, headlines
from trajlab.running.fuse import fuse_scans
from trajlab.scan.kernels import value_histogram
from trajlab.stages.distribution import distribution
from trajlab.stages.features import features

NO_PROBE = xr.Dataset({"inputs": ("sample", np.zeros(3, np.float32))})


def layer(values, *dims, dtype=np.float32) -> xr.DataArray:
    """Activations of one layer, dims (step, sample, unit) unless said otherwise."""
    values = np.asarray(values, dtype)
    return xr.DataArray(values, {"step": np.arange(len(values))}, ("step", *(dims or ("sample", "unit"))))


def of(arrays, **settings) -> xr.Dataset:
    return features(lambda **asked: arrays, NO_PROBE, **settings).compute().isel(input=0)


def test_features__hand_made():
    h = [[[0.0, 1.0], [0.0, 3.0]], [[0.0, 1.0], [4.0, np.nan]]]
    actual = of({"act": layer(h)}, quantiles=[0.5], bins=2).isel(layer=0)

    np.testing.assert_allclose(actual["mean"], [1.0, 5 / 3])
    np.testing.assert_allclose(actual["std"], [np.std([0, 0, 1, 3]), np.std([0, 1, 4])])
    assert actual["min"].values.tolist() == [0, 0] and actual["max"].values.tolist() == [3, 4]
    assert actual.zeros.values.tolist() == [2, 1] and actual.nonfinite.values.tolist() == [0, 1]
    assert actual.quantiles[:, 0].values.tolist() == [0.5, 1.0]
    np.testing.assert_allclose(actual.channel_variance, [np.var([0, 2]), np.var([2, 1])])
    assert actual.histogram.values.tolist() == [[3, 1], [2, 1]]
    assert actual.bin_edges.values.tolist() == [0, 2, 4]
    np.testing.assert_allclose(actual.wasserstein, [0, stats.wasserstein_distance([0, 0, 1, 3], [0, 1, 4])])
    np.testing.assert_allclose(actual.ks, [0, stats.ks_2samp([0, 0, 1, 3], [0, 1, 4]).statistic])
    assert np.isnan(actual.ks_prev[0]) and actual.ks_prev[1] == actual.ks[1]
    assert actual.total_nonfinite.values.tolist() == [0, 1]


def net():
    return nn.Sequential(
        nn.Conv2d(2, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 36, 20),
        nn.Tanh(),
        nn.Linear(20, 2),
    )


@pytest.fixture(scope="module")
def run():
    """Snapshots of a network on the move, at steps with gaps, with a probe and training examples."""
    torch.manual_seed(0)
    state = net().state_dict()
    moved = {name: np.stack([value.float().numpy() * (1 + 0.3 * k) for k in range(4)]) for name, value in state.items()}
    run = trajlab.from_arrays(moved, steps=[0, 10, 15, 100])
    inputs, train = torch.randn(130, 2, 8, 8), torch.randn(40, 2, 8, 8) + 1
    run.probe = as_probe({"valid": (inputs,), "train": (train,)})
    return run


def computed(run, probe=None, **settings) -> xr.Dataset:
    probe = run.probe if probe is None else probe
    return features(lambda **asked: trajlab.replay(run, model=net, **asked), probe, **settings).compute()


@pytest.fixture(scope="module")
def seen(run):
    """Activations by a plain loop of torch, (step, sample, unit, …), for each kind of inputs."""
    actual = {}
    for kind in ("valid", "train", "uniform"):
        inputs = torch.from_numpy(np.asarray(probe_of(run.probe, kind)["inputs"]))
        actual[kind] = {"2": [], "5": []}
        for step in run.steps:
            model = net().eval()
            model.load_state_dict(run.at(int(step)))
            with torch.no_grad():
                hidden = inputs
                for name, module in model.named_children():
                    hidden = module(hidden)
                    if name in actual[kind]:
                        actual[kind][name].append(hidden.double().numpy())
    return {kind: {name: np.stack(parts) for name, parts in of.items()} for kind, of in actual.items()}


@pytest.mark.parametrize("batch", [7, 256])
def test_features__agree_with_a_plain_loop_and_scipy(run, seen, batch, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.BATCH_SAMPLES", batch)
    kinds = list(seen)
    actual = computed(run, inputs=kinds, reference=10)
    assert actual.input.values.tolist() == kinds and actual.step.values.tolist() == [0, 10, 15, 100]

    for kind in kinds:
        for name, h in seen[kind].items():
            flat = h.reshape(len(h), -1)
            valid = seen["valid"][name].reshape(len(h), -1)
            one = actual.sel(input=kind, layer=name)
            for key, function in (("mean", np.mean), ("std", np.std), ("skewness", stats.skew), ("min", np.min)):
                np.testing.assert_allclose(one[key], function(flat, axis=1), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(one.excess_kurtosis, stats.kurtosis(flat, axis=1), rtol=1e-3)
            np.testing.assert_allclose(
                one.quantiles[:, 4:], np.quantile(flat, actual["quantile"][4:], axis=1).T, rtol=0.01
            )
            assert (one.histogram.sum("bin") == flat.shape[1]).all()
            channels = np.moveaxis(h, 2, 1).reshape(*h.shape[:1], h.shape[2], -1).mean(2)
            np.testing.assert_allclose(one.channel_variance, channels.var(1), rtol=1e-4)
            for suffix, others in (("", flat[[1] * 4]), ("_prev", flat[[0, 0, 1, 2]]), ("_valid", valid)):
                if suffix == "_valid" and kind == "valid":
                    assert np.isnan(one.ks_valid).all()
                    continue
                for step in range(1 if suffix == "_prev" else 0, 4):
                    ks = stats.ks_2samp(flat[step], others[step]).statistic
                    w1 = stats.wasserstein_distance(flat[step], others[step])
                    bound = (abs(flat[step]).mean() + abs(others[step]).mean()) / 256
                    assert one[f"ks{suffix}"][step] == pytest.approx(ks, abs=0.01)
                    assert one[f"wasserstein{suffix}"][step] == pytest.approx(w1, abs=bound)
    assert actual.zeros.sel(layer="2").min() > 0
    np.testing.assert_allclose(actual.total_zeros, actual.zeros.sum("layer"))


def test_features__totals_are_of_all_activations_together(run, seen):
    actual = computed(run).isel(input=0)
    for step in range(4):
        both = np.concatenate([h[step].reshape(-1) for h in seen["valid"].values()])
        np.testing.assert_allclose(actual["total_mean"][step], both.mean(), rtol=1e-5)
        np.testing.assert_allclose(actual["total_std"][step], both.std(), rtol=1e-5)
        np.testing.assert_allclose(actual["total_excess_kurtosis"][step], stats.kurtosis(both), rtol=1e-4)


@pytest.mark.parametrize("size", [(100, 30), (400, 60)])
def test_features__are_the_distribution_of_a_tensor_of_the_same_values(rng, size):
    """Few values are sorted, many counted in fixed bins, as `distribution` does with the same bounds."""
    h = np.maximum(rng.standard_normal((5, *size)) + rng.random((5, 1, 1)), 0).astype(np.float32)
    h[2, 0, 0], h[3, 1, 1] = np.nan, -np.inf
    actual = of({"act": layer(h)}, reference=3).isel(layer=0)
    weight = xr.DataArray(h, {"step": np.arange(5)}, ("step", "out", "in"))
    expected = distribution(weight, reference=3).compute()
    for name in ("quantiles", "histogram", "bin_edges", "zeros", "nonfinite", "min", "max"):
        np.testing.assert_array_equal(actual[name], expected[name])
    for name in ("mean", "std", "skewness", "excess_kurtosis", "wasserstein", "ks", "js", "psi", "wasserstein_prev"):
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-10, err_msg=name)
    for name in ("ks_prev", "js_prev", "psi_prev"):
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize(("center", "width"), [(1, 1e-4), (1000, 1e-3)])
def test_features__resolution_is_relative_to_the_spread(rng, center, width):
    h = (center + width * (rng.standard_normal((4, 500, 100)) + 10 * np.arange(4)[:, None, None])).astype(np.float32)
    actual = of({"act": layer(h)}).isel(layer=0)
    flat = h.reshape(4, -1).astype(np.float64)
    np.testing.assert_allclose(
        actual.quantiles, np.quantile(flat, actual["quantile"], axis=1).T, atol=width / 50, rtol=0
    )
    for name in ("ks", "js"):
        np.testing.assert_allclose(actual[name], [0, 1, 1, 1])
        np.testing.assert_allclose(actual[f"{name}_prev"][1:], [1, 1, 1])
    for step in range(1, 4):
        assert actual.wasserstein[step] == pytest.approx(stats.wasserstein_distance(flat[step], flat[0]), rel=1e-3)
        expected, _ = np.histogram(flat[step], actual.bin_edges)
        assert np.abs(actual.histogram[step] - expected).max() <= 200
        assert actual.histogram[step].sum() == expected.sum()


def test_features__variance_is_over_any_dim(rng):
    h = rng.standard_normal((2, 6, 3, 4, 5))
    arrays = {"conv": layer(h, "sample", "unit", "y", "x"), "fc": layer(h[..., 0, 0])}
    for over, axis in (("unit", 2), ("sample", 1), ("y", 3)):
        means = np.moveaxis(h, axis, 1).reshape(2, h.shape[axis], -1).mean(2)
        actual = of(arrays, over=over)
        np.testing.assert_allclose(actual.channel_variance.sel(layer="conv"), means.var(1), rtol=1e-5)
        assert np.isnan(actual.channel_variance.sel(layer="fc")).all() == (over == "y")
        assert actual.attrs["over"] == over
    with pytest.raises(BadSetting, match="'z'.*sample, unit, y, x"):
        of(arrays, over="z")


def test_features__constant_and_unknown_values():
    h = np.ones((3, 4, 2))
    h[1], h[2] = np.nan, np.inf
    actual = of({"act": layer(h)}).isel(layer=0)
    assert actual["std"][0] == 0 and np.isnan(actual["std"][1:]).all()
    assert np.isnan(actual.skewness[0]) and np.isnan(actual["min"][1]) and actual.channel_variance[0] == 0
    assert actual.nonfinite.values.tolist() == [0, 8, 8]
    assert actual.ks[0] == 0 and np.isnan(actual.ks[1:]).all()


def test_features__one_step_and_one_sample_are_enough():
    actual = of({"act": layer([[[1.0, 2.0]]])}).isel(layer=0, step=0)
    assert actual["mean"] == 1.5 and np.isnan(actual.ks_prev) and actual.ks == 0


def test_features__of_more_values_than_a_table_counts(rng, monkeypatch):
    arrays = {"act": layer(rng.standard_normal((3, 200, 100)))}
    expected = of(arrays)
    monkeypatch.setattr(value_histogram, "TABLE_LIMIT", 1000)
    xr.testing.assert_identical(of(arrays), expected)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_features__are_lazy_and_any_scheduler_gives_the_same_bits(run, scheduler, no_compute):
    with no_compute():
        result = features(lambda **asked: trajlab.replay(run, model=net, **asked), run.probe, inputs=["all"])
    assert result.input.values.tolist() == ["valid", "train", "uniform", "gaussian", "shuffled"]
    expected = result.compute(scheduler="sync")
    with dask.config.set(array_optimize=fuse_scans):
        xr.testing.assert_identical(result.compute(scheduler=scheduler, num_workers=2), expected)
    for variable in result.data_vars.values():
        assert set(variable.attrs) >= {"long_name", "units", "definition"}


@pytest.mark.parametrize("chunks", [{}, {"step": 1}, {"step": 3, "unit": 2}, {"sample": 4, "y": 1}])
def test_features__any_chunking_gives_the_same_bits(rng, chunks):
    arrays = {
        "conv": layer(rng.standard_normal((5, 40, 9, 8, 8)), "sample", "unit", "y", "x"),
        "fc": layer(rng.standard_normal((5, 40, 3)), dtype=np.float64),
    }
    cut = {n: a.chunk({dim: size for dim, size in chunks.items() if dim in a.dims}) for n, a in arrays.items()}
    xr.testing.assert_identical(of(cut), of(arrays))


def test_features__values_are_let_go_as_steps_go_by(run, monkeypatch):
    """At most the ends, the reference, and a few steps on the way hold their values."""
    alive, most = set(), 0

    finish = value_histogram.Histogram.finish

    def held(counts):
        nonlocal most
        bins = finish(counts)
        alive.add(id(bins.upto))
        weakref.finalize(bins.upto, alive.discard, id(bins.upto))
        most = max(most, len(alive))
        return bins

    steps = 60
    many = {name: np.repeat(array.values[:1], steps, 0) for name, array in run.weights.items()}
    buffers = {name: np.repeat(array.values[:1], steps, 0) for name, array in run.buffers.items()}
    long = trajlab.from_arrays(many, buffers=buffers)
    monkeypatch.setattr(value_histogram.Histogram, "finish", held)
    result = features(lambda **asked: trajlab.replay(long, model=net, **asked), run.probe, layers=["2"])
    with dask.config.set(array_optimize=fuse_scans, scheduler="threads", num_workers=2):
        result.compute()
    assert 3 <= most <= 12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_features__of_networks_in_other_types(run, dtype):
    model = net().to(dtype)
    actual = features(lambda **asked: trajlab.replay(run, model=model, **asked), run.probe).compute()
    assert (actual.nonfinite == 0).all() and (actual["std"] > 0).all()


def test_features__tokens_have_noise_too(rng):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.linear, self.act = nn.Embedding(9, 4), nn.Linear(4, 6), nn.GELU()

        def forward(self, tokens):
            return self.act(self.linear(self.embedding(tokens)))

    state = Tokens().state_dict()
    run = trajlab.from_arrays({name: np.stack([value.numpy()] * 2) for name, value in state.items()})
    probe = as_probe(torch.randint(9, (30, 5)))
    actual = features(
        lambda **asked: trajlab.replay(run, model=Tokens, **asked), probe, inputs=["all"], over="position"
    )
    assert actual.input.values.tolist() == ["valid", "uniform", "shuffled"]
    assert (actual.compute().channel_variance > 0).all()


def test_features__says_what_it_lacks(run):
    with pytest.raises(MissingData, match="training examples"):
        computed(run, as_probe(torch.randn(5, 2, 8, 8)), inputs=["train"])
    with pytest.raises(BadSetting, match="kind 'noise'"):
        computed(run, inputs=["noise"])
    with pytest.raises(MissingData, match="step 7 of the activations"):
        computed(run, reference=7)
    with pytest.raises(MissingData, match="--layers"):
        of({})
    with pytest.raises(BadSetting, match="no module or function of that name"):
        computed(run, layers=["relu"])


@pytest.mark.parametrize("settings", [{"bins": 1}, {"quantiles": [1.5]}, {"inputs": []}])
def test_features__settings_out_of_range_are_told(settings):
    with pytest.raises(BadSetting, match="cannot|Change"):
        of({"a": layer(np.zeros((2, 3, 4)))}, **settings)


def test_features__on_other_inputs_are_not_mixed_up(run):
    hashes = {computed(run, inputs=kinds).attrs["probe_sha256"] for kinds in (["valid"], ["train"], ["valid", "train"])}
    assert len(hashes) == 3 and run.probe.attrs["sha256"] in hashes


def test_features__are_drawn_and_told(run):
    one = computed(run, inputs=["valid", "uniform"]).assign_attrs(stage="features")
    other = one.copy()
    other["std"] = one["std"] * 2
    runs = xr.concat([one, other], dim="run").assign_coords(run=["a", "b"])
    for result in (one, runs):
        for panel in panels(result):
            panel.draw(Figure(figsize=panel.size))
        assert [panel.key for panel in panels(result)] == ["std", "ks", "histogram", "ends", "inputs", "ks_valid"]
        texts = [sentences.text for sentences in findings(result)]
        assert any("shifted most on the valid inputs" in text for text in texts)
        assert any("on uniform ones" in text for text in texts)
        assert "std" in headlines(result)
        np.testing.assert_array_equal(headlines(result)["std"], result.total_std.isel(step=-1, input=0))
        assert figure(result, layer="5", input="uniform").get_ylabel() == "activation"
        assert figure(result, variable="quantiles").get_ylabel() == "activation"
    assert [panel.key for panel in panels(one.isel(input=[0]))] == ["std", "ks", "histogram", "ends"]
