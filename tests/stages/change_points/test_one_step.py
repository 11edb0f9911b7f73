import numpy as np
from scipy import stats

from trajlab.stages.change_points.one_step import CLIP, CLIPPED, LEVEL, NORMAL, surprise


def test_surprise__is_what_a_loop_over_the_past_computes(rng):
    """Written out again with numpy's median, one value at a time."""
    values, window = rng.standard_normal(90).cumsum() * 0.3 + rng.standard_normal(90), 40
    actual = surprise(values, window=window, smallest=0.01, rate=1e-3)

    def robust(residuals):
        center = np.median(residuals)
        bound = CLIP * NORMAL * np.median(abs(residuals - center))
        return center, np.sqrt(np.mean(np.clip(residuals - center, -bound, bound) ** 2) / CLIPPED)

    for i in (25, 45, 89):
        choices = []
        for predict in (lambda t: np.median(values[t - LEVEL : t]), lambda t: values[t - 1]):
            first = LEVEL if predict(LEVEL) != values[LEVEL - 1] else 1
            past = np.array([values[t] - predict(t) for t in range(first, i)])
            center, spread = robust(past[-window:])
            spread = max(spread, robust(past[-20:])[1], 0.01)
            choices.append((values[i] - predict(i) - center) / spread)
        np.testing.assert_allclose(actual.deviation[i], max(choices, key=abs), rtol=1e-9)
    assert np.isnan(actual.deviation[: LEVEL + 1]).all() and np.isfinite(actual.deviation[21:]).all()


def test_surprise__a_jump_that_the_last_value_foretells_is_still_far_from_the_level(rng):
    values = rng.standard_normal(200)
    values[150:] += 12.0
    deviation = surprise(values, window=50, smallest=1e-9, rate=1e-3).deviation
    assert deviation[150:153].min() > 5 and abs(deviation[170:]).max() < 5


def test_surprise__limits_rise_with_the_rarity_and_fall_with_the_past():
    values = np.random.default_rng(1).standard_normal(200)
    often, seldom = (surprise(values, window=50, smallest=0.01, rate=rate).limit for rate in (1e-2, 1e-6))
    assert (seldom > often).all() and (np.diff(often) <= 0).all()
    assert often[-1] > stats.norm.isf(1e-2 / 4)
