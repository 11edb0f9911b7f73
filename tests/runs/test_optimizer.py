import numpy as np
import pytest

import trajlab
from trajlab.runs.inventory import inventory
from trajlab.runs.optimizer import OptimizerState

MOMENTS = {"exp_avg": {"w": np.ones((2, 3)), "gone": np.ones((2, 3))}, "exp_avg_sq": {"w": np.zeros((2, 3))}}


def test_optimizer_state__has_moments_by_entry_and_parameter():
    run = trajlab.from_arrays({"w": np.ones((2, 3))}, steps=[4, 8], moments=MOMENTS, hyperparameters={"lr": [0.1, 0.2]})
    state = run.optimizer
    assert len(state) == 3 and state.steps.tolist() == [4, 8]
    assert (
        set(state.moments["exp_avg"]) == {"w", "gone"}
        and state.moments["exp_avg_sq"]["w"].attrs["kind"] == run.weights["w"].attrs["kind"]
    )
    assert state.hyperparameters.lr.sel(parameter="w").values.tolist() == [0.1, 0.2]
    assert repr(state) == "<OptimizerState: exp_avg, exp_avg_sq of 2 parameters; 2 steps>"
    assert run.with_model().optimizer is state
    assert "optimizer/w/exp_avg/value" in {path.lstrip("/") + "/value" for path in run.tree.groups if "exp_avg" in path}


def test_optimizer_state__of_none_is_empty():
    assert len(OptimizerState()) == 0 and "no moments" in repr(OptimizerState())
    assert OptimizerState().hyperparameters.sizes == {}


def test_inventory__names_the_moments_and_what_has_none():
    run = trajlab.from_arrays({"w": np.ones((2, 3))}, steps=[4, 8], moments=MOMENTS)
    run.optimizer.left_out["parameters 3 of the optimizer (of shape (2,))"] = "a.bias, b.bias fit"
    facts = dict(inventory(run).facts)
    assert facts["optimizer state"] == "exp_avg, exp_avg_sq of 2 of 1 tensors at 2, steps 4 to 8, every 4"
    assert any(note.startswith("Of the optimizer, parameters 3") for note in inventory(run).missing)
    assert dict(inventory(trajlab.from_arrays({})).facts)["optimizer state"] == "none"


def test_from_arrays__refuses_hyperparameters_that_do_not_fit():
    with pytest.raises(trajlab.errors.BadSetting, match="hyperparameters"):
        trajlab.from_arrays({"w": np.ones((2, 3))}, moments=MOMENTS, hyperparameters={"lr": [1.0, 2.0, 3.0]})
