import dask.array as da
import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.spatial.distance import jensenshannon

import trajlab
from trajlab.errors import BadSetting
from trajlab.runs.tensors import Series, Tensors
from trajlab.runs.trajectory import Trajectory
from trajlab.stages.distribution import distribution


def test_distribution__hand_made_case():
    w = np.array([[0, 0, 1, 3], [0, 1, 2, 4]], np.float32)
    result = distribution(trajlab.from_arrays({"w": w}).weights["w"], bins=4, quantiles=[0.5]).compute()
    assert result["mean"].values.tolist() == [1, 1.75]
    assert result["std"].values[0] == np.sqrt(1.5)
    assert result["min"].values.tolist() == [0, 0] and result["max"].values.tolist() == [3, 4]
    assert result.zeros.values.tolist() == [2, 1]
    assert result.quantiles.values.ravel().tolist() == [0.5, 1.5]
    assert result.wasserstein.values.tolist() == [0, 0.75]
    assert result.ks.values.tolist() == [0, 0.25]
    assert result.histogram.sum("bin").values.tolist() == [4, 4]
    assert result.bin_edges.values[[0, -1]].tolist() == [0, 4]


def test_distribution__agrees_with_scipy(example):
    result = trajlab.run("distribution", example, bins=16).compute()
    for name, array in example.weights.items():
        w = array.values.reshape(21, -1).astype(np.float64)
        actual = result.sel(parameter=name)
        np.testing.assert_allclose(actual["mean"], w.mean(1), rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(actual["std"], w.std(1), rtol=1e-10)
        np.testing.assert_allclose(actual.skewness, stats.skew(w, axis=1), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(actual.excess_kurtosis, stats.kurtosis(w, axis=1), rtol=1e-9)
        np.testing.assert_allclose(actual.quantiles, np.quantile(w, result["quantile"], axis=1).T, rtol=1e-6)
        for step in (0, 3, 20):
            assert actual.wasserstein[step] == pytest.approx(stats.wasserstein_distance(w[step], w[0]), abs=1e-12)
            assert actual.ks[step] == pytest.approx(stats.ks_2samp(w[step], w[0]).statistic, abs=1e-12)
            h = actual.histogram.values
            np.testing.assert_array_equal(h[step], np.histogram(w[step], actual.bin_edges)[0])
            assert actual.js[step] == pytest.approx(jensenshannon(h[step], h[0], base=2), abs=1e-9)
        assert actual.ks_prev[4] == pytest.approx(stats.ks_2samp(w[4], w[3]).statistic, abs=1e-12)
        assert np.isnan(actual.ks_prev[0])


def test_distribution__totals_are_over_all_entries(example):
    result = trajlab.run("distribution", example).compute()
    w = np.hstack([array.values.reshape(21, -1) for array in example.weights.values()]).astype(np.float64)
    np.testing.assert_allclose(result.total_mean, w.mean(1), rtol=1e-10)
    np.testing.assert_allclose(result.total_std, w.std(1), rtol=1e-10)
    np.testing.assert_allclose(result.total_skewness, stats.skew(w, axis=1), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(result.total_excess_kurtosis, stats.kurtosis(w, axis=1), rtol=1e-9)
    np.testing.assert_array_equal(result.total_max, w.max(1))


def test_distribution__zero_variance_has_no_shape():
    result = distribution(trajlab.from_arrays({"w": np.full((2, 9), 0.1, np.float32)}).weights["w"]).compute()
    assert (result["std"] == 0).all()
    assert np.isnan(result.skewness).all() and np.isnan(result.excess_kurtosis).all()
    assert (result.wasserstein == 0).all() and (result.psi == 0).all()


def test_distribution__nonfinite_entries_are_counted_and_left_out():
    w = np.array([[1, 2, 3], [1, np.nan, 3], [np.inf, np.nan, -np.inf]], np.float32)
    result = distribution(trajlab.from_arrays({"w": w}).weights["w"]).compute()
    assert result.nonfinite.values.tolist() == [0, 1, 3]
    assert result["mean"].values[:2].tolist() == [2, 2]
    assert np.isnan(result["mean"][2]) and np.isnan(result.ks[2])
    assert result.histogram.sum("bin").values.tolist() == [3, 2, 0]


def test_distribution__changed_and_unchanged_entries_by_hand():
    """The first entry stays, the 0 turns to −0, whose bits differ, and NaN belongs to neither."""
    w = np.array([[1, 0, 2, 3, np.nan], [1, -0.0, 4, np.nan, 4]], np.float32)
    result = distribution(trajlab.from_arrays({"w": w}).weights["w"], bins=2, changed=True).compute()
    assert result.bin_edges.values.tolist() == [0, 2, 4]
    assert result.histogram.values.tolist() == [[2, 2], [2, 2]]
    assert result.histogram_changed.values.tolist() == [[0, 0], [1, 1]]
    assert result.histogram_unchanged.values.tolist() == [[2, 2], [1, 0]]
    assert not {"histogram_changed", "histogram_unchanged"} & set(distribution(w_of(w), bins=2).data_vars)


def w_of(values):
    return trajlab.from_arrays({"w": values}).weights["w"]


@pytest.mark.parametrize("size", [500, 40_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distribution__changed_entries_in_any_chunks_and_files_agree_with_numpy(
    rng, checkpoints, monkeypatch, size, dtype
):
    w = np.tile(rng.standard_normal((1, size)), (5, 1)).astype(dtype)
    for step in range(1, 5):
        w[step, : size // 3] += step
    w[3, :7] = np.nan
    monkeypatch.setattr("trajlab.sizes.BLOCK_STEPS", 2)
    monkeypatch.setattr("trajlab.sizes.ROW_PIECE_ENTRIES", 1000)
    lazy = trajlab.from_arrays({"w": da.from_array(w, chunks=(2, size // 2))})
    for run in (trajlab.from_arrays({"w": w}), lazy, trajlab.open(checkpoints({"w": w}))):
        result = trajlab.run("distribution", run, changed=True, bins=16).compute().isel(parameter=0)
        drift = trajlab.run("drift", run).compute().isel(parameter=0)
        edges = result.bin_edges.values.copy()
        edges[[0, -1]] = -np.inf, np.inf
        for step in range(5):
            finite, differs = np.isfinite(w[step]), w[step] != w[0]
            for name, group in (("changed", differs), ("unchanged", ~differs)):
                expected = np.histogram(w[step][finite & group].astype(np.float64), edges)[0]
                np.testing.assert_array_equal(result[f"histogram_{name}"][step], expected)
        changed, unchanged = (result[f"histogram_{name}"].sum("bin") for name in ("changed", "unchanged"))
        np.testing.assert_array_equal(changed + unchanged, result.histogram.sum("bin"))
        np.testing.assert_allclose(changed / (changed + unchanged), drift.changed, rtol=1e-12)


def test_distribution__changed_entries_of_a_file_from_a_parent_in_memory(rng, checkpoints, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.ROW_PIECE_ENTRIES", 1000)
    w = rng.standard_normal((1, 20_000)).astype(np.float32)
    parent = w.copy()
    parent[:, ::4] += 1
    run = trajlab.open(checkpoints({"w": w}))
    result = trajlab.run("distribution", run, parent=trajlab.from_arrays({"w": parent}), changed=True).compute()
    assert result.histogram_changed.sum() == 5000 and result.histogram_unchanged.sum() == 15_000
    assert trajlab.run("distribution", run, changed=True).compute().histogram_changed.isnull().all()  # one snapshot


def test_distribution__updates_are_not_split_by_changed(example):
    with pytest.raises(BadSetting, match="an update is itself a change"):
        trajlab.run("distribution", example, of="updates", changed=True)


@pytest.mark.parametrize("settings", [{"bins": 1}, {"quantiles": [0.5, 1.5]}])
def test_distribution__settings_that_make_no_sense(example, settings):
    with pytest.raises(BadSetting, match="2 to 4,096 bins"):
        trajlab.run("distribution", example, **settings)


SAMPLES = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "offset": lambda rng, size: 1.004 + 1e-4 * rng.standard_normal(size),
    "large offset": lambda rng, size: 1000 + 1e-3 * rng.standard_normal(size),
    "cauchy": lambda rng, size: rng.standard_cauchy(size),
    "2 values": lambda rng, size: rng.integers(0, 2, size),
    "3 values": lambda rng, size: rng.integers(0, 3, size),
    "60 % zeros": lambda rng, size: np.where(rng.random(size) < 0.6, 0, rng.standard_normal(size)),
    "95 % zeros": lambda rng, size: np.where(rng.random(size) < 0.95, 0, rng.standard_normal(size)),
}


@pytest.mark.parametrize(("size", "repeats"), [(3, 200), (10, 200), (100, 100), (1000, 60), (20_000, 8)])
@pytest.mark.parametrize("name", list(SAMPLES))
def test_distribution__nulls_are_those_of_two_samples_of_one_distribution(name, size, repeats):
    rng = np.random.default_rng(1)
    draw = SAMPLES[name]
    w = {f"w{i}": np.stack([draw(rng, size), draw(rng, size)]).astype(np.float32) for i in range(repeats)}
    result = trajlab.run("distribution", trajlab.from_arrays(w)).isel(step=1).compute()
    for distance in ("wasserstein", "ks", "js", "psi"):
        seen, null = result[distance], result[f"{distance}_null"]
        assert np.isfinite(seen).all() and np.isfinite(null).all()
        error = 4 * float(seen.std()) / np.sqrt(repeats)
        slack = 0.2 if distance == "psi" else 0.08
        assert float(seen.mean()) == pytest.approx(float(null.mean()), rel=slack, abs=error), distance


def test_distribution__an_empty_bin_counts_as_half_an_entry():
    w = np.stack([np.arange(10), np.repeat(np.arange(5), 2)]).astype(np.float32)
    result = distribution(trajlab.from_arrays({"w": w}).weights["w"]).compute()
    expected = 5 * 0.1 * np.log(2) + 5 * (0.05 - 0.1) * np.log(0.05 / 0.1)
    np.testing.assert_allclose(result.psi, [0, expected])


@pytest.mark.parametrize("size", [1000, 50_000])
def test_distribution__narrow_tensors_that_move_are_apart(rng, size):
    w = np.stack([1 + 1e-3 * t + 1e-4 * rng.standard_normal(size) for t in range(4)]).astype(np.float32)
    result = distribution(trajlab.from_arrays({"w": w}).weights["w"]).compute()
    np.testing.assert_allclose(result.ks, [0, 1, 1, 1])
    np.testing.assert_allclose(result.js, [0, 1, 1, 1])
    np.testing.assert_allclose(result.wasserstein[1:], [0.001, 0.002, 0.003], rtol=0.02)
    edges = result.bin_edges.values
    np.testing.assert_allclose(edges[1:-1], np.linspace(w[[0, -1]].min(), w[[0, -1]].max(), 65)[1:-1], atol=2e-5)
    for step in range(4):
        np.testing.assert_array_equal(result.histogram[step], np.histogram(w[step].astype(np.float64), edges)[0])


def test_distribution__of_a_long_tensor_in_blocks_or_in_files_gives_the_same_bits(rng, checkpoints, monkeypatch):
    w = np.stack([1 + 0.01 * t + 1e-3 * rng.standard_normal(20_000) for t in range(6)]).astype(np.float32)
    expected = trajlab.run("distribution", trajlab.from_arrays({"w": w})).compute()
    monkeypatch.setattr("trajlab.sizes.BLOCK_STEPS", 2)
    for run in (trajlab.from_arrays({"w": w}), trajlab.open(checkpoints({"w": w}))):
        actual = trajlab.run("distribution", run).compute()
        for name in ("quantiles", "histogram", "bin_edges", "ks", "js_prev", "wasserstein_prev", "psi_null"):
            np.testing.assert_array_equal(actual[name].values, expected[name].values, err_msg=name)


def test_distribution__a_tensor_without_entries_leaves_totals_alone(rng):
    w = {"a": rng.standard_normal((3, 5, 4)).astype(np.float32), "b": rng.standard_normal((3, 6)).astype(np.float32)}
    expected = trajlab.run("distribution", trajlab.from_arrays(w)).compute()
    actual = trajlab.run("distribution", trajlab.from_arrays(w | {"empty": np.zeros((3, 0, 4), np.float32)})).compute()
    totals = [str(name) for name in expected.data_vars if str(name).startswith("total_")]
    assert {"total_mean", "total_std_se", "total_zeros"} <= set(totals)
    for name in totals:
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)
        assert np.isfinite(actual[name]).all()


@pytest.mark.slow
def test_distribution__errors_of_sampled_gradients_cover_the_truth(rng):
    whole = {"a": rng.standard_t(8, 3000) * 0.5, "b": rng.gamma(3.0, size=1500)}
    together = np.concatenate([*whole.values()])
    covered = {"mean": 0, "std": 0, "total_mean": 0, "total_std": 0}
    for _ in range(200):
        lives = {}
        for name, values in whole.items():
            index = np.sort(rng.choice(values.size, 500, replace=False))
            lives[name] = Series(np.arange(1), values[None, index], values.shape, index)
        run = Trajectory(Tensors({}), Tensors(lives))
        actual = trajlab.run("distribution", run, on="gradients").isel(step=0).compute()
        of_a = actual.sel(parameter="a")
        for name, estimate, error, truth in (
            ("mean", of_a["mean"], of_a.mean_se, whole["a"].mean()),
            ("std", of_a["std"], of_a.std_se, whole["a"].std()),
            ("total_mean", actual.total_mean, actual.total_mean_se, together.mean()),
            ("total_std", actual.total_std, actual.total_std_se, together.std()),
        ):
            covered[name] += abs(float(estimate) - truth) <= 1.96 * float(error)
    for name, times in covered.items():
        assert 0.89 <= times / 200 <= 0.99, (name, times)


def test_distribution__errors_are_zero_where_all_is_recorded(example):
    result = trajlab.run("distribution", example).compute()
    for name in ("mean_se", "std_se", "total_mean_se", "total_std_se"):
        assert (result[name] == 0).all(), name


def test_distribution__empty_tensors_leave_totals_alone(rng):
    tensors = {"a": rng.standard_normal((4, 5, 4)), "b": rng.standard_normal((4, 6))}
    plain = trajlab.run("distribution", trajlab.from_arrays(tensors)).compute()
    more = trajlab.run("distribution", trajlab.from_arrays(tensors | {"none": np.zeros((4, 0, 4))})).compute()
    for name in plain.data_vars:
        if name.startswith("total_"):
            assert plain[name].notnull().any() or "_se" in name
            np.testing.assert_array_equal(more[name], plain[name], err_msg=name)


def test_distribution__one_snapshot_is_at_no_distance_from_itself(rng):
    run = trajlab.from_arrays({"w": rng.standard_normal((1, 300))})
    result = trajlab.run("distribution", run).compute()
    assert all(result[name].isnull().all() for name in ("wasserstein", "ks", "js", "psi"))
    parent = trajlab.from_arrays({"w": 3 + rng.standard_normal((1, 300))})
    assert trajlab.run("distribution", run, parent=parent).ks.values > 0.5


@pytest.mark.parametrize("size", [1e-100, 1e-80, 1e-60, 1.0, 1e60])
def test_distribution__moments_beyond_the_range_of_powers_are_unknown(rng, size):
    values = rng.standard_normal((2, 500))
    result = trajlab.run("distribution", trajlab.from_arrays({"w": size * values})).compute()
    np.testing.assert_allclose(result["std"][:, 0], size * values.std(1), rtol=1e-9)
    expected = [np.nan] * 2 if size < 1e-70 else stats.kurtosis(values, axis=1)
    np.testing.assert_allclose(result.excess_kurtosis[:, 0], expected, rtol=1e-7)
    assert "1e-70" in result.excess_kurtosis.attrs["definition"]


def test_distribution__totals_are_of_steps_at_which_all_tensors_were_recorded(rng):
    often = xr.DataArray(rng.standard_normal((4, 9)), {"step": np.arange(4)}, ("step", "out"), "often")
    rare = (10 + often[::3]).rename("rare")
    result = distribution({"often": often, "rare": rare}).compute()
    for name in ("mean", "std", "min", "max", "zeros", "nonfinite", "mean_se"):
        assert result[f"total_{name}"].isnull().values.tolist() == [False, True, True, False], name
    np.testing.assert_allclose(result["total_mean"][3], np.concatenate([often[3], rare[1]]).mean())
    assert result.attrs["totals_over"].startswith("the 2 steps at which all were recorded")
