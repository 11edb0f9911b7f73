"""Coverage of every standard error and interval: samples of gradients whose other entries are known, too."""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import trajlab.stages
from tests.stages.samples_of_entries import coverage, sample
from trajlab.record.sampling import sample_indices
from trajlab.runs.tensors import Series, Tensors
from trajlab.runs.trajectory import Trajectory
from trajlab.scan.kernels.power_law import FACTS, facts
from trajlab.stages.comparison import comparison
from trajlab.stages.distribution import distribution
from trajlab.stages.drift import drift
from trajlab.stages.gradient_statistics import gradient_statistics
from trajlab.stages.optimizer_state import optimizer_state
from trajlab.stages.projection import projection
from trajlab.stages.sign_flips import sign_flips
from trajlab.stages.zero_gradients import zero_gradients

STEPS, ENTRIES = 300, 297
SHAPES = {"conv.weight": (24, 12, 3, 3), "fc.weight": (50, 60), "fc.bias": (20,)}
TAU = {"tau": (0.3,), "relative": (0.5,)}
STAGES: dict[str, Callable[[Trajectory], xr.Dataset]] = {
    "distribution": lambda run: distribution(run.gradients),
    "gradient_statistics": lambda run: gradient_statistics(run.gradients, steps_per_epoch=3),
    "sign_flips": lambda run: sign_flips(run.gradients, run.weights, **TAU),
    "optimizer_state": lambda run: optimizer_state(
        *moments(run), run.weights, {name: array for name, array in run.gradients.items()}
    ),
    "zero_gradients": lambda run: zero_gradients(run.gradients, **TAU),
}
"""How each stage with standard errors is simulated."""

AVERAGED = {"angle_average"}
"""Quantities of gradient_statistics with a moving average only."""

UPPER_BOUNDS = {"epoch_mean"}
"""Quantities whose standard error is said to be an upper bound."""

WIDEST = {"zero_gradients": 2.1, "sign_flips": 1.3, "optimizer_state": 1.3}
"""How many times as large as the spread errors may be: a tail is extrapolated for relative thresholds, and samples by
taps are taken as simple random ones."""


def names_ending(suffix: str) -> list[tuple[str, str]]:
    """Return stage and name of the quantities with an error or bound, from what the stages say of their variables."""
    names = set()
    for module in pkgutil.walk_packages(trajlab.stages.__path__, "trajlab.stages."):
        stage = module.name.removeprefix("trajlab.stages.").split(".")[0]
        meanings = getattr(importlib.import_module(module.name), "MEANINGS", {})
        names |= {(stage, name.removesuffix(suffix)) for name in meanings if name.endswith(suffix)}
    return sorted(names)


OF_PATHS: dict[str, Callable[..., xr.Dataset]] = {
    "comparison": lambda ours, theirs: comparison(ours, theirs),
    "drift": lambda ours, _: drift(ours, rtol=0.5),
    "projection": lambda ours, _: projection(ours, anchors=4, components=2),
    "sign_flips": lambda ours, _: sign_flips(weight=ours),
}
"""How stages whose errors are of several steps together are simulated: each tensor is one more sample."""

PATHS = {"straightness", "path_length"}
"""Quantities of paths whose standard error is said to be an upper bound."""

SIDES = {("saturation", "fraction")}
"""What ends in _low and _high, but is no bound of an interval: the sides on which activations saturate."""

ERRORS = names_ending("_se")
ON_PATHS = [(of, name) for of, name in ERRORS if of in OF_PATHS and (of != "sign_flips" or name == "weight_flip_rate")]
ERRORS_OF_STEPS = [(of, name) for of, name in ERRORS if (of, name) not in ON_PATHS]
INTERVALS = sorted({*names_ending("_low")} - SIDES)
SIGMAS = names_ending("_sigma")


@cache
def runs() -> tuple[Trajectory, Trajectory]:
    """Return a run with all gradients and one with a sample.

    The entries of a tap are alike but for chance, and new at each step, so that each step is one more sample.
    """
    rng = np.random.default_rng(0)
    taps = np.array([[0, 0.1, 0], [0.1, 1, 0.1], [0, 0.1, 0]])
    scales = {"conv.weight": taps, "fc.weight": 0.3, "fc.bias": 2.0}
    gradients, weights, samples = {}, {}, {}
    for name, shape in SHAPES.items():
        noise = rng.standard_normal((STEPS, *shape))
        noise[1:] += 0.6 * noise[:-1]
        gradients[name] = (scales[name] * (noise + 0.3)).astype(np.float32)
        weights[name] = rng.standard_normal((STEPS, *shape)).astype(np.float32)
        index = sample_indices(name, shape, ENTRIES)
        rows = gradients[name].reshape(STEPS, -1)[:, index]
        whole = Series(np.arange(STEPS), gradients[name], shape)
        samples[name] = whole if len(index) == np.prod(shape) else Series(np.arange(STEPS), rows, shape, index)
    complete = trajlab.from_arrays(weights, gradients)
    return complete, Trajectory(complete.weights, Tensors(samples))


def moments(run: Trajectory) -> tuple[dict[str, dict[str, xr.DataArray]], xr.Dataset]:
    """Return moments of Adam that vary as the gradients of their taps do, and hyperparameters."""
    rng, second = np.random.default_rng(1), {}
    for name, array in run.weights.items():
        taps = np.array([[0.02, 0.1, 0.02], [0.1, 1, 0.1], [0.02, 0.1, 0.02]]) if name == "conv.weight" else 1.0
        second[name] = array.copy(data=(np.square(taps) * rng.uniform(0.5, 2.0, array.shape)).astype(np.float32))
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.9, "eps": 1e-2, "amsgrad": 0.0, "updates": 100.0}
    labels = {"step": np.arange(STEPS), "parameter": np.array(list(second), object)}
    values = {name: (("step", "parameter"), np.full((STEPS, len(second)), value)) for name, value in settings.items()}
    return {"exp_avg": second, "exp_avg_sq": second}, xr.Dataset(values, labels)


@cache
def results(stage: str) -> tuple[xr.Dataset, xr.Dataset]:
    """Return what a stage says of all entries, and of the sample."""
    complete, sample = (STAGES[stage](run).compute() for run in runs())
    return complete, sample


@cache
def averaged() -> tuple[xr.Dataset, xr.Dataset]:
    """Return what `gradient_statistics` says of moving averages of all entries, and of the sample."""
    complete, sample = (gradient_statistics(run.gradients, average=0.5).compute() for run in runs())
    return complete, sample


def values(result: xr.Dataset, name: str) -> np.ndarray:
    """Return a variable of what was sampled, (replicate, …): steps or epochs first."""
    array = result[name]
    if "parameter" in array.dims:
        array = array.sel(parameter=["conv.weight", "fc.weight"])
    if "quantity" in array.dims:
        array = array.sel(quantity=["mean", "mean_abs", "l1", "l2", "variance", "rms", "angle_prev"])
    array = array.transpose("step" if "step" in array.dims else "epoch", ...)
    array = array.where(array.notnull().any([dim for dim in array.dims if dim not in ("step", "epoch")]), drop=True)
    return array.values.reshape(array.shape[0], -1)


def test_standard_errors__each_stage_with_one_is_simulated():
    """What a stage describes is what it may return: `annotate` refuses any other variable."""
    assert {stage for stage, _ in ERRORS + INTERVALS} == {*STAGES, *OF_PATHS}
    assert {*ERRORS} == {*ON_PATHS, *ERRORS_OF_STEPS} and {stage for stage, _ in ERRORS_OF_STEPS} == {*STAGES}
    assert {*INTERVALS} <= {*ERRORS} and {*names_ending("_high")} - SIDES == {*INTERVALS}
    assert SIGMAS == [("spectrum", "alpha")]  # simulated below
    for module in pkgutil.iter_modules(trajlab.stages.__path__):
        assert importlib.import_module(f"trajlab.stages.{module.name}").MEANINGS, module.name
    for stage in STAGES:
        _, sample = results(stage)
        reported = {str(name) for name in sample if str(name).endswith(("_se", "_low", "_high"))}
        described = {f"{name}_se" for of, name in ERRORS if of == stage}
        described -= {"weight_flip_rate_se"}  # of weights, which this run holds in full
        described -= {f"{name}_se" for name in AVERAGED}
        described |= {f"{name}{end}" for of, name in INTERVALS if of == stage for end in ("_low", "_high")}
        assert reported == described | {f"total_{name}" for name in described}


@pytest.mark.parametrize("prefix", ["", "total_"])
@pytest.mark.parametrize(("stage", "name"), ERRORS_OF_STEPS)
def test_standard_errors__cover_the_truth_as_often_as_they_claim(stage, name, prefix):
    complete, sample = averaged() if name in AVERAGED else results(stage)
    miss = values(sample, prefix + name) - values(complete, prefix + name)
    error = values(sample, f"{prefix}{name}_se")
    assert (error[np.isfinite(miss)] > 0).mean() > 0.98 and np.isfinite(miss).mean() > 0.9
    covered = np.where(np.isfinite(miss), abs(miss) <= 1.96 * error, np.nan)
    lowest, highest = (0.9, 0.99) if name not in UPPER_BOUNDS else (0.93, 1.0)
    assert (np.nanmean(covered, axis=0) >= lowest).all(), np.nanmean(covered, axis=0)
    assert (np.nanmean(covered, axis=0) <= highest).all(), np.nanmean(covered, axis=0)
    ratio = np.sqrt(np.nanmean(error**2, axis=0) / np.nanmean(miss**2, axis=0))
    assert (ratio > 0.85).all() and (ratio < WIDEST.get(stage, 1.2)).all() or name in UPPER_BOUNDS, ratio
    exact = sample[f"{name}_se"].sel(parameter="fc.bias")
    assert (exact.where(complete[name].sel(parameter="fc.bias").notnull(), 0) == 0).all()


@cache
def paths() -> tuple[dict[str, xr.DataArray], ...]:
    """Return two runs that hold samples of one tensor each, and these tensors."""
    rng = np.random.default_rng(1)
    still = rng.random((2, 1, 2000)) < 0.3
    ours, theirs = np.where(still, 1.0, 0.2 + rng.standard_normal((2, 5, 2000))).cumsum(1) * np.linspace(0.5, 2, 2000)
    ours[:, :300] = theirs[:, :300] = ours[:1, :300]  # entries that never change, and are the same in both
    draws = {f"draw {i}": sample(ours, 400, rng) for i in range(200)}
    others = {name: array.copy(data=theirs[:, array["index"].values]) for name, array in draws.items()}
    return draws, others, {"w": entire(ours)}, {"w": entire(theirs)}


@cache
def results_of_paths(stage: str) -> tuple[xr.Dataset, xr.Dataset]:
    """Return what a stage says of the samples, and of the whole tensors."""
    draws, others, ours, theirs = paths()
    return OF_PATHS[stage](draws, others).compute(), OF_PATHS[stage](ours, theirs).compute()


def entire(values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(da.from_array(values, chunks=-1), {"step": np.arange(len(values))}, ("step", "out"), "w")


@pytest.mark.parametrize(("stage", "name"), ON_PATHS)
def test_standard_errors__of_several_steps_cover_the_truth_as_often_as_they_claim(stage, name):
    estimated, exact = results_of_paths(stage)
    truth = exact[name].squeeze("parameter").transpose("step", ..., missing_dims="ignore").values
    estimates, errors = (
        estimated[key].transpose("parameter", "step", ..., missing_dims="ignore").values for key in (name, f"{name}_se")
    )
    uncertain = np.isfinite(truth) & (np.nan_to_num(estimates).std(0) > 1e-9)
    covered = coverage(estimates, errors, truth)[uncertain]
    assert uncertain.any() and (covered > 0.88).all(), covered
    assert (covered <= 0.995).all() or name in PATHS, covered
    widths = np.sqrt((errors**2).mean(0)[uncertain] / ((estimates - truth) ** 2).mean(0)[uncertain])
    assert (widths < 1.2).all() or name in PATHS, widths
    assert (errors[:, np.isfinite(truth) & ~uncertain] < 1e-6).all() or name in PATHS


@pytest.mark.parametrize("prefix", ["", "total_"])
@pytest.mark.parametrize(("stage", "name"), INTERVALS)
def test_intervals__cover_the_truth_as_often_as_they_claim(stage, name, prefix):
    complete, sample = results(stage)
    truth = values(complete, prefix + name)
    low, rate, high = (values(sample, f"{prefix}{name}{end}") for end in ("_low", "", "_high"))
    known = np.isfinite(truth) & np.isfinite(rate)
    assert (low[known] <= rate[known]).all() and (rate[known] <= high[known]).all()
    covered = np.where(known, (low <= truth) & (truth <= high), np.nan)
    assert (np.nanmean(covered, axis=0) >= 0.91).all(), np.nanmean(covered, axis=0)
    halves, misses = np.where(known, high - low, np.nan) / 2, np.where(known, rate - truth, np.nan)
    width = np.sqrt(np.nanmean(halves**2, axis=0) / np.nanmean(misses**2, axis=0)) / 1.96
    assert (width < WIDEST[stage]).all(), width
    for end in ("_low", "_high"):
        exact = sample[name + end].sel(parameter="fc.bias")
        np.testing.assert_array_equal(exact, complete[name].sel(parameter="fc.bias"))


HEAVY = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "student 3": lambda rng, size: rng.standard_t(3, size),
    "student 2.5": lambda rng, size: rng.standard_t(2.5, size),
    "log-normal 1": lambda rng, size: rng.standard_normal(size) * np.exp(rng.standard_normal(size)),
    "log-normal 1.5": lambda rng, size: rng.standard_normal(size) * np.exp(1.5 * rng.standard_normal(size)),
}


def sampled(rows: np.ndarray, index: np.ndarray, shape: tuple[int, ...]) -> xr.DataArray:
    """Return rows of sampled entries, (step, sample), as a gradient."""
    coords = {"step": np.arange(len(rows)), "index": ("sample", index)}
    return xr.DataArray(rows, coords, ("step", "sample"), "w", {"shape": shape})


@pytest.mark.parametrize("kind", HEAVY)
def test_standard_errors__of_relative_thresholds_hold_for_heavy_tails(kind):
    """1,024 of 20,000 entries, new ones at each step; the RMS of each sample is off by up to a half."""
    rng, thresholds = np.random.default_rng(3), (0.01, 0.1, 0.5)
    population = HEAVY[kind](rng, (300, 20_000)).astype(np.float32)
    root = np.sqrt((population.astype(np.float64) ** 2).mean(1))
    truth = np.stack([(abs(population) <= tau * root[:, None]).mean(1) for tau in thresholds], 1)[1:]
    array = sampled(population[:, :1024], np.arange(1024), (20_000,))
    result = zero_gradients(array, tau=(), relative=thresholds).compute()
    miss = abs(result.fraction_near_zero.values - truth)
    lowest = {"student 3": 0.87, "student 2.5": 0.8}.get(kind, 0.92)
    assert ((miss <= 1.96 * result.fraction_near_zero_se.values).mean(0) >= lowest).all()
    covered = (result.fraction_near_zero_low.values <= truth) & (truth <= result.fraction_near_zero_high.values)
    assert (covered.mean(0) >= lowest).all()


@pytest.mark.parametrize("entries", [10, 100, 1000])
@pytest.mark.parametrize("expected", [0.02, 0.2, 1.0, 4.0])
def test_intervals__of_rare_entries(entries, expected):
    """Zeros among 20,000 entries, few or none in the sample: an error of 0 covers no such rate."""
    rng = np.random.default_rng(5)
    zeros = round(20_000 * expected / entries)
    rows = np.ones((801, 20_000), np.float32)
    for row in rows:
        row[rng.choice(20_000, zeros, replace=False)] = 0
    result = zero_gradients(
        sampled(rows[:, :entries], np.arange(entries), (20_000,)), tau=(0.5,), relative=()
    ).compute()
    low, high = result.fraction_near_zero_low.values, result.fraction_near_zero_high.values
    covered = (low <= zeros / 20_000) & (zeros / 20_000 <= high)
    assert covered.mean() >= 0.82
    none = result.fraction_near_zero.values == 0
    assert (low[none] == 0).all()
    np.testing.assert_allclose(high[none], 1.96**2 / (entries / (1 - entries / 20_000) + 1.96**2), rtol=1e-4)


def test_intervals__of_strata_that_are_sure_have_no_error_but_do_not_claim_certainty():
    """One parameter never flips and one always: their sample means hold no variance, 9,600 entries were not seen."""
    index = np.arange(0, 10_000, 25)
    ones = np.ones((2, 400), np.float32)
    flips = ones * np.array([[1], [-1]], np.float32)
    result = sign_flips({"a": sampled(ones, index, (10_000,)), "b": sampled(flips, index, (10_000,))}).compute()
    assert result.total_flip_rate == 0.5 and result.total_flip_rate_se == 0
    assert 0.49 < result.total_flip_rate_low < 0.5 < result.total_flip_rate_high < 0.51
    assert result.flip_rate_high.values.ravel()[0] == pytest.approx(1.96**2 / (400 / 0.96 + 1.96**2), rel=1e-4)
    np.testing.assert_allclose(result.flip_rate_low.values.ravel()[1], 1 - result.flip_rate_high.values.ravel()[0])


def test_standard_errors__of_taps_that_differ_use_them_as_strata():
    """Nine taps of known zeros and a middle one: the share of zeros is known but for chance within the tap."""
    rng, shape = np.random.default_rng(2), (40, 30, 3, 3)
    index = sample_indices("w", shape, 297)
    full = np.zeros((200, *shape), np.float32)
    full[..., 1, 1] = rng.standard_normal((200, 40, 30)) * (rng.random((200, 40, 30)) < 0.5)
    result = zero_gradients(sampled(full.reshape(200, -1)[:, index], index, shape), tau=(0.0,), relative=()).compute()
    miss = result.fraction_near_zero.values[..., 0] - (full == 0).mean((1, 2, 3, 4))[1:]
    error = result.fraction_near_zero_se.values[..., 0]
    assert error.mean() == pytest.approx(miss.std(), rel=0.15)
    assert error.mean() < 0.0115  # of a simple random sample 0.0133
    assert 0.87 < (abs(miss) <= 1.96 * error).mean() < 0.99


def test_standard_errors__of_a_single_entry_are_unknown_but_its_interval_is_not():
    one = sampled(np.array([[1.0], [0.0], [1.0]]), np.array([3]), (7,))
    result = zero_gradients(one, tau=(0.5,), relative=()).compute()
    assert result.fraction_near_zero_se.isnull().all()
    low, high = result.fraction_near_zero_low.values.ravel(), result.fraction_near_zero_high.values.ravel()
    assert low[0] > 0.1 and high[0] == 1 and low[1] == 0 and high[1] < 0.9


@pytest.mark.parametrize("center", ["mean", "last"])
def test_standard_errors__of_shares_of_components_of_the_network_cover_the_truth(center):
    """Two samples of tensors that move unequally, and one that is recorded in full."""
    rng = np.random.default_rng(4)
    walks = {"a": 3000, "b": 900, "c": 40}
    values = {
        name: scale * rng.standard_normal((6, size)).cumsum(0) * np.exp(0.5 * rng.standard_normal(size))
        for (name, size), scale in zip(walks.items(), (1.0, 2.0, 4.0), strict=True)
    }
    whole = {name: entire(array) for name, array in values.items()}
    truth = projection(whole, components=2, center=center).compute()
    misses, errors = [], []
    for _ in range(60):
        some = {name: sample(array, 300, rng, name) if name != "c" else whole[name] for name, array in values.items()}
        result = projection(some, components=2, center=center).compute()
        assert (result.explained_variance_ratio_se.sel(parameter="c") == 0).all()
        misses.append(result.total_explained_variance_ratio - truth.total_explained_variance_ratio)
        errors.append(result.total_explained_variance_ratio_se)
    covered = (abs(np.array(misses)) <= 1.96 * np.array(errors)).mean(0)
    assert (covered >= 0.85).all(), covered
    ratio = np.sqrt(np.mean(np.square(errors), 0) / np.mean(np.square(misses), 0))
    assert ((ratio > 0.75) & (ratio < 1.35)).all(), ratio


def singles() -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Return two runs: a tensor of seven entries, one of them recorded, and a tensor recorded in full."""
    rng = np.random.default_rng(6)
    runs = []
    for _ in range(2):
        one = sampled(rng.standard_normal((4, 1)), np.array([3]), (7,))
        full = xr.DataArray(rng.standard_normal((4, 5)), {"step": np.arange(4)}, ("step", "out"), "full")
        runs.append({"one": one.rename("one"), "full": full})
    return runs[0], runs[1]


@pytest.mark.parametrize(
    "stage",
    [
        lambda ours, theirs: comparison(ours, theirs, match_weights=False),
        lambda ours, _: drift(ours, rtol=0.5),
        lambda ours, _: projection(ours, anchors=3),
        lambda ours, _: sign_flips(weight=ours),
        lambda ours, _: sign_flips(ours, tau=(9.0,), relative=()),
        lambda ours, _: zero_gradients(ours, **TAU),
        lambda ours, _: gradient_statistics(ours),
        lambda ours, _: distribution(ours),
    ],
)
def test_standard_errors__of_a_single_entry_leave_those_of_the_whole_network_unknown(stage):
    result = stage(*singles()).compute()
    errors = [str(name) for name in result if str(name).endswith("_se")]
    assert errors
    for name in errors:
        estimate = result[name.removesuffix("_se")]
        of_one = result[name] if name.startswith("total_") else result[name].sel(parameter="one")
        if "quantity" in of_one.dims:
            of_one = of_one.sel(quantity=["mean", "mean_abs", "l1", "l2", "variance", "rms", "angle_prev"])
        elif not name.startswith("total_"):
            assert (result[name].sel(parameter="full").fillna(0) == 0).all(), name
        if name.endswith("path_length_se"):  # the path begins with length 0
            of_one = of_one[1:]
        assert of_one.isnull().all(), name
        assert estimate.notnull().any() or "ima_rate" in name, name  # minima and maxima take weights


def test_standard_errors__of_a_path_that_is_not_known_are_unknown():
    rows = np.random.default_rng(7).standard_normal((5, 30))
    rows[2] = np.nan
    result = drift({"w": sampled(rows, np.arange(30), (90,))}).compute()
    for name in ("path_length", "straightness", "total_path_length", "total_straightness"):
        assert result[name].isnull().values.ravel().tolist()[1:] == [False, True, True, True]
        assert result[f"{name}_se"].isnull().values.ravel().tolist()[1:] == [False, True, True, True]


@pytest.mark.parametrize("name", ["fraction_near_zero", "fraction_released"])
def test_intervals__of_the_whole_network_with_a_single_entry_of_a_tensor_do_not_claim_certainty(name):
    result = zero_gradients(singles()[0], tau=(0.5,), relative=()).compute()
    rate, low, high = (result[f"total_{name}{end}"] for end in ("", "_low", "_high"))
    assert rate.notnull().all() and (low < rate).any() and (high > rate).any() and (high - low > 0.05).all()


def test_alpha_sigma__covers_the_exponent_where_the_tail_is_all_there_is():
    """At a fixed xmin, as it says; xmin is chosen so that the fit is good, which makes it too small."""
    rng, alpha, out = np.random.default_rng(8), 3.0, np.empty(len(FACTS))
    covered, is_whole = [], []
    for _ in range(400):
        eigenvalues = np.sort((1 - rng.random(60)) ** (-1 / (alpha - 1)))[::-1]
        facts(np.sqrt(eigenvalues), 60, 60, 0.0, out)
        estimate, sigma, xmin = (out[FACTS.index(name)] for name in ("alpha", "alpha_sigma", "xmin"))
        covered.append(abs(estimate - alpha) <= 1.96 * sigma)
        is_whole.append(xmin <= eigenvalues[-6])
    covered, is_whole = np.array(covered), np.array(is_whole)
    assert is_whole.mean() > 0.3 and 0.88 < covered[is_whole].mean() <= 0.99
    assert 0.7 < covered.mean() < 0.97
