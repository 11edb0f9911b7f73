import dask.array as da
import numpy as np
import pytest
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.feature_matrices import chosen_steps, matrices, replay_layers, units_of, units_slice

SERIES = xr.DataArray(np.zeros(5), {"step": [0, 10, 20, 30, 40]}, "step")


def layers(**units):
    return {name: xr.DataArray(np.zeros((1, 2, n)), dims=("step", "sample", "unit")) for name, n in units.items()}


def test_replay_layers__of_a_network_without_activations_is_its_output():
    asked = []

    def replay(layers=None, probe=None):
        asked.append((layers, probe))
        return {} if layers is None else {name: None for name in layers}

    assert list(replay_layers(replay, [], probe=3)) == [""]
    assert list(replay_layers(replay, ("a", "b"))) == ["a", "b"]
    assert asked == [(None, 3), ([""], 3), (["a", "b"], None)]


def test_units_slice__counts_the_units_of_the_layers_before():
    units = units_of(layers(conv=4, fc=3) | layers(**{"": 2}))
    assert units == {"conv": 4, "fc": 3, "output": 2}
    assert units_slice(units, "fc") == slice(4, 7) and units_slice(units, "output") == slice(7, 9)
    with pytest.raises(BadSetting, match="'relu'.*conv, fc, output"):
        units_slice(units, "relu")


def test_chosen_steps__are_evenly_spaced_ones_and_those_asked_for():
    assert chosen_steps(SERIES, 2, [30, 0]) == ([0, 3, 4], [0, 3])
    assert chosen_steps(SERIES, 5, []) == ([0, 1, 2, 3, 4], [])
    with pytest.raises(MissingData, match="step 7 of the layers"):
        chosen_steps(SERIES, 2, [7])


def test_matrices__are_unknown_at_steps_that_are_not_kept(no_compute):
    values = da.from_array(np.arange(12.0).reshape(3, 2, 2), chunks=(1, 2, 2))
    with no_compute():
        made = matrices(values, [0, 1, 2], [1], (2, 2), lambda of_step: of_step.T.astype("f4"))
    out = made.compute()
    assert out.dtype == np.float32 and made.chunks[0] == (1, 1, 1)
    np.testing.assert_array_equal(out[1], [[4, 6], [5, 7]])
    assert np.isnan(out[[0, 2]]).all()
