import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import BadSetting
from trajlab.replays.observers.observer import Objective, Observable
from trajlab.replays.observers.output_gradients import OutputGradients
from trajlab.replays.observers.pooled import Pooled
from trajlab.replays.replayed import Replayed


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.fixture
def replayed(rng):
    weights = {name: rng.standard_normal((2, *value.shape)).astype("f4") for name, value in net().state_dict().items()}
    return trajlab.replay(trajlab.from_arrays(weights, steps=[0, 9]), model=net, probe=torch.zeros(5, 3))


def test_replayed__is_a_mapping_whose_arrays_are_made_when_they_are_asked_for(replayed, no_compute):
    assert isinstance(replayed, Replayed) and isinstance(replayed, Observable)
    assert len(replayed) == 1 and replayed.samples == 5 and replayed._arrays is None
    with no_compute():
        assert list(replayed) == ["1"] and replayed["1"].dims == ("step", "sample", "unit")
    assert replayed["1"] is replayed["1"] and replayed["1"].step.values.tolist() == [0, 9]
    assert replayed["1"].attrs["probe_sha256"] == replayed.probe_sha256


def test_select__gives_other_layers_of_the_same_pass(replayed):
    other = replayed.select(["0", ""])
    assert list(other) == ["0", ""] and list(replayed) == ["1"]
    np.testing.assert_array_equal(np.maximum(other["0"], 0), replayed["1"])
    with pytest.raises(BadSetting, match="'fc'"):
        replayed.select(["fc"])


def test_observe__is_lazy_and_has_the_steps(replayed, no_compute):
    with no_compute():
        means = replayed.observe(Pooled())["1"]
    assert means.dims == ("step", "sample", "unit") and means.step.values.tolist() == [0, 9]
    np.testing.assert_allclose(means, replayed["1"])


def test_observe__cannot_differentiate_with_respect_to_integers():
    run = trajlab.from_arrays({"0.weight": np.ones((1, 5, 3), "f4")})
    tokens = trajlab.replay(
        run, model=lambda: nn.Sequential(nn.Embedding(5, 3)), probe=torch.zeros(2, 4).long(), layers=["input"]
    )
    with pytest.raises(BadSetting, match="the logit with respect to torch.int64 inputs.*embedding"):
        tokens.observe(OutputGradients(Objective("logit")))
