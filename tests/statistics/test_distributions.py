import numpy as np
import pytest
import xarray as xr
from scipy.stats import kurtosis, skew

from trajlab.statistics.distributions import (
    DISTANCES,
    about,
    closed,
    described,
    distribution_parts,
    pooled,
    quantities_of,
    shift_meanings,
)
from trajlab.statistics.result import Sums, expansion


def moments(*samples, numel=None):
    """Return the columns of `Moments` of samples of several parameters."""
    values = [np.asarray(sample, np.float64) for sample in samples]
    finite = [sample[np.isfinite(sample)] for sample in values]

    def column(function):
        return xr.Variable("parameter", [function(sample) if len(sample) else np.nan for sample in finite])

    def power(order):
        return lambda sample: ((sample - sample.mean()) ** order).sum()

    counts = xr.Variable("parameter", [float(len(sample)) for sample in finite])
    columns = {"count": counts, "mean": column(np.mean), "min": column(np.min), "max": column(np.max)}
    columns |= {f"m{order}": column(power(order)) for order in (2, 3, 4)}
    columns["zeros"] = xr.Variable("parameter", [float((sample == 0).sum()) for sample in finite])
    columns["nonfinite"] = xr.Variable(
        "parameter", [float(len(all_) - len(some)) for all_, some in zip(values, finite, strict=True)]
    )
    columns["sampled"] = xr.Variable("parameter", [float(len(sample)) for sample in values])
    columns["numel"] = columns["sampled"] if numel is None else xr.Variable("parameter", np.asarray(numel, float))
    return Sums(**columns)


def test_quantities_of__by_hand():
    """0, 0, 0, 4: mean 1, variance 3, third moment 6, fourth 21."""
    values = quantities_of(moments([0, 0, 0, 4], [-1, np.nan, 1, np.inf], [5, 5]))
    by_hand = {
        "mean": [1, 0, 5], "std": [3**0.5, 1, 0], "skewness": [6 / 3**1.5, 0, np.nan],
        "excess_kurtosis": [21 / 9 - 3, -2, np.nan], "min": [0, -1, 5], "max": [4, 1, 5], "zeros": [3, 0, 0],
        "nonfinite": [0, 2, 0],
    }  # fmt: skip
    for name, expected in by_hand.items():
        np.testing.assert_allclose(values[name], expected, err_msg=name)


@pytest.mark.parametrize(("scale", "known"), [(1e-71, False), (1e-69, True), (1e69, True), (1e71, False)])
def test_quantities_of__shapes_whose_powers_leave_float64_are_unknown(scale, known):
    values = quantities_of(moments(scale * np.array([-1.0, 0, 4])))
    assert bool(np.isfinite(values["skewness"]).all() and np.isfinite(values["excess_kurtosis"]).all()) == known
    np.testing.assert_allclose(values["std"], scale * np.std([-1, 0, 4]))


def test_about__another_mean(rng):
    sample = rng.standard_normal(50)
    second, third, fourth = about(moments(sample), xr.Variable("parameter", [0.7]))
    actual = [float(part.values[0]) for part in (second, third, fourth)]
    np.testing.assert_allclose(actual, [((sample - 0.7) ** order).sum() for order in (2, 3, 4)])


def test_pooled__moments_are_those_of_all_entries_together(rng):
    parts = [rng.standard_normal(40), 3 + 0.1 * rng.standard_normal(9), np.append(rng.random(5), np.inf), []]
    with np.errstate(invalid="ignore"):
        parts_of = moments(*parts)
    together = np.concatenate(parts)
    together = together[np.isfinite(together)]
    whole = pooled(Sums(**{name: part.fillna(0.0) for name, part in vars(parts_of).items()}), "parameter")
    values = quantities_of(whole)
    expected = [together.mean(), together.std(), skew(together), kurtosis(together)]
    np.testing.assert_allclose([values[name] for name in ("mean", "std", "skewness", "excess_kurtosis")], expected)
    assert whole.count == len(together) and whole.nonfinite == 1


def test_pooled__samples_count_for_the_whole_of_their_parameter():
    """2 of 20 entries and all of 2: means 1 and 4 weigh 20 to 2, as do zeros."""
    sums = moments([0.0, 2.0], [4.0, 4.0], numel=[20, 2])
    whole = pooled(sums, "parameter")
    assert whole.count == 22 and whole.zeros == 10
    assert whole.mean == pytest.approx(28 / 22)
    variance = (10 * 2 + 20 * (1 - 28 / 22) ** 2 + 2 * (4 - 28 / 22) ** 2) / 22
    assert whole.m2 / whole.count == pytest.approx(variance)


def test_expansion__of_a_tensor_without_entries_is_1():
    sums = Sums(numel=xr.Variable("parameter", [20.0, 0.0]), sampled=xr.Variable("parameter", [2.0, 0.0]))
    assert expansion(sums).values.tolist() == [10, 1]


def test_distribution_parts__split_columns_as_the_kernel_writes_them():
    columns = xr.DataArray(np.arange(2 + 3 + 8.0)[None], dims=("step", "column"))
    parts = distribution_parts(columns, quantiles=2, bins=3, suffixes=("", "_prev"))
    assert parts["quantiles"].dims == ("step", "quantile") and parts["quantiles"].values.tolist() == [[0, 1]]
    assert parts["histogram"].dims == ("step", "bin") and parts["histogram"].values.tolist() == [[2, 3, 4]]
    assert list(DISTANCES) == ["wasserstein", "ks", "js", "psi"]
    assert [parts[name].item() for name in ("wasserstein", "psi", "wasserstein_prev", "psi_prev")] == [5, 8, 9, 12]


def test_closed__sets_the_outermost_edges_only():
    edges = xr.DataArray([[0.0, 1, 2, 3], [0, 1, 2, 3]], dims=("parameter", "bin_edge"))
    low, high = xr.DataArray([-5.0, -6.0], dims="parameter"), xr.DataArray([9.0, 8.0], dims="parameter")
    assert closed(edges, low, high).values.tolist() == [[-5, 1, 2, 9], [-6, 1, 2, 8]]
    alone = closed(edges[0], xr.DataArray(-1.0), xr.DataArray(7.0))
    assert alone.dims == ("bin_edge",) and alone.values.tolist() == [-1, 1, 2, 7]


def test_meanings__name_the_symbol_the_anchor_and_the_bound():
    of_weights = described("w", ", within 0.4 %")
    assert of_weights["mean"].definition == "Σw / n over finite entries"
    assert of_weights["quantiles"].definition.endswith("order statistics, within 0.4 %")
    shifts = shift_meanings({"": ("the start", "0"), "_prev": ("the step before", "prev")}, " (±1 bin)")
    assert list(shifts) == [name + suffix for suffix in ("", "_prev") for name in DISTANCES]
    assert shifts["ks_prev"].definition == "max|F_t − F_prev| (±1 bin)"
    assert shifts["wasserstein"].long_name == "Wasserstein distance from the start"
    assert not any("(±1 bin)" in shifts[name].definition for name in ("js", "psi"))
