import math

import numpy as np
import pytest

from trajlab.scan.kernels.pareto_tail import hidden_variance


def test_hidden_variance__none_without_a_sample_or_a_tail():
    x = np.linspace(1.0, 2.0, 100)
    assert hidden_variance(x, 100.0) == 0.0  # all entries are there
    assert hidden_variance(x[:19], 1000.0) == 0.0
    assert hidden_variance(np.repeat([0.0, 5.0], [22, 2]), 1000.0) == 0.0  # the tail would start at 0
    assert hidden_variance(np.ones(100), 1e6) == pytest.approx(0.0, abs=1e-12)  # a tail of slope 0


def test_hidden_variance__by_hand_for_one_entry_beyond_a_flat_row():
    # n = 24, k = 2: the two largest are 1 and e², so the slope is 1; of 2400 entries 200 are beyond the start
    x = np.ones(24)
    x[5] = -(math.e**2)
    second, fourth = (23 + math.e**4) / 24, (23 + math.e**8) / 24
    share = (1 - 0.01) / 24
    shown = math.log1p((fourth / second**2 - 1) * share) / 4
    second, fourth = (
        22 / 24
        + (
            sum((200 / (j + 0.5)) ** power for j in range(16))
            + (200 - 16 * (200 / 16) ** power) / (1 - power)  # ∫ (200/j)^power dj from 16 to 200
        )
        / 2400
        for power in (2, 4)
    )
    whole = math.log1p((fourth / second**2 - 1) * share) / 4
    assert hidden_variance(x, 2400.0) == pytest.approx(max(whole - shown, 0.0), rel=1e-9)
    assert whole > shown


def test_hidden_variance__heavy_tails_hide_more_and_scale_does_not_count(rng):
    normal, heavy = rng.normal(size=1000), rng.standard_cauchy(1000)
    assert hidden_variance(heavy, 1e6) > 10 * hidden_variance(normal, 1e6) >= 0.0
    assert hidden_variance(-1e-20 * heavy, 1e6) == pytest.approx(hidden_variance(heavy, 1e6), rel=1e-6)
