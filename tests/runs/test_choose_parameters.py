import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting
from trajlab.runs.choose_parameters import choose_parameters
from trajlab.runs.inventory import inventory


@pytest.fixture
def run():
    arrays = {"fc1.weight": np.ones((3, 2, 2)), "fc1.bias": np.ones((3, 2)), "fc2.weight": np.ones((3, 1, 2))}
    buffers = {"codes": np.arange(6).reshape(3, 2), "wave": np.ones((3, 2), complex)}
    gradients = {name: array[:2] for name, array in arrays.items()}
    return trajlab.from_arrays(arrays, gradients, buffers=buffers)


def test_choose_parameters__those_that_match_are_weights_and_all_others_buffers(run):
    chosen = choose_parameters(run, r"^fc1\.|codes")
    assert list(chosen.weights) == ["fc1.weight", "fc1.bias", "codes"]
    assert list(chosen.buffers) == ["fc2.weight", "wave"] and list(chosen.gradients) == ["fc1.weight", "fc1.bias"]
    assert chosen.weights["fc1.weight"].attrs["module"] == "fc1"
    assert any("fc1" in note and "2 others" in note for note in inventory(chosen).missing)
    drift = trajlab.run("drift", chosen).compute()
    np.testing.assert_allclose(drift.total_distance_l2, [0, 8**0.5, 32**0.5])
    assert list(run.weights) == ["fc1.weight", "fc1.bias", "fc2.weight"]


def test_choose_parameters__complex_tensors_stay_buffers(run):
    assert "wave" in choose_parameters(run, ".*").buffers


@pytest.mark.parametrize(
    ("pattern", "words"), [("head", "none of fc1.weight"), ("(", "regular expression"), ("wave", "none of")]
)
def test_choose_parameters__a_pattern_that_matches_nothing_or_is_none(run, pattern, words):
    with pytest.raises(BadSetting, match=words):
        choose_parameters(run, pattern)


def test_open__parameters_of_a_packed_store(run, tmp_path):
    store = trajlab.pack(run, tmp_path / "run.zarr")
    assert list(trajlab.open(store, parameters="weight$").weights) == ["fc1.weight", "fc2.weight"]
    with pytest.raises(BadSetting, match="packed store"):
        trajlab.open(store, key="model")
