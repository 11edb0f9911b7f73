import numpy as np
import pytest
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.stages.gradient_statistics.epochs import calendar


def metrics(steps, epochs):
    return xr.Dataset({"epoch": ("step", epochs)}, {"step": steps})


@pytest.mark.parametrize(
    ("known", "epochs", "expected"),
    [
        (range(6), [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]),
        ([0, 2, 4], [3, 4, 5], [3, 3, 4, 4, 5, 5]),
        ([0, 5], [0.0, 2.5], [0, 0, 1, 1, 2, 2]),
        ([2, 3], [1, np.nan], [1] * 6),
        ([], [], [0] * 6),
    ],
)
def test_calendar__from_the_metric(known, epochs, expected):
    actual = calendar(np.arange(6), metrics(np.array(known, int), np.array(epochs, float)), 0)
    assert np.repeat(actual.numbers, np.diff([*actual.starts, 6])).tolist() == expected


def test_calendar__the_setting_goes_first_and_gaps_are_no_matter():
    actual = calendar(np.array([0, 3, 11, 12, 29]), metrics([0], [7]), 10)
    assert (actual.numbers.tolist(), actual.starts.tolist()) == ([0, 1, 2], [0, 2, 4])
    assert actual.source == "steps_per_epoch"


def test_calendar__a_negative_epoch_makes_no_sense():
    with pytest.raises(BadSetting, match="steps_per_epoch=-1"):
        calendar(np.arange(3), None, -1)
