"""By hand; what they cover is simulated in tests/stages/test_standard_errors.py."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from trajlab.scan.kernels.transition_errors import COVARIANCES
from trajlab.statistics.result import Meaning, Sums
from trajlab.statistics.standard_errors import (
    NORMAL_95,
    Rate,
    estimated_entries,
    linear_error,
    moment_errors,
    rate_errors,
    rate_meanings,
    root_error,
    share_error,
    total_error,
    with_errors,
    with_rate_errors,
)


def column(*values):
    return xr.Variable("parameter", np.array(values, float))


SIZES = {"numel": column(10, 4), "sampled": column(5, 4)}


def rate(part, whole, variance):
    """A rate of a count whose variance is given, in a whole that is certain."""
    zero = column(*np.zeros(len(part)))
    return Rate(column(*part), column(*whole), column(*variance), zero, zero)


def test_total_error__is_the_spread_over_all_samples_that_could_be_drawn():
    values = np.array([1.0, 4.0, 4.0, 9.0, -2.0])
    estimates, variances = [], []
    for chosen in combinations(values, 2):
        sums = Sums(numel=xr.Variable((), 5.0), sampled=xr.Variable((), 2.0))
        first, second = xr.Variable((), sum(chosen)), xr.Variable((), sum(np.square(chosen)))
        estimates.append(5 / 2 * sum(chosen))
        variances.append(float(total_error(first, second, sums)) ** 2)
    assert np.mean(variances) == pytest.approx(np.mean((np.array(estimates) - values.sum()) ** 2))


def test_total_error__is_0_where_all_was_recorded_and_unknown_where_the_sum_is():
    second = column(30, np.nan)
    errors = total_error(column(10, 1), second, Sums(**SIZES))
    np.testing.assert_allclose(errors, [np.sqrt(10**2 * 0.5 * (30 - 20) / 4 / 5), np.nan])
    assert total_error(column(10, 1), column(30, 1), Sums(**SIZES))[1] == 0
    whole = total_error(column(10, 1), column(30, 1), Sums(**SIZES), total=True)
    assert whole == pytest.approx(5) and not whole.dims


def test_linear_error__adds_covariances_twice():
    """Var(2a − b) = 4·9 − 4·1 + 1·4; of two parameters variances add up; rounding below 0 is 0."""
    sums = Sums(a_a=column(9, 1), a_b=column(1, 2), b_b=column(4, 4))
    np.testing.assert_allclose(linear_error(sums, {"a": 2.0, "b": -1.0}) ** 2, [36, 0])
    assert linear_error(sums, {"a": 2.0, "b": -1.0}, total=True) == pytest.approx(6)
    unlikely = Sums(a_a=column(1), a_b=column(1 + 1e-9), b_b=column(1))
    assert linear_error(unlikely, {"a": 1.0, "b": -1.0}) == 0


def test_total_error__of_a_single_entry_is_unknown_and_leaves_the_whole_unknown():
    sizes = {"numel": column(10, 4), "sampled": column(1, 4)}
    first, second = column(0.1, 3), column(0.1 * 0.1 + 1e-18, 9)  # rounding is no variance
    np.testing.assert_array_equal(total_error(first, second, Sums(**sizes)), [np.nan, 0])
    assert np.isnan(total_error(first, second, Sums(**sizes), total=True))
    unknown = Sums(a_a=column(np.nan, 4))
    assert np.isnan(linear_error(unknown, {"a": 1.0}, total=True))
    recorded = xr.Variable("parameter", [False, True])
    assert linear_error(unknown, {"a": 1.0}, total=True, recorded=recorded) == 2  # the other is no part of the total


def test_share_error__is_that_of_the_residuals_of_a_ratio():
    """2 of 4 finite ones among 5 of 10 entries; all of a second parameter is known."""
    actual = share_error(column(2, 1), column(4, 4), Sums(**SIZES))
    spread = (2 * 0.5**2 + 2 * 0.5**2) / 4
    np.testing.assert_allclose(actual, [np.sqrt(10**2 * 0.5 * spread / 5) / 8, 0])
    share = 5 / 12
    spread = (2 * (1 - share) ** 2 + 2 * share**2 - (2 - share * 4) ** 2 / 5) / 4
    whole = share_error(column(2, 1), column(4, 4), Sums(**SIZES), total=True)
    assert whole == pytest.approx(np.sqrt(10**2 * 0.5 * spread / 5) / 12)
    assert np.isnan(share_error(column(1, 1), column(1, 4), Sums(numel=column(9, 4), sampled=column(1, 4)), total=True))


def test_root_error__of_0_is_0():
    np.testing.assert_array_equal(root_error(column(4, 0, np.nan), column(2, 0, 1)), [1, 0, np.nan])
    assert root_error(column(1), column(0)) == np.inf


def test_moment_errors__of_the_mean_divide_by_the_estimated_entries():
    """Values about their center 3 have covariances of totals; the estimated mean is 3, with 8 of 10 entries finite."""
    covariances = {
        f"{a}_{b}": column(0.0) for a in ("one", "deviation", "square") for b in ("one", "deviation", "square")
    }
    covariances |= {"deviation_deviation": column(16.0), "square_square": column(64.0)}
    sums = Sums(**covariances, center=column(3), count=column(4), numel=column(10), sampled=column(5))
    of_mean, of_variance = moment_errors(sums, column(3.0), column(0.0))
    assert estimated_entries(sums) == 8 and of_mean == pytest.approx(4 / 8) and of_variance == pytest.approx(1)
    shifted, spread = moment_errors(sums, column(2.0), column(0.0))  # (x−2)² = (x−3)² + 2(x−3) + 1
    assert shifted == pytest.approx(4 / 8) and spread == pytest.approx(np.sqrt(64 + 4 * 16) / 8)


def test_rate_errors__of_a_simple_sample_are_those_of_wilson():
    """3 of 10 sampled of a million: without population correction to speak of."""
    sums = Sums(numel=column(1e6), sampled=column(10))
    scale = 1e5
    variance = scale**2 * 10 * 0.3 * 0.7
    actual = rate_errors("r", rate([3], [10], [variance]), sums)
    z2 = NORMAL_95**2
    center = (0.3 + z2 / 20) / (1 + z2 / 10)
    half = NORMAL_95 * np.sqrt(0.21 / 10 + z2 / 400) / (1 + z2 / 10)
    assert actual["r_se"] == pytest.approx(np.sqrt(0.021))
    np.testing.assert_allclose([actual["r_low"], actual["r_high"]], np.c_[[center - half, center + half]], rtol=1e-4)


def test_rate_errors__where_all_was_recorded_are_0_and_the_rate_itself():
    actual = rate_errors("r", rate([1, 1], [4, 4], [9.0, 9.0]), Sums(**SIZES))
    assert actual["r_se"][1] == 0 and actual["r_low"][1] == actual["r_high"][1] == 0.25
    assert actual["r_low"][0] < 0.25 < actual["r_high"][0]


def test_rate_errors__of_nothing_are_unknown_and_of_none_or_all_keep_an_interval():
    actual = rate_errors("r", rate([0, 0], [0, 4], [0, 0]), Sums(**SIZES))
    assert np.isnan([actual[f"r_{end}"][0] for end in ("se", "low", "high")]).all()
    few = rate_errors("r", rate([0], [5], [0]), Sums(numel=column(10), sampled=column(5)))
    assert (few["r_se"], few["r_low"]) == (0, 0) and 0.1 < few["r_high"] < 0.5
    all_of = rate_errors("r", rate([5], [5], [0]), Sums(numel=column(10), sampled=column(5)))
    np.testing.assert_allclose(all_of["r_low"], 1 - few["r_high"])


def test_rate_errors__of_all_parameters_weigh_them_by_their_entries():
    actual = rate_errors("r", rate([1, 4], [5, 4], [9.0, 0]), Sums(**SIZES), total=True)
    assert actual["r_se"] == pytest.approx(3 / 14)
    assert actual["r_low"] < (2 + 4) / 14 < actual["r_high"]


def test_with_errors__of_whole_tensors_are_0():
    table = xr.Dataset({"flips": (("parameter", "step"), [[1.0, np.nan]])})
    errors = with_errors(table, [], ["flips_flips"])
    np.testing.assert_array_equal(errors.flips_flips, [[0, np.nan]])


def test_with_rate_errors__adds_totals_where_there_are_parameters():
    table = xr.Dataset({"part": ("parameter", [1.0, 1.0]), "whole": ("parameter", [5.0, 4.0])})
    table = table.assign(numel=("parameter", [10.0, 4.0]), sampled=("parameter", [5.0, 4.0]))

    table = table.assign({f"flip_rate_{which}": 0.0 * table.part for which in COVARIANCES})

    def counts(sums):
        return {"flip_rate": (sums.part, sums.whole)}

    result = with_rate_errors(xr.Dataset(), counts, table)
    ends = ("se", "low", "high")
    names = {f"flip_rate_{end}" for end in ends}
    assert set(result) == names | {f"total_{name}" for name in names} and not result.total_flip_rate_low.dims
    alone = with_rate_errors(xr.Dataset(), counts, table.isel(parameter=0))
    assert set(alone) == names and alone.flip_rate_low == result.flip_rate_low[0]
    described = rate_meanings("flip_rate", Meaning("flip rate", "1", "", share=True))
    assert set(described) == names and [described[f"flip_rate_{end}"].share for end in ends] == [False, True, True]
