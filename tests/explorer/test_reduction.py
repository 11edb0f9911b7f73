import numpy as np
import pytest

from trajlab.explorer.reduction import COLUMNS, LARGEST, MEAN, SMALLEST, columns, envelope, summary
from trajlab.explorer.step_axis import StepAxis


def test_dense_steps_are_reduced_within_each_column():
    steps = np.arange(COLUMNS * 10.0)
    values = steps[None] % 10
    for way, value in ((MEAN, 4.5), (LARGEST, 9.0), (SMALLEST, 0.0)):
        image = columns(values, steps, -0.5, COLUMNS * 10 - 0.5, way=way)
        assert image.shape == (1, COLUMNS)
        assert np.allclose(image, value)


@pytest.mark.parametrize("way", [MEAN, LARGEST, SMALLEST])
def test_columns_of_irregular_steps_hold_what_lies_in_them(way):
    random = np.random.default_rng(0)
    x = np.unique(random.integers(0, 100_000, 3000)).astype(float)
    values = random.standard_normal((2, len(x)))
    values[random.random(values.shape) < 0.2] = np.nan
    image = columns(values, x, x[0], x[-1] + 1, way=way)
    edges = np.linspace(x[0], x[-1] + 1, COLUMNS + 1)
    for column in range(COLUMNS):
        inside = (x >= edges[column]) & (x < edges[column + 1])
        if inside.sum() > 1:
            assert np.allclose(image[:, column], summary(values[:, inside], way), equal_nan=True)


def test_one_spike_is_in_the_maximum():
    values = np.zeros((1, 5000))
    values[0, 3210] = 7.0
    image = columns(values, np.arange(5000.0), 0, 4999, way=LARGEST)
    assert image.max() == 7 and (image == 7).sum() == 1


def test_sparse_steps_fill_the_columns_that_are_nearest_to_them():
    image = columns(np.array([[1.0, 2.0, 3.0]]), np.array([0.0, 10.0, 40.0]), 0.0, 40.0)
    changes = np.flatnonzero(np.diff(image[0])) / COLUMNS * 40
    assert np.allclose(changes, [5, 25], atol=0.2)


def test_nan_is_left_out_of_a_column_unless_all_is_nan():
    assert summary(np.array([[np.nan, 2.0], [np.nan, np.nan]]), MEAN).tolist()[0] == 2.0
    assert np.isnan(summary(np.array([[np.nan, np.nan]]), MEAN))
    assert summary(np.array([[np.nan, 2.0, 5.0]]), LARGEST) == 5


def test_inf_hides_no_finite_value_in_a_mean_and_is_the_maximum():
    """A bias that began at 0 moved infinitely far relative to its start; the weights of its block did not."""
    values = np.array([[np.inf, 2.0], [np.inf, np.nan]])
    assert summary(values, MEAN).tolist() == [2.0, np.inf]
    assert np.isinf(summary(values, LARGEST)).all()


def test_a_single_step_fills_the_map():
    assert (columns(np.array([[3.0]]), np.array([5.0]), 4.5, 5.5) == 3).all()


def test_an_envelope_keeps_all_extremes_and_gaps():
    random = np.random.default_rng(0)
    y = random.standard_normal(5000)
    y[1000:1100] = np.nan
    x, thin = envelope(np.arange(5000), y, intervals=100)
    assert len(x) <= 200
    assert np.nanmax(thin) == np.nanmax(y) and np.nanmin(thin) == np.nanmin(y)
    assert np.isnan(thin).any()
    assert np.array_equal(thin, y[x], equal_nan=True)
    assert (np.diff(x) > 0).all()


def test_a_short_line_is_left_as_it_is():
    x, y = np.arange(3), np.array([1.0, np.nan, 2.0])
    assert envelope(x, y)[1] is y


def test_an_axis_is_one_of_steps_where_they_are_regular():
    axis = StepAxis(np.arange(0, 100, 10))
    assert not axis.even
    assert axis.x(35) == 35 and axis.step(37) == 40
    assert axis.limits(None) == (-5, 95) and axis.limits((20, 40)) == (15, 45)
    assert axis.window(18, 61) == (20, 60) and axis.window(33, 34) == (30, 30)


def test_an_axis_spaces_snapshots_evenly_where_steps_lie_ever_further_apart():
    axis = StepAxis(np.array([0, 1, 2, 4, 8, 512, 1000]))
    assert axis.even
    assert axis.x(512) == 5 and axis.x(260) == 4.5
    assert axis.step(5.2) == 512
    assert axis.window(0.9, 4.4) == (1, 8)


@pytest.mark.parametrize("steps", [[], [7]])
def test_an_axis_of_no_step_or_one(steps):
    axis = StepAxis(np.array(steps))
    low, high = axis.limits(None)
    assert low < high
    assert axis.step(100.0) == (steps or [0])[0]
