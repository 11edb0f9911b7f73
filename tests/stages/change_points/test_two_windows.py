import numpy as np
import ruptures

from trajlab.stages.change_points.two_windows import CURVE, shifts


def test_shifts__are_t_statistics_of_least_squares(rng):
    """Against numpy's least squares with all columns at once."""
    values, width = rng.standard_normal(120).cumsum() * 0.02 + rng.standard_normal(120), 20
    tested = shifts(values, width=width, smallest=1e-9, rate=0.01)
    window = values[50 - width : 50 + width]
    position = np.linspace(-1, 1, 2 * width)
    side = np.arange(2 * width) >= width
    kink = np.maximum(0, np.arange(2 * width) - width + 0.5)
    for columns, value in (([side], tested.level[50]), ([side, kink], tested.slope[50])):
        design = np.column_stack([*(position**power for power in range(CURVE + 1)), *columns])
        solution, residual, *_ = np.linalg.lstsq(design, window, rcond=None)
        error = np.sqrt(residual[0] / (2 * width - design.shape[1]) * np.linalg.inv(design.T @ design)[-1, -1])
        ratio = solution[-1] / error / value
        assert 1.0 - 1e-9 < ratio < 1.6  # 1 if residuals are uncorrelated, else the inflation for their correlation
    assert tested.limit > 3


def test_shifts__find_the_same_jumps_as_binary_segmentation(rng):
    """ruptures tests a level that is constant between jumps."""
    values = rng.standard_normal(400) + 8.0 * (np.arange(400) >= 130) - 9.0 * (np.arange(400) >= 290)
    tested = shifts(values, width=25, smallest=1e-9, rate=1e-5)
    peaks = [int(np.nanargmax(np.abs(tested.level[a:b]))) + a for a, b in ((60, 200), (220, 360))]
    reference = ruptures.Binseg(model="l2").fit(values).predict(n_bkps=2)[:-1]
    assert peaks == [130, 290] and np.abs(np.subtract(reference, peaks)).max() <= 1
    assert np.abs(tested.level[peaks]).min() > tested.limit


def test_shifts__a_curve_is_no_change(rng):
    curve = np.exp(-np.arange(300) / 40) + 1e-4 * rng.standard_normal(300)
    tested = shifts(np.log(0.1 + curve), width=25, smallest=0.01, rate=1e-5)
    assert np.nanmax(np.abs(tested.level)) < tested.limit and np.nanmax(np.abs(tested.slope)) < tested.limit


def test_shifts__short_series_are_unknown():
    assert np.isnan(shifts(np.arange(9.0), width=25, smallest=0.1, rate=0.01).level).all()
