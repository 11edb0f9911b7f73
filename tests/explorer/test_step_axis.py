import numpy as np
import pytest

pytest.importorskip("param", reason="the page needs trajlab[explore]")

from trajlab.explorer.step_axis import StepAxis  # noqa: E402


@pytest.mark.parametrize(
    ("steps", "even"),
    [([0, 10, 20, 30], False), ([0, 1, 2, 4, 100], True), ([0, 1, 100], False), ([5], False), ([], False)],
)
def test_step_axis__spaces_snapshots_evenly_where_steps_lie_ever_further_apart(steps, even):
    axis = StepAxis(np.array(steps))
    assert axis.even is even
    if len(steps):
        assert [axis.step(x) for x in axis.x(np.array(steps))] == steps


def test_step__is_the_nearest_recorded_one():
    axis = StepAxis(np.array([0, 10, 20]))
    assert [axis.step(x) for x in (-5, 4, 6, 99)] == [0, 0, 10, 20]


def test_limits__are_half_a_gap_beyond_the_window():
    axis = StepAxis(np.array([0, 10, 20, 30]))
    assert axis.limits(None) == (-5, 35) and axis.limits((10, 20)) == (5, 25)
    assert axis.limits((12, 13)) == (7, 18)  # between snapshots
    assert StepAxis(np.array([7])).limits(None) == (6.5, 7.5)
    even = StepAxis(np.array([0, 1, 2, 4, 100]))
    assert even.limits(None) == (-0.5, 4.5) and even.limits((2, 4)) == (1.5, 3.5)


@pytest.mark.parametrize(
    ("low", "high", "window"), [(5, 25, (10, 20)), (25, 5, (10, 20)), (11, 12, (10, 10)), (-9, 99, (0, 30))]
)
def test_window__holds_the_recorded_steps_between(low, high, window):
    assert StepAxis(np.array([0, 10, 20, 30])).window(low, high) == window
