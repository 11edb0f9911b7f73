import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.record import Recorder, every
from trajlab.runs.tensors import Series, Tensors
from trajlab.runs.trajectory import Trajectory
from trajlab.stages.gradient_statistics import gradient_statistics

ESTIMATES = ("mean", "mean_abs", "l1", "l2", "variance", "rms", "angle_prev")


def sampled(population: dict[str, np.ndarray], index: dict[str, tuple[str, np.ndarray]]) -> Trajectory:
    """Return samples of the entries of populations, (step, entry) each, by name."""
    lives = {
        name: Series(np.arange(len(population[of])), population[of][:, at], population[of].shape[1:], at)
        for name, (of, at) in index.items()
    }
    return Trajectory(Tensors({}), Tensors(lives))


def test_gradient_statistics__hand_made_case():
    g = np.array([[3, 4], [-4, 3], [-8, 6], [0, 0]], np.float32)
    result = gradient_statistics(trajlab.from_arrays({}, {"w": g}).gradients["w"], steps_per_epoch=2).compute()
    assert result.l2.values.tolist() == [5, 5, 10, 0]
    assert result.l1.values.tolist() == [7, 7, 14, 0]
    assert result.mean_abs.values.tolist() == [3.5, 3.5, 7, 0]
    assert result.max_abs.values.tolist() == [4, 4, 8, 0]
    assert result.variance.values.tolist() == [0.25, 12.25, 49, 0]
    assert result.zeros.values.tolist() == [0, 0, 0, 2]
    np.testing.assert_allclose(result.angle_prev, [np.nan, 90, 0, np.nan], atol=1e-6)
    assert result.epoch_mean.sel(quantity="l2").values.tolist() == [5, 5]
    assert result.epoch_max.sel(quantity="l2").values.tolist() == [5, 10]
    assert result.variance_over_steps.values.tolist() == [(3.5**2 + 0.5**2) / 2, (4**2 + 3**2) / 2]
    assert result.epoch_length.values.tolist() == [2, 2]


def test_gradient_statistics__agrees_with_numpy(example):
    result = trajlab.run("gradient_statistics", example).compute()
    flat = {name: g.values.reshape(20, -1).astype(np.float64) for name, g in example.gradients.items()}
    flat["total"] = np.hstack(list(flat.values()))
    for name, g in flat.items():
        actual = result if name == "total" else result.sel(parameter=name)
        prefix = "total_" if name == "total" else ""
        cosine = (g[1:] * g[:-1]).sum(1) / np.linalg.norm(g[1:], axis=1) / np.linalg.norm(g[:-1], axis=1)
        steps = {
            "mean": g.mean(1), "mean_abs": abs(g).mean(1), "max_abs": abs(g).max(1), "l1": abs(g).sum(1),
            "l2": np.linalg.norm(g, axis=1), "variance": g.var(1), "rms": np.sqrt((g**2).mean(1)),
            "zeros": (g == 0).sum(1), "nonfinite": np.zeros(20),
            "angle_prev": np.append(np.nan, np.degrees(np.arccos(cosine))),
        }  # fmt: skip
        for quantity, values in steps.items():
            np.testing.assert_allclose(actual[prefix + quantity], values, rtol=1e-11, atol=1e-13, err_msg=quantity)
            by_epoch = values.reshape(4, 5)
            for reduced, function in (("mean", np.nanmean), ("max", np.nanmax)):
                one = actual[f"{prefix}epoch_{reduced}"].sel(quantity=quantity)
                np.testing.assert_allclose(one, function(by_epoch, axis=1), rtol=1e-11, atol=1e-13, err_msg=quantity)
        variance = [part.var(0).mean() for part in np.split(g, 4)]
        np.testing.assert_allclose(actual[f"{prefix}variance_over_steps"], variance, rtol=1e-12)
        for quantity in ESTIMATES:
            error = actual[f"{prefix}{quantity}_se"].values
            assert (error[np.isfinite(actual[prefix + quantity].values)] == 0).all(), quantity


def test_gradient_statistics__agrees_with_autograd_and_clip_grad_norm(tmp_path):
    """The norm of the whole gradient is Cockpit's GradNorm: the root of the sum of squares over all parameters."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))
    inputs, targets = torch.randn(11, 5), torch.randn(11, 1)
    optimizer, norms, layers = torch.optim.SGD(net.parameters(), 0.1), [], []
    with Recorder(net, tmp_path / "run", when=every(1), gradients=True) as recorder:
        for _ in range(4):
            loss = ((net(inputs) - targets) ** 2).mean()
            gradients = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)
            layers.append([float(g.norm()) for g in gradients])
            optimizer.zero_grad()
            loss.backward()
            recorder.step()
            norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), float("inf"))))
            optimizer.step()
    result = trajlab.run("gradient_statistics", trajlab.open(tmp_path / "run")).compute()
    np.testing.assert_allclose(result.total_l2, norms, rtol=1e-5)
    np.testing.assert_allclose(result.l2.transpose("step", "parameter"), layers, rtol=1e-5)


def test_gradient_statistics__epochs_come_from_the_metrics(example):
    result = trajlab.run("gradient_statistics", example)
    assert result.attrs["epochs"] == "the metric epoch"
    assert result.epoch.values.tolist() == [0, 1, 2, 3]
    run = trajlab.from_arrays({}, {"w": np.ones((6, 2))})
    unknown = trajlab.run("gradient_statistics", run)
    assert unknown.epoch.values.tolist() == [0] and "unknown" in unknown.attrs["epochs"]
    assert unknown.epoch_length.compute().values.tolist() == [[6]]


def test_gradient_statistics__epochs_of_a_packed_store_are_known_without_computing(example, tmp_path, no_compute):
    store = trajlab.open(trajlab.pack(example, tmp_path / "run.zarr"))
    with no_compute():
        assert trajlab.run("gradient_statistics", store).sizes["epoch"] == 4


def test_gradient_statistics__nonfinite_entries_are_counted_and_left_out():
    g = np.array([[1, np.nan, 3], [np.inf, 2, 4], [np.nan] * 3], np.float32)
    result = gradient_statistics(trajlab.from_arrays({}, {"w": g}).gradients["w"]).compute()
    assert result.nonfinite.values.tolist() == [1, 1, 3]
    assert result["mean"].values[:2].tolist() == [2, 3] and np.isnan(result["mean"][2])
    assert result.l2.values[0] == np.sqrt(10) and np.isnan(result.l2[2])
    assert result.angle_prev.values[1] == 0  # only the last entry is finite at both steps
    assert result.variance_over_steps.item() == np.mean([0, 0, 0.25])


def test_gradient_statistics__a_parameter_without_a_gradient_is_no_part_of_the_total():
    lives = {
        "a": Series(np.arange(3), np.full((3, 4), 2.0), (4,)),
        "b": Series(np.array([0, 2]), np.ones((2, 9)), (9,)),
    }
    run = Trajectory(Tensors({}), Tensors(lives))
    result = trajlab.run("gradient_statistics", run).compute()
    assert result.total_l2.values.tolist() == [5, 4, 5]
    assert result.total_epoch_length.values.tolist() == [3]
    assert result.epoch_length.values.ravel().tolist() == [3, 2]


def test_gradient_statistics__bfloat16_gradients_are_exact():
    import ml_dtypes

    g = np.array([[1.5, -2.5], [0.25, 3.0]]).astype(ml_dtypes.bfloat16)
    run = trajlab.from_arrays({}, {"w": g.astype(np.float32)})
    assert trajlab.run("gradient_statistics", run).compute().l1.values.tolist() == [[4.0], [3.25]]


@pytest.fixture(scope="module")
def population():
    """Gradients whose entries differ in size, with zeros, and not in the same direction at two steps."""
    rng = np.random.default_rng(1)
    size = 10 ** rng.uniform(-0.5, 0, 4000) * (rng.random(4000) > 0.1)
    return (0.3 + rng.standard_normal((6, 4000)).cumsum(0)) * size


def covered(actual: xr.Dataset, truth: xr.Dataset, name: str, dim: str) -> float:
    """Share of the estimates along a dim whose 95 % interval holds the truth."""
    inside = abs(actual[name] - truth[name]) <= 1.96 * actual[f"{name}_se"]
    last = {other: -1 for other in inside.dims if other != dim}
    return float(inside.isel(last).mean())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_statistics__intervals_cover_the_truth_as_often_as_they_claim(population, dtype):
    rng, values = np.random.default_rng(2), {"w": population.astype(dtype)}
    draws = {f"s{i}": ("w", np.sort(rng.choice(4000, 1000, replace=False))) for i in range(400)}
    truth = trajlab.run("gradient_statistics", sampled(values, {"w": ("w", np.arange(4000))})).compute()
    actual = trajlab.run("gradient_statistics", sampled(values, draws)).compute()
    for name in (*ESTIMATES, "variance_over_steps"):
        share = covered(actual, truth.isel(parameter=0, drop=True), name, "parameter")
        assert share == pytest.approx(0.95, abs=0.04), name
        assert (actual[f"{name}_se"].isel({d: -1 for d in actual[name].dims if d != "parameter"}) > 0).all()


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        ("zero_gradients", ("fraction_near_zero", "fraction_released", "fraction_captured")),
        ("sign_flips", ("flip_rate", "flip_rate_retained")),
    ],
)
def test_rates__intervals_cover_the_truth_as_often_as_they_claim(population, stage, names):
    rng, values = np.random.default_rng(4), {"w": population[:3]}
    draws = {f"s{i}": ("w", np.sort(rng.choice(4000, 800, replace=False))) for i in range(400)}
    settings = {"tau": [0.3], "relative": []}
    truth = trajlab.run(stage, sampled(values, {"w": ("w", np.arange(4000))}), **settings).compute()
    actual = trajlab.run(stage, sampled(values, draws), **settings).compute()
    for name in names:
        share = covered(actual, truth.isel(parameter=0, drop=True), name, "parameter")
        assert share == pytest.approx(0.95, abs=0.04), name


def test_gradient_statistics__names_tensors_that_are_not_in_each_total(rng):
    often = rng.standard_normal((5, 6))
    lives = {"often": Series(np.arange(5), often, (6,)), "rare": Series(np.array([0, 4]), often[::4], (6,))}
    result = trajlab.run("gradient_statistics", Trajectory(Tensors({}), Tensors(lives))).compute()
    assert result.attrs["totals_over"] == "the tensors recorded at each step; not recorded at all 5 steps: rare (2)"
    alone = {"often": lives["often"]}
    assert "totals_over" not in trajlab.run("gradient_statistics", Trajectory(Tensors({}), Tensors(alone))).attrs
