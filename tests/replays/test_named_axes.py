import pytest
import torch

from tests.replays.test_trace import Mixed
from trajlab.errors import BadSetting
from trajlab.replays.layers import layer_of
from trajlab.replays.named_axes import axis_named
from trajlab.replays.trace import trial


@pytest.fixture(scope="module")
def calls():
    return trial(Mixed().eval(), torch.zeros(2, 1, 5, 5)).calls


@pytest.mark.parametrize(
    ("entries", "axis"),
    [
        (["-1"], 2),
        (["1"], 0),
        (["relu*=-2"], None),
        (["conv=3", "con*=2"], 1),
        (["7"], None),
        ([], None),
        ([" conv = 2"], None),
    ],
)
def test_axis_named__the_last_that_fits_holds(calls, entries, axis):
    conv = next(call for call in calls if call.key.name == "conv")
    assert axis_named(conv, entries) == axis
    named = layer_of(conv, calls, entries)
    assert named.unit_axis == (0 if axis is None else axis)


@pytest.mark.parametrize(
    ("entry", "words"),
    [("conv=x", "'conv=x': write AXIS"), ("conv=4", "conv has 4 axes.*1 to 3"), ("conv=0", "1 to 3")],
)
def test_axis_named__says_which_axes_there_are(calls, entry, words):
    with pytest.raises(BadSetting, match=words):
        axis_named(next(call for call in calls if call.key.name == "conv"), [entry])
