import numpy as np
import pytest
import xarray as xr

from tests.replays.observers.folding import layer
from trajlab.replays.observe import observe
from trajlab.replays.observers.observer import Objective, Observer
from trajlab.replays.observers.pooled import Pooled


def test_layer__knows_its_units_on_any_axis():
    tokens = layer(shape=(7, 3), dims=("position", "unit"))
    assert (tokens.unit_axis, tokens.units, layer(shape=(4, 9, 9), dims=("unit", "y", "x")).units) == (1, 3, 4)


def test_objectives__that_are_equal_share_a_pass():
    assert len({Objective(), Objective("loss"), Objective("logit"), Objective("unit", "fc", (1,))}) == 3


@pytest.mark.parametrize("verb", ["outputs", "start", "add", "finish"])
def test_observer__each_verb_has_to_be_given(verb):
    arguments = {"outputs": ([], 1), "start": ([], 1), "add": (None, 0, None), "finish": (None,)}[verb]
    with pytest.raises(NotImplementedError):
        getattr(Observer(), verb)(*arguments)


def test_observe__takes_arrays_as_it_takes_a_replay(rng):
    values = rng.standard_normal((2, 5, 3, 4))
    array = xr.DataArray(values, {"step": [0, 7]}, ("step", "sample", "unit", "x"))
    means = observe({"conv": array}, Pooled())["conv"]
    np.testing.assert_allclose(means, values.mean(3))
    assert means.dims == ("step", "sample", "unit") and means.step.values.tolist() == [0, 7]
