import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

import trajlab
from tests.stages.samples_of_entries import coverage, sample
from trajlab.errors import MissingData
from trajlab.stages.drift import drift


def test_drift__hand_made_walk():
    """Out along one axis, then along the other: a triangle with sides 3, 4 and 5."""
    run = trajlab.from_arrays({"w": np.array([[1, 0], [4, 0], [4, 4]], np.float32)}, steps=[0, 10, 30])
    result = drift(run.weights["w"]).compute()
    assert result.distance_l2.values.tolist() == [0, 3, 5]
    assert result.distance_l1.values.tolist() == [0, 3, 7]
    assert result.distance_linf.values.tolist() == [0, 3, 4]
    assert result.relative.values.tolist() == [0, 3, 5]
    assert result.path_length.values.tolist() == [0, 3, 7]
    assert result.straightness.values[1:].tolist() == [1, 5 / 7]
    assert result.update_l2.values[1:].tolist() == [3, 4]
    assert np.isnan(result.update_l2.values[0])
    assert result.update_ratio.values[1:].tolist() == [3, 1]
    assert result.changed.values.tolist() == [0, 0.5, 1]
    assert result.sign_changed.values.tolist() == [0, 0, 0.5]
    assert result.changed_norm.values.tolist() == [0, 4, np.sqrt(32)]
    assert result.changed_norm_ratio.values.tolist() == [0, 1, 1]
    np.testing.assert_allclose(result.cosine, [1, 1, 1 / np.sqrt(2)])
    assert result.stride.values.tolist() == [0, 10, 20]


def test_drift__agrees_with_numpy(example):
    result = trajlab.run("drift", example, rtol=0.1, atol=0.01).compute()
    flat = {name: w.values.reshape(21, -1).astype(np.float64) for name, w in example.weights.items()}
    flat["total"] = np.hstack(list(flat.values()))
    for name, w in flat.items():
        actual = result.sel(parameter=name) if name in example.weights else result
        prefix = "" if name in example.weights else "total_"
        d, u = w - w[0], np.diff(w, axis=0)
        expected = {
            "norm": np.linalg.norm(w, axis=1),
            "distance_l1": abs(d).sum(1),
            "distance_linf": abs(d).max(1),
            "relative": np.linalg.norm(d, axis=1) / np.linalg.norm(w[0]),
            "cosine": w @ w[0] / np.linalg.norm(w, axis=1) / np.linalg.norm(w[0]),
            "changed": (d != 0).mean(1),
            "changed_tol": (abs(d) > 0.01 + 0.1 * abs(w[0])).mean(1),
            "sign_changed": (np.sign(w) != np.sign(w[0])).mean(1),
            "changed_norm": np.linalg.norm(np.where(d != 0, w, 0), axis=1),
            "changed_norm_ratio": np.linalg.norm(np.where(d != 0, w, 0), axis=1) / np.linalg.norm(w, axis=1),
            "path_length": np.append(0, np.cumsum(np.linalg.norm(u, axis=1))),
            "update_ratio": np.append(np.nan, np.linalg.norm(u, axis=1) / np.linalg.norm(w[:-1], axis=1)),
        }
        for variable, values in expected.items():
            np.testing.assert_allclose(actual[prefix + variable], values, rtol=1e-11, atol=1e-12, err_msg=variable)


def test_drift__norm_of_changed_entries_by_hand():
    """Of (3, 4, 12, 0) the 4 stays, the 3 turns to 5, the 12 to 0, and the 0 to −0, whose bits differ."""
    run = trajlab.from_arrays({"w": np.array([[3, 4, 12, 0], [5, 4, 0, -0.0]], np.float32), "b": np.zeros((2, 3))})
    result = trajlab.run("drift", run).compute()
    assert result.changed.sel(parameter="w").values.tolist() == [0, 0.75]
    assert result.changed_norm.sel(parameter="w").values.tolist() == [0, 5]
    assert result.changed_norm_ratio.sel(parameter="w").values.tolist() == [0, 5 / np.sqrt(41)]
    assert (result.changed_norm.sel(parameter="b") == 0).all()
    assert result.changed_norm_ratio.sel(parameter="b").isnull().all()  # a share of nothing
    assert result.total_changed_norm.values.tolist() == [0, 5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_drift__norm_of_changed_entries_of_any_chunks_with_nan_agrees_with_numpy(rng, dtype):
    """A row differs from the first in some taps of a kernel only; of a pair with NaN or Inf nothing is counted."""
    w = np.tile(rng.standard_normal((1, 40, 30, 3, 3)), (5, 1, 1, 1, 1)).astype(dtype)
    w[1:, :, ::2, 1] += rng.standard_normal((4, 40, 15, 3))
    w[2, 0, 0, 1, 0], w[3, 1, 0, 1, 1], w[4, 5, 5] = np.nan, np.inf, -np.inf
    flat = w.reshape(5, -1).astype(np.float64)
    counted, differs = np.isfinite(flat) & np.isfinite(flat[0]), flat != flat[0]
    changed = np.sqrt((flat**2).sum(1, where=counted & differs))
    for step_chunk, out_chunk in ((5, 40), (2, 7), (1, 40)):
        lazy = da.from_array(w, chunks=(step_chunk, out_chunk, -1, -1, -1))
        result = drift(trajlab.from_arrays({"w": lazy}).weights["w"]).compute()
        np.testing.assert_allclose(result.changed_norm, changed, rtol=1e-12)
        ratio = changed / np.sqrt((flat**2).sum(1, where=counted))
        np.testing.assert_allclose(result.changed_norm_ratio, ratio, rtol=1e-12)
    assert 0.3 < result.changed_norm_ratio[1] < 0.8


def test_drift__norm_of_changed_entries_of_bfloat16_files(tmp_path, rng):
    """An update of half the spacing of bfloat16 is lost in some entries, whose bits then stay."""
    start = torch.from_numpy(rng.standard_normal((130, 256)).astype(np.float32)).bfloat16()
    values = [start, (start.float() * (1 + 0.003)).bfloat16()]
    for step, weight in enumerate(values):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save_file({"w": weight}, folder / "model.safetensors")
    before, after = (weight.double().numpy() for weight in values)
    moved = before != after
    assert 0.2 < moved.mean() < 0.95
    result = trajlab.run("drift", trajlab.open(tmp_path)).compute().isel(step=1, parameter=0)
    assert result.changed == moved.mean()
    np.testing.assert_allclose(result.changed_norm, np.linalg.norm(after[moved]), rtol=1e-12)


def test_drift__norm_of_changed_entries_of_samples_covers_that_of_the_tensor(rng):
    g = np.stack([rng.standard_normal(2000)] * 2)
    g[1, :600] += 1
    draws = {f"draw {i}": sample(g, 400, rng) for i in range(150)}
    result = drift(draws).compute().isel(step=1)
    truth = {"changed_norm": np.linalg.norm(g[1, :600])}
    truth["changed_norm_ratio"] = truth["changed_norm"] / np.linalg.norm(g[1])
    for name, value in truth.items():
        covered = coverage(result[name].values, result[f"{name}_se"].values, value)
        assert 0.88 < covered < 0.99, (name, covered)
        np.testing.assert_allclose(result[name].mean(), value, rtol=0.01)


def test_drift__knows_why_entries_never_changed(example):
    result = trajlab.run("drift", example).compute()
    cause = result.unchanged_cause.sel(parameter=["conv.weight", "fc.weight", "fc.bias", "frozen.weight"])
    assert cause.sel(cause="structural").values.tolist() == [16, 0, 0, 0]
    assert cause.sel(cause="dead_unit").values.tolist() == [0, 16, 1, 0]
    assert cause.sel(cause="frozen").values.tolist() == [0, 0, 0, 6]
    assert result.total_unchanged_cause.sum() == 16 + 16 + 1 + 6


def test_drift__any_step_can_be_the_reference(example):
    w = example.weights["fc.weight"]
    result = drift(w, reference=7).compute()
    assert result.distance_l2.sel(step=7) == 0
    np.testing.assert_allclose(result.distance_l2[0], np.linalg.norm(w.values[0].astype(float) - w.values[7]))
    with pytest.raises(MissingData, match="step 70 of fc.weight"):
        drift(w, reference=70)


def test_drift__from_zero_the_relative_distance_is_infinite():
    result = drift(trajlab.from_arrays({"b": np.array([[0, 0], [1, 0]], np.float32)}).weights["b"]).compute()
    assert np.isnan(result.relative[0]) and np.isinf(result.relative[1])
    assert np.isnan(result.cosine[1])


def test_drift__nan_and_inf_are_counted_and_left_out():
    w = np.array([[1, 2, 2], [1, np.nan, 5], [np.nan] * 3, [1, np.inf, 2]], np.float32)
    result = drift(trajlab.from_arrays({"w": w}).weights["w"]).compute()
    assert result.nonfinite.values.tolist() == [0, 1, 3, 1]
    assert result.distance_l2.values[[0, 1, 3]].tolist() == [0, 3, 0]
    assert np.isnan(result.distance_l2[2]) and np.isnan(result.changed[2]) and np.isnan(result.norm[2])
    assert result.changed.values[1] == 0.5
    assert np.isnan(result.path_length[3])


def test_drift__constant_inputs_give_zero_drift():
    result = drift(trajlab.from_arrays({"w": np.ones((4, 10))}).weights["w"]).compute()
    assert (result.distance_l2 == 0).all() and (result.path_length == 0).all()
    assert np.isnan(result.straightness).all()
    assert result.unchanged_cause.sel(cause="frozen") == 10


def test_drift__of_half_precision_snapshots_from_a_parent_in_single_precision(tmp_path, rng):
    values = {}
    for name, dtype in (("child", torch.bfloat16), ("parent", torch.float32)):
        for step in range(2):
            weight = torch.from_numpy(rng.standard_normal((130, 256)).astype(np.float32)).to(dtype)
            values[name, step] = weight.double().numpy()
            folder = tmp_path / name / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            save_file({"w": weight}, folder / "model.safetensors")
    child, parent = (trajlab.open(tmp_path / name) for name in ("child", "parent"))
    actual = trajlab.run("drift", child, parent=parent, reference=-1).compute()
    expected = [np.linalg.norm(values["child", step] - values["parent", 1]) for step in range(2)]
    np.testing.assert_allclose(actual.distance_l2[:, 0], expected, rtol=1e-12)


def test_drift__cosine_with_a_tiny_reference_keeps_its_digits():
    run = trajlab.from_arrays({"w": np.array([[1e-12, 0.0], [3.0, 4.0]])})
    assert trajlab.run("drift", run).cosine.values[1, 0] == pytest.approx(0.6, rel=1e-12)


def test_drift__finite_entries_that_are_all_zero_have_a_norm():
    rows = np.array([[0, 0, np.nan], [np.nan] * 3], np.float32)
    result = trajlab.run("drift", trajlab.from_arrays({"w": rows, "empty": np.zeros((2, 0), np.float32)})).compute()
    np.testing.assert_array_equal(result.norm.sel(parameter="w"), [0, np.nan])
    np.testing.assert_array_equal(result.norm.sel(parameter="empty"), [0, 0])
    np.testing.assert_array_equal(result.total_norm, [0, np.nan])


def test_drift__tensors_recorded_at_different_steps_keep_their_own_paths(rng):
    a, b = (rng.standard_normal((5, 4, 3)).cumsum(0) for _ in range(2))
    steps = np.arange(5)
    weights = {
        "a": xr.DataArray(a, {"step": steps}, ("step", "out", "in"), "a"),
        "b": xr.DataArray(b[::2], {"step": steps[::2]}, ("step", "out", "in"), "b"),
    }
    result = drift(weights).compute()
    both = np.concatenate([a.reshape(5, -1), b.reshape(5, -1)], 1)[::2]
    path = np.append(0, np.linalg.norm(np.diff(both, axis=0), axis=1).cumsum())
    np.testing.assert_allclose(result.total_path_length, [path[0], np.nan, path[1], np.nan, path[2]])
    np.testing.assert_allclose(result.total_update_l2[[2, 4]], np.diff(path))
    straight = np.linalg.norm(both - both[0], axis=1)[1:] / path[1:]
    np.testing.assert_allclose(result.total_straightness[[2, 4]], straight)
    for name, own in weights.items():
        alone = drift(own).compute()
        for variable in ("path_length", "straightness", "update_l2", "relative"):
            np.testing.assert_allclose(result[variable].sel(parameter=name, step=own.step), alone[variable])
    apart = drift({"a": weights["a"][[0, 2]], "b": weights["b"][[1]].assign_coords(step=[3])}).compute()
    assert apart.total_path_length.isnull().all() and apart.total_norm.isnull().all()


@pytest.mark.parametrize(("reference", "known"), [(0, True), (10, True), (-3, True), (-1, False), (20, False)])
def test_drift__straightness_is_of_the_path_from_the_start(rng, reference, known):
    weights = {"w": rng.standard_normal((3, 8)).cumsum(0), "v": rng.standard_normal((3, 2)).cumsum(0)}
    run = trajlab.from_arrays(weights, steps=[10, 20, 30])
    result = trajlab.run("drift", run, reference=reference).compute()
    for variable in (result.straightness, result.total_straightness):
        assert (variable.isel(step=-1).notnull() == known).all() and not (variable > 1 + 1e-12).any()
    from_parent = trajlab.run("drift", run, parent=run, reference=reference).compute()
    assert from_parent.straightness.isnull().all() and from_parent.total_straightness.isnull().all()


def test_drift__one_snapshot_says_nothing_about_change(rng):
    weights = {"w": rng.standard_normal((1, 4, 3)), "b": np.zeros((1, 4))}
    run = trajlab.from_arrays(weights, steps=[100])
    result = trajlab.run("drift", run).compute()
    assert np.isfinite(result.norm).all() and np.isfinite(result.total_norm).all()
    unknown = set(result.data_vars) - {"norm", "nonfinite", "total_norm", "total_nonfinite"}
    assert {name for name in unknown if result[name].notnull().any()} == set()
    compared = trajlab.run("drift", run, parent=trajlab.from_arrays({k: v + 1 for k, v in weights.items()})).compute()
    np.testing.assert_allclose(compared.distance_l2, [[np.sqrt(12), 2]])
    assert (compared.changed == 1).all() and (compared.unchanged_cause == 0).all()


def test_drift__sampled_entries_count_for_the_whole_tensor(rng):
    g = (rng.standard_normal((4, 2000)) * [[1], [2], [3], [4]]).cumsum(0)
    draws = {f"draw {i}": sample(g, 400, rng) for i in range(150)}
    result = drift(draws).compute()
    d, u = g - g[0], np.diff(g, axis=0, prepend=np.nan)
    norms = {"norm": g, "distance_l2": d, "update_l2": u}
    truth = {name: np.linalg.norm(values, axis=1) for name, values in norms.items()}
    truth |= {
        "distance_l1": abs(d).sum(1),
        "relative": truth["distance_l2"] / truth["norm"][0],
        "cosine": g @ g[0] / truth["norm"] / truth["norm"][0],
        "update_ratio": truth["update_l2"] / np.append(np.nan, truth["norm"][:-1]),
        "sign_changed": (np.sign(g) != np.sign(g[0])).mean(1),
    }
    for name, values in truth.items():
        estimates, errors = (result[key].transpose("parameter", "step").values[:, 2:] for key in (name, f"{name}_se"))
        covered = coverage(estimates, errors, values[2:])
        assert (0.88 < covered).all() and (covered < 1).all(), (name, covered)
        np.testing.assert_allclose(estimates.mean(0), values[2:], rtol=0.01, err_msg=name)
    length, error = result.path_length[-1], result.path_length_se[-1]
    assert coverage(length.values, error.values, truth["update_l2"][1:].sum()) > 0.94


def test_drift__totals_weigh_samples_by_the_size_of_their_tensor(rng):
    """At each step the large tensor holds the same values in another order, so that each step is a new draw."""
    small = np.tile(rng.standard_normal(30), (200, 1))
    large = rng.permuted(np.tile(5 * rng.standard_normal(3000), (200, 1)), axis=1)
    whole = xr.DataArray(small, {"step": np.arange(200)}, ("step", "out"), "b")
    result = drift({"w": sample(large, 300, rng), "b": whole}).compute()
    truth = np.linalg.norm([*small[0], *large[0]])
    covered = coverage(result.total_norm.values, result.total_norm_se.values, truth)
    assert 0.88 < covered < 0.99
    np.testing.assert_allclose(result.total_norm.mean(), truth, rtol=0.01)
    np.testing.assert_allclose(result.norm.sel(parameter="b"), np.linalg.norm(small, axis=1))
    assert (result.norm_se.sel(parameter="b") == 0).all()
    assert not any(name.endswith("_se") for name in drift({"b": whole}))


def test_drift__sampled_entries_that_never_changed_keep_their_cause(rng):
    w = np.zeros((3, 8, 4, 3, 3))
    w[1:, :, :, 1, 1] = 1  # only the middle tap moved
    w[1:, 0] = 1  # and all that leads into the first unit
    w[1:, 1] = 0
    run = sample(w, 200, rng)
    index = run["index"].values
    unit, tap = index // 36, index % 9
    dead = (unit == 1).sum()
    cause = drift({"w": run}).compute()
    counts = cause.unchanged_cause.sel(parameter="w")
    assert counts.sel(cause="dead_unit") == dead
    assert counts.sel(cause="static") == ((unit > 1) & (tap != 4)).sum()
    assert cause.total_unchanged_cause.sum() == pytest.approx(float(counts.sum()) * 288 / 200)


def bfloat16_walk(rng, steps=12):
    """Weights of a matrix near 0 and of a norm at 1, whose updates of 2e-4 are made in bfloat16 by torch itself."""
    weights = {"fc.weight": 0.01 * torch.randn(8, 16), "norm.weight": torch.ones(16), "bias": torch.zeros(8)}
    weights = {name: value.bfloat16() for name, value in weights.items()}
    rows = {name: [] for name in weights}
    for _ in range(steps):
        for name, value in weights.items():
            rows[name].append(value.clone())
            weights[name] = value + (2e-4 * torch.randn(value.shape).sign()).bfloat16()
    return {name: torch.stack(values) for name, values in rows.items()}


def test_drift__updates_that_bfloat16_loses_are_a_cause_of_their_own(rng, tmp_path):
    from safetensors.torch import save_file

    walk = bfloat16_walk(rng)
    assert (walk["norm.weight"] == 1).all() and (walk["fc.weight"][0] != walk["fc.weight"][-1]).any()
    for step in range(12):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save_file({name: rows[step].contiguous() for name, rows in walk.items()}, folder / "model.safetensors")
    cause = trajlab.run("drift", trajlab.open(tmp_path)).compute().unchanged_cause
    assert cause.sel(parameter="norm.weight", cause="below_resolution") == 16
    assert cause.sel(parameter="norm.weight").sum() == 16
    assert cause.sel(parameter=["fc.weight", "bias"], cause="below_resolution").sum() == 0
    full = trajlab.from_arrays({name: rows.float().numpy() for name, rows in walk.items()})
    assert "below_resolution" not in trajlab.run("drift", full).compute().cause
