import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from trajlab.stages.change_points.events import JUMP, NONFINITE, SLOPE, SPIKE, SPREAD, Watch, changes

WATCH = Watch(window=50, smallest=0.01, rate=0.01)


def found(values, watch=WATCH):
    return [(change.position, change.kind) for change in changes(values, watch)]


@pytest.fixture
def noise(rng):
    return 0.1 * rng.standard_normal(300)


def test_changes__a_spike_comes_back_and_a_jump_stays(noise):
    spike, jump = np.exp(noise), np.exp(noise)
    spike[150:152] *= 20
    jump[150:] *= 20
    assert found(spike) == [(150, SPIKE)] and found(jump) == [(150, JUMP)]
    assert changes(spike, WATCH)[0].after == pytest.approx(20, rel=0.5)
    (change,) = changes(jump, WATCH)
    assert change.score > 10 and change.after / change.before == pytest.approx(20, rel=0.2)


@pytest.mark.parametrize("level", [0.05, -0.05])
def test_changes__the_return_of_a_spike_is_no_change_of_its_own(level):
    values = np.full(180, level)
    values[100] = 100 * level
    assert found(values) == [(100, SPIKE)]


def test_changes__a_jump_after_a_spike_is_no_return():
    values = np.full(180, 0.05)
    values[100] = 5.0
    values[108:] = 5e-6
    assert found(values) == [(100, SPIKE), (108, JUMP)]


def test_changes__a_fall_to_zero_is_a_jump_and_a_return_is_another(noise):
    values = np.exp(noise)
    values[150:200] = 0.0
    events = changes(values, WATCH)
    assert [(event.position, event.kind, event.score > 0) for event in events] == [
        (150, JUMP, False),
        (200, JUMP, True),
    ]
    assert events[0].after == 0.0


@pytest.mark.parametrize("count", [20, 96, 951])
def test_changes__a_schedule_on_a_line_to_zero_has_none_but_its_bends(count):
    falling = 1e-3 * np.linspace(1.0, 0.0, count)
    assert found(falling) == []
    at = 3 * count // 4
    dropped = np.concatenate([falling[:at], falling[at:] / 10])
    assert found(dropped)[0] == (at, JUMP)


def test_changes__small_jumps_and_another_spread_show_over_a_window(noise):
    small = noise.copy()
    small[150:] += 0.6  # six standard deviations, less than one outlier needs
    wide = noise * np.where(np.arange(300) < 150, 1.0, 30.0)
    assert [kind for _, kind in found(small)] == [JUMP] and abs(found(small)[0][0] - 150) <= 2
    assert {kind for _, kind in found(wide)} & {SPREAD, SPIKE}


def test_changes__a_walk_that_begins_to_drift_changes_its_slope(rng):
    steps = rng.standard_normal(300)
    steps[150:] += 6.0
    events = found(-100 + steps.cumsum())
    assert events and all(kind in (SLOPE, JUMP) for _, kind in events)
    assert min(abs(position - 150) for position, _ in events) <= 5


def test_changes__inf_is_named_where_it_begins_and_nan_is_a_gap(noise):
    values = np.exp(noise)
    values[[100, 101, 200]] = np.inf
    values[50:60] = np.nan
    assert found(values) == [(100, NONFINITE), (200, NONFINITE)]


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [np.nan] * 9, [3.0] * 200, range(200), np.arange(200) // 20])
def test_changes__nothing_is_said_of_few_values_constants_and_counters(values):
    assert found(np.array(values, float)) == []


def test_changes__scale_with_the_series(noise):
    values = np.exp(noise)
    values[150:] *= 5
    for factor in (1e-20, 1e20):
        assert found(factor * values) == found(values)
    assert found(-values) == found(-1e6 * values)


@given(st.lists(st.one_of(st.floats(), st.integers(-5, 5).map(float)), max_size=120))
def test_changes__take_any_values(values):
    with np.errstate(all="ignore"):
        events = changes(np.array(values, float), WATCH)
    assert [event.position for event in events] == sorted(event.position for event in events)
    assert all(0 <= event.position < len(values) for event in events)


NOISES = {
    "white": lambda rng: rng.standard_normal(400),
    "walk": lambda rng: rng.standard_normal(400).cumsum(),
    "autoregressive": lambda rng: lfilter([1], [1, -0.5], rng.standard_normal(400)),
    "slow": lambda rng: lfilter([1], [1, -0.9], rng.standard_normal(400)),
    "about a falling loss": lambda rng: np.exp(0.3 * rng.standard_normal(400)) * (0.05 + np.exp(-np.arange(400) / 60)),
}


def alarms(kind, runs, rate):
    rng = np.random.default_rng(0)
    return sum(bool(changes(NOISES[kind](rng), Watch(50, 0.01, rate))) for _ in range(runs))


@pytest.mark.parametrize("kind", NOISES)
def test_changes__false_alarms_are_as_rare_as_stated(kind):
    assert alarms(kind, 40, 0.05) <= 5  # at most 2 are expected; more than 5 have a probability of 0.014


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISES)
def test_changes__false_alarms_are_as_rare_as_stated_in_many_runs(kind):
    runs = 2000
    assert alarms(kind, runs, 0.05) / runs <= 0.05
