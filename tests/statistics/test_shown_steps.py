import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from trajlab.errors import BadSetting, MissingData
from trajlab.statistics.shown_steps import evenly, shown_steps

SERIES = xr.DataArray(np.zeros(5), {"step": [7, 10, 20, 30, 40]}, "step")


@given(count=st.integers(0, 60), most=st.integers(1, 20))
def test_evenly__has_the_first_and_the_last_and_equal_gaps_between(count, most):
    positions = evenly(count, most)
    assert positions == sorted(set(positions)) and len(positions) == (min(count, len(positions)) or 0) <= most
    if count and most > 1:
        assert (positions[0], positions[-1]) == (0, count - 1)
        gaps = np.diff(positions)
        assert len(set(gaps[:-1].tolist())) <= 1 and (len(gaps) < 2 or gaps[-1] <= gaps[0])
    assert not count or positions[-1] == count - 1


@pytest.mark.parametrize(("steps", "positions"), [([40, 10, 40], [1, 4]), ([0], [0]), ([7, 0], [0]), ([-1], [4])])
def test_shown_steps__rise_and_are_shown_once(steps, positions):
    assert shown_steps(SERIES, steps, 1) == positions


def test_shown_steps__says_what_is_wrong():
    with pytest.raises(BadSetting, match="max_steps=0"):
        shown_steps(SERIES, [], 0)
    with pytest.raises(MissingData, match="15"):
        shown_steps(SERIES, [15], 3)
