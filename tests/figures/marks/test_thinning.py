import numpy as np
import pytest

from trajlab.figures.marks.thinning import COLUMNS, thinned_band, thinned_line


def columns(steps):
    return (steps * COLUMNS) // 20_000


@pytest.fixture
def series(rng):
    values = rng.standard_normal(20_000).cumsum()
    values[7], values[5000:5100] = 1e3, np.nan
    return np.arange(20_000), values


def test_thinned_line__keeps_what_each_column_of_pixels_shows(series):
    steps, values = series
    kept_steps, kept = thinned_line(steps, values)
    assert len(kept) <= 8 * COLUMNS < len(steps) and (np.diff(kept_steps) > 0).all()
    np.testing.assert_array_equal(kept, values[kept_steps])
    for column in (0, 3, 500, COLUMNS - 1):
        of_all, of_kept = values[columns(steps) == column], kept[columns(kept_steps) == column]
        assert (np.nanmin(of_kept), np.nanmax(of_kept)) == (np.nanmin(of_all), np.nanmax(of_all))
    assert (kept_steps[0], kept_steps[-1]) == (0, 19_999)
    assert np.isnan(kept[(kept_steps > 5030) & (kept_steps < 5070)]).all()


def test_thinned_band__reaches_as_far_in_each_column(series):
    steps, values = series
    at, low, high = thinned_band(steps, values - 1, values + 2)
    assert len(at) <= 4 * COLUMNS and (np.diff(at) >= 0).all() and (at[0], at[-1]) == (0, 19_999)
    for column in (0, 400, COLUMNS - 1):
        whole, shown = columns(steps) == column, columns(at) == column
        assert np.nanmin(low[shown]) == np.nanmin(values[whole]) - 1
        assert np.nanmax(high[shown]) == np.nanmax(values[whole]) + 2


def test_thinning__leaves_short_series_alone(series):
    steps, values = (array[:2000] for array in series)
    assert thinned_line(steps, values)[1] is values and thinned_band(steps, values, values)[1] is values
