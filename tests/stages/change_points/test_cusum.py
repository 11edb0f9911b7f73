"""The online detector: known answers, its rate of false alarms, and corner cases."""

import numpy as np
import pytest
from scipy import stats

from trajlab.stages.change_points.cusum import ALLOWANCE, ESTIMATED, Cusum, limit_of


def alarms_of(series, **settings):
    """Return at which steps each series raises an alarm, (step, series)."""
    cusum = Cusum(**({"run_length": 1e4} | settings))
    return np.array([cusum.update(values) for values in series])


def noise(kind, steps, count, seed=1):
    shocks = np.random.default_rng(seed).standard_normal((steps, count))
    if kind == "random walk":
        return shocks.cumsum(0)
    if kind.startswith("AR"):
        values = np.zeros_like(shocks)
        for step in range(1, steps):
            values[step] = float(kind[2:]) * values[step - 1] + shocks[step]
        return values
    trend = 60 * np.exp(-np.arange(steps) / 300)[:, None] if kind == "decay" else 0.0
    return shocks + trend


@pytest.mark.parametrize("run_length", [200.0, 1e4, 1e6])
def test_the_limit_is_that_of_a_markov_chain(run_length):
    """Brook and Evans 1972: the average run length of one side by the states of its sum; of both sides half of it."""
    allowance, limit, states = ALLOWANCE - ESTIMATED, limit_of(run_length), 400
    width = 2 * limit / (2 * states - 1)
    middles = np.arange(states) * width
    edges = np.arange(states)[None] * width + width / 2 - middles[:, None] + allowance
    inside = np.diff(stats.norm.cdf(edges), axis=1, prepend=0.0)
    lengths = np.linalg.solve(np.eye(states) - inside, np.ones(states))
    assert lengths[0] / 2 == pytest.approx(run_length, rel=0.1)


@pytest.mark.parametrize("kind", ["white noise", "AR0.5", "AR0.9", "random walk"])
def test_false_alarms_are_no_more_frequent_than_stated(kind):
    steps, count, run_length = 300, 200, 500.0
    alarms = alarms_of(noise(kind, steps, count) - 100, run_length=run_length, smallest=1e-9).sum()
    assert alarms <= stats.poisson.ppf(0.99, steps * count / run_length)
    assert alarms > 0, "a detector that never fires passes all else"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["white noise", "AR0.5", "AR0.9", "random walk", "decay"])
def test_rare_false_alarms_are_no_more_frequent_than_stated(kind):
    steps, count, run_length = 1000, 600, 1e4
    alarms = alarms_of(noise(kind, steps, count) - 100, run_length=run_length, smallest=1e-9).sum()
    assert alarms <= stats.poisson.ppf(0.99, steps * count / run_length)


def test_a_shift_that_stays_is_found_soon_and_an_outlier_is_none():
    series = noise("white noise", 160, 100) - 100
    series[100, :] += 30
    assert not alarms_of(series[:130]).any(), "one outlier is no change of level"
    shifted = noise("white noise", 160, 100, seed=2) - 100
    shifted[100:] += 3
    first = alarms_of(shifted).argmax(0)
    assert np.median(first) < 110 and (first >= 100).mean() > 0.95


@pytest.mark.parametrize("kind", ["AR0.9", "random walk"])
def test_a_jump_of_strongly_correlated_noise_is_found_and_a_spike_is_none(kind):
    """Its errors say it once: a CUSUM alone, which counts an error as 3 deviations at most, finds a third of them."""
    series = noise(kind, 140, 100, seed=3) - 100
    spikes, jumps = series.copy(), series.copy()
    spikes[100] += 12
    jumps[100:] += [8, -8] * 50
    calm = ~alarms_of(series)[:125].any(0)
    cusum = Cusum(run_length=1e4)
    found = np.zeros(100, bool)
    for step, values in enumerate(jumps[:110]):
        alarms = cusum.update(values)
        if step >= 100:
            right = (cusum.side == [1, -1] * 50) & (abs(step + 1 - cusum.length - 100) <= 1)
            found |= alarms & right
    assert found[calm].mean() > 0.9
    assert alarms_of(spikes)[100:125].any(0)[calm].mean() < 0.1


def test_side_and_length_say_how_and_since_when():
    series = noise("white noise", 120, 2) - 100
    series[100:] += [5, -5]
    cusum = Cusum(run_length=1e4)
    step = next(step for step, values in enumerate(series) if cusum.update(values).any())
    assert cusum.side.tolist() == [1, -1]
    assert abs(step + 1 - cusum.length - 100).max() <= 5


def test_a_factor_counts_in_series_without_negative_values():
    """The same factor, at whatever size of the series, whose smallest deviation is one in a hundred."""
    factors = np.where(np.arange(80) < 60, 1.0, 1.1)[:, None] * [1e-20, 0.7, 1234.5]
    first = alarms_of(factors).argmax(0)
    assert len(set(first.tolist())) == 1 and 60 < first[0] < 70
    assert not alarms_of(np.where(np.arange(80) < 60, 1.0, 1.0005)[:, None]).any()


def test_the_past_is_learned_anew_after_an_alarm():
    series = noise("white noise", 200, 50) - 100
    series[100:] += 5
    assert (alarms_of(series).sum(0) == 1).all()


def test_series_alone_or_together_and_with_gaps_are_the_same():
    series = noise("white noise", 150, 3)
    series[100:, 1] += 5
    together = alarms_of(series)
    assert np.array_equal(together[:, 1], alarms_of(series[:, 1:2])[:, 0])
    with_gaps = np.full((300, 3), np.nan)
    with_gaps[::2] = series
    with_gaps[1::4, 0] = np.inf
    assert np.array_equal(alarms_of(with_gaps)[::2], together) and not alarms_of(with_gaps)[1::2].any()


@pytest.mark.parametrize(
    "series",
    [np.zeros(100), np.full(100, 3.0), np.arange(100.0), np.full(100, np.nan), -np.arange(100.0)],
    ids=["zeros", "threes", "rising", "missing", "falling"],
)
def test_what_has_no_noise_raises_no_alarm(series):
    assert not alarms_of(series[:, None]).any()


def test_zeros_that_end_are_a_change_and_a_counter_is_none():
    assert alarms_of(np.where(np.arange(80) < 60, 0.0, 0.5)[:, None])[60:75].any()
    assert not alarms_of(np.arange(150)[:, None] // 60).any()


def test_new_series_may_join():
    cusum = Cusum(run_length=100.0)
    assert cusum.update(np.ones(1)).shape == (1,) and cusum.update(np.ones(3)).shape == (3,)
