import functools

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab import sizes
from trajlab.errors import BadSetting, MissingInput
from trajlab.running.inputs import (
    Inputs,
    check_on,
    needs_of,
    needs_replay,
    stage_name,
    tensors_of,
    without_prefix,
)


class Stage:
    def __call__(self, weight):
        """Do nothing."""


def test_stage_name__of_functions_partial_ones_and_objects():
    assert (stage_name(test_stage_name__of_functions_partial_ones_and_objects), stage_name(Stage())) == (
        "test_stage_name__of_functions_partial_ones_and_objects", "Stage",
    )  # fmt: skip
    assert stage_name(functools.partial(check_on, "drift")) == "check_on"


@pytest.mark.parametrize(
    ("name", "bare"),
    [("parent_weights", "weights"), ("between_replay", "replay"), ("weight", "weight"), ("other_", "")],
)
def test_without_prefix__is_the_input_itself(name, bare):
    assert without_prefix(name) == bare


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (lambda weight: 0, True), (lambda weights, metrics: 0, True), (lambda gradient: 0, False),
        (lambda weight, gradient=None: 0, False), (lambda other_replay: 0, True), (lambda probe, gradient: 0, True),
    ],
)  # fmt: skip
def test_needs_replay__weights_alone_can_be_replaced_by_activations(stage, expected):
    assert needs_replay(stage) is expected
    assert list(needs_of(stage))[0] in ("weight", "weights", "gradient", "other_replay", "probe")


@pytest.fixture
def run():
    run = trajlab.from_arrays(
        {"w": np.ones((2, 3))}, buffers={"mean": np.zeros((2, 1)), "phase": np.zeros((2, 1), complex)}
    )
    run.source = "runs/a"
    return run


def test_inputs__are_looked_up_once_and_optional_ones_may_lack(run):
    inputs, runs = Inputs("drift"), {"": run, "parent_": None}
    assert inputs.get("weight", runs, required=True) is inputs.get("weights", runs, required=True)
    assert list(inputs.get("buffers", runs, required=True)) == ["mean"]  # what is complex is no input
    assert inputs.get("gradient", runs, required=False) is None
    assert inputs.get("parent_weight", runs, required=False) is None
    assert list(Inputs("drift", "buffers").get("weight", runs, required=True)) == ["mean"]


@pytest.mark.parametrize(
    ("name", "words", "reason"),
    [
        (
            "gradient",
            r"drift needs gradient of runs/a; there are no gradients. .*gradients=True",
            "there are no gradients",
        ),
        ("probe", "--probe FILE", "it has no probe"),
        ("parent_weight", "parent_weight of runs/a; there is no parent", "there is no parent"),
        ("replay", "--model package.module:factory", "neither the run nor --model names its network"),
        (
            "activation",
            "network and it has no probe. Name.*--probe",
            "neither the run nor --model names its network and it has no probe",
        ),
    ],
)
def test_inputs__that_lack_are_named_with_a_remedy(run, name, words, reason):
    with pytest.raises(MissingInput, match=words) as error:
        Inputs("drift").get(name, {"": run}, required=True)
    assert error.value.reason == reason


def test_inputs__that_no_run_has_are_refused(run):
    with pytest.raises(BadSetting, match="drift asks for 'wieght'.*weight, gradient, buffer, activation"):
        Inputs("drift").get("wieght", {"": run}, required=False)


@pytest.mark.parametrize(
    ("on", "needs", "words"),
    [
        ("gradient", ["weight"], "on 'gradient'; choose weights, gradients, buffers, activations"),
        ("gradients", ["metrics"], "asks for no weights"),
        ("activations", ["weight", "gradient", "other_replay"], "also asks for gradients, replay"),
    ],
)
def test_check_on__says_what_cannot_take_the_place_of_weights(on, needs, words):
    with pytest.raises(BadSetting, match=words):
        check_on("drift", on, needs)
    check_on("drift", "activations", ["parent_weights", "metrics", "probe"])
    check_on("drift", "gradients", ["weights", "gradient"])


def test_tensors_of__hold_as_many_steps_as_fit_into_a_block_together(monkeypatch):
    monkeypatch.setattr(sizes, "BLOCK_BYTES", 100)
    layers = {
        name: xr.DataArray(np.zeros((9, 2, n)), dims=("step", "sample", "unit")) for name, n in (("a", 1), ("", 2))
    }
    tensors = tensors_of(layers)  # 16 + 32 bytes a step
    assert list(tensors) == ["a", "output"] and tensors["output"].encoding["block_steps"] == 2
    assert tensors["a"].attrs == {"kind": "activation", "shape": (2, 1)} and "kind" not in layers["a"].attrs
