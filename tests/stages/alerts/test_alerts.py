import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.reports.findings import findings
from trajlab.stages.alerts import alerts
from trajlab.stages.alerts.rules import all_rules


def fired(result, rule):
    """Return the first steps at which a rule fires, by place."""
    own = result.where(result.rule_of == rule, drop=True) if "run" not in result.dims else result
    return {
        str(position): int(step)
        for position, step in zip(own.place_of.values, own.first_step.values, strict=True)
        if step == step
    }


def walk(rng, steps=12, **tensors):
    """Matrices that wander a little, as a healthy run's would."""
    plain = {name: 0.1 * rng.standard_normal((1, 6, 8)) + 0.01 * rng.standard_normal((steps, 6, 8)).cumsum(0)
             for name in ("a.weight", "b.weight")}  # fmt: skip
    return {name: array.astype(np.float32) for name, array in (plain | tensors).items()}


def layer(active, module_class="ReLU"):
    """Activations, (step, sample, unit), of a layer."""
    attrs = {"module_class": module_class, "rectified": module_class == "ReLU", "activation": True, "probe_sha256": "x"}
    return xr.DataArray(active, {"step": 10 * np.arange(len(active))}, ("step", "sample", "unit"), attrs=attrs)


def test_alerts__a_healthy_run_is_quiet(rng):
    weights = walk(rng)
    gradients = {name: 0.1 * rng.standard_normal((11, 6, 8)) for name in weights}
    run = trajlab.from_arrays(weights, gradients, metrics={"loss": np.linspace(2, 1, 12)})
    result = trajlab.run("alerts", run).compute()
    assert result.rules_fired == 0 and result.first_step.isnull().all()
    unchecked = set(result.rule.values[(result.checked == 0).values])
    assert unchecked == {"Overfit", "DeadRelu", "SaturatedActivation", "MassDeath"}
    assert [finding.text[:13] for finding in findings(result)] == ["No rule fires", "Not checked, "]


def test_alerts__a_matrix_that_starts_at_zero_is_judged_once_it_has_left(rng):
    grown = np.concatenate([np.zeros((2, 6, 8)), 0.05 * rng.standard_normal((10, 6, 8)).cumsum(0)])
    weights = walk(rng, **{"q_proj.lora_B.weight": grown, "zero": np.zeros((12, 6, 8))})
    result = trajlab.run("alerts", trajlab.from_arrays(weights)).compute()
    assert fired(result, "PoorWeightInitialization") == {"network": 0}  # for the matrix that stays zero
    places = set(result.place_of.values[result.first_step.notnull().values])
    assert places == {"zero", "network"} and fired(result, "AllZero") == {"zero": 0}
    del weights["zero"]
    assert trajlab.run("alerts", trajlab.from_arrays(weights)).compute().rules_fired == 0
    published = trajlab.run("alerts", trajlab.from_arrays(weights), published=True).compute()
    assert fired(published, "AllZero") == {"q_proj.lora_B.weight": 0}


def test_alerts__each_rule_on_tensors_fires_where_and_when_it_should(rng):
    spoiled = walk(rng, **{
        "exploding": walk(rng)["a.weight"], "zero": np.zeros((12, 6, 8)), "wide": 4 * rng.standard_normal((12, 6, 8)),
        "leaping": (13.0 ** np.arange(12).clip(max=3) + np.arange(12))[:, None, None] * rng.normal(0, 1e-3, (6, 8)),
        "flat": 0.1 * rng.standard_normal((12, 6, 1)) @ np.ones((12, 1, 8)),
    })  # fmt: skip
    spoiled["exploding"][7:, 0, 0] = np.inf
    spoiled["a.weight"][4:8] = spoiled["a.weight"][4]
    spoiled["flat"][:3] = walk(rng)["b.weight"][:3]
    gradients = {name: 0.1 * rng.standard_normal((12, 6, 8)) for name in ("a.weight", "b.weight")}
    gradients["b.weight"][5:] *= 1e-7
    gradients["a.weight"][3] = 0
    run = trajlab.from_arrays(spoiled, gradients, steps=10 * np.arange(12))
    result = trajlab.run("alerts", run).compute()
    assert fired(result, "ExplodingTensor") == {"exploding": 70}
    assert fired(result, "VanishingGradient") == {"a.weight.grad": 30, "b.weight.grad": 50}
    assert fired(result, "AllZero") == {"zero": 0, "a.weight.grad": 30}
    assert fired(result, "UnchangedTensor") == {"a.weight": 60, "zero": 20}
    assert fired(result, "TensorVariance")["wide"] == 0
    assert fired(result, "WeightUpdateRatio") == {"a.weight": 50, "zero": 10, "leaping": 10}
    assert fired(result, "RankCollapse") == {"flat": 30}
    unchanged = result.sel(check="UnchangedTensor a.weight")
    assert (unchanged.last_step, unchanged.duration) == (70, 2)
    assert result.fired.sel(rule="VanishingGradient") == 2
    text = next(finding for finding in findings(result) if "ExplodingTensor" in finding.text)
    assert text.alarm and text.text.startswith("`ExplodingTensor` fires first at step 70, of `exploding`")


def test_alerts__rules_on_metrics(rng):
    loss = np.concatenate([np.linspace(2, 1, 60), [50.0], np.linspace(1, 1, 39)])
    validation = np.where(np.arange(100) % 20 == 19, np.linspace(1, 3, 100), np.nan)
    metrics = {"loss": loss, "val_loss": validation, "lr": np.ones(100)}
    run = trajlab.from_arrays({"w": np.ones((100, 2, 2))}, metrics=metrics)
    result = trajlab.run("alerts", run, published=True).compute()
    assert fired(result, "LossNotDecreasing") == {"loss": 60}
    assert fired(result, "Spike") == {"loss": 60}
    assert fired(result, "Overfit") == {"val_loss": 39}
    calm = trajlab.run("alerts", run).compute()
    assert fired(calm, "LossNotDecreasing") == {"loss": 69}  # the first check with the spike in its window
    assert fired(calm, "Overfit") == {"val_loss": 39}
    flat = trajlab.from_arrays({}, metrics={"loss": np.ones(20)}, steps=np.arange(20))
    stuck = trajlab.run("alerts", flat, published=True).compute()
    assert fired(stuck, "PoorWeightInitialization") == {"loss": 5}
    assert stuck.sel(check="PoorWeightInitialization loss").last_step == 9


@pytest.mark.parametrize(("bad", "expected"), [(np.nan, {"loss": 6}), (np.inf, {"loss": 6})])
def test_alerts__a_loss_that_explodes_is_told_from_one_that_was_not_measured(bad, expected):
    loss = np.append(np.ones(6), [bad] * 3)
    result = trajlab.run("alerts", trajlab.from_arrays({}, metrics={"loss": loss}, steps=np.arange(9))).compute()
    assert fired(result, "ExplodingTensor") == expected
    sometimes = np.where(np.arange(9) % 3 == 0, 1.0, np.nan)
    result = trajlab.run("alerts", trajlab.from_arrays({}, metrics={"loss": sometimes}, steps=np.arange(9))).compute()
    assert fired(result, "ExplodingTensor") == {}


def test_alerts__rules_on_layers():
    alive = np.ones((4, 300, 8))
    dying, saturating = alive.copy(), 0.5 * alive
    dying[2:, :, :5] = 0
    dying[2:, 0, :5] = 1  # one position of 300 is less than one per cent, and yet no death
    dying[3:, :, :5] = 0
    saturating[1:, :, :6] = np.tanh(9.6)
    layers = {"fine": layer(alive), "dying": layer(dying), "tanh": layer(saturating, "Tanh")}
    result = alerts(activation=layers).compute()
    assert fired(result, "DeadRelu") == {"dying": 20}
    assert fired(result, "MassDeath") == {"dying": 30}
    assert fired(result, "SaturatedActivation") == {"tanh": 10}
    softer = alerts(activation=layers, saturated_activation_threshold_tanh=(-9.7, 9.7)).compute()
    assert fired(softer, "SaturatedActivation") == {}


@pytest.mark.parametrize(("value", "expected"), [(23.1, {"s": 0}), (22.9, {})])
def test_alerts__a_sigmoid_is_saturated_from_minus_23_and_plus_17_on(value, expected):
    for x, saturated in ((-value, expected), (value - 6.0, {"s": 0} if value > 23 else {})):
        outputs = np.full((1, 50, 4), 1 / (1 + np.exp(-x)))
        assert fired(alerts(activation={"s": layer(outputs, "Sigmoid")}).compute(), "SaturatedActivation") == saturated


@pytest.mark.parametrize(("scale", "expected"), [(3.0, {}), (3.3, {"network": 0})])
def test_poor_weight_initialization__variances_of_weights_and_of_activations(rng, scale, expected):
    """Standard deviations that differ by this factor have variances below, or above, ten times each other."""
    noise = rng.standard_normal((400, 100))
    noise = (noise - noise.mean()) / noise.std()
    run = trajlab.from_arrays({"a": noise[None] / 10, "b": np.ascontiguousarray(scale * noise.T)[None] / 20})
    result = trajlab.run("alerts", run).compute()
    assert fired(result, "PoorWeightInitialization") == expected  # two layers; fan_in·var: 100/100 and scale²·400/400
    layers = {"a": layer(noise[None]), "b": layer(scale * noise[None])}
    assert fired(alerts(activation=layers).compute(), "PoorWeightInitialization") == expected


def test_poor_weight_initialization__looks_at_the_first_steps_only(rng):
    weights = walk(rng, steps=30)
    weights["b.weight"][15:] *= 100
    run = trajlab.from_arrays(weights, {"a.weight": np.r_[np.ones((15, 1, 4)) * np.arange(4), np.zeros((15, 1, 4))]})
    result = trajlab.run("alerts", run).compute()
    assert fired(result, "PoorWeightInitialization") == {}
    later = trajlab.run("alerts", run, poor_weight_initialization_steps=20, published=True).compute()
    assert fired(later, "PoorWeightInitialization") == {"network": 15, "a.weight.grad": 15}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.act, self.fc2, self.tanh = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.Tanh()

    def forward(self, x):
        return self.tanh(self.fc2(self.act(self.fc1(x))))


def test_alerts__replayed_layers_of_a_real_network():
    torch.manual_seed(0)
    net, states = Net(), []
    for step in range(4):
        if step == 2:
            nn.init.constant_(net.fc1.bias, -100.0)
        states.append({name: value.numpy().copy() for name, value in net.state_dict().items()})
    run = trajlab.from_arrays({name: np.stack([state[name] for state in states]) for name in states[0]})
    layers = trajlab.replay(run, model=Net(), probe=torch.randn(50, 4))
    result = alerts(weight=run.weights, activation=layers).compute()
    assert fired(result, "DeadRelu") == {"act": 2} == fired(result, "MassDeath")
    assert result.checked.sel(rule="SaturatedActivation") == 1


def test_alerts__a_run_with_nothing_to_check():
    with pytest.raises(MissingData, match="metrics"):
        alerts()
    result = trajlab.run("alerts", trajlab.from_arrays({}, metrics={"lr": np.ones(3)}, steps=[0, 1, 2])).compute()
    assert (result.checked == 0).all() and result.sizes["check"] == 0
    assert result.reason.sel(rule="VanishingGradient").item() == "the run has no gradients"
    assert "no loss" in result.reason.sel(rule="LossNotDecreasing").item()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spike_window": 1}, "spike_window=1: choose 2 or more"),
        ({"spike_smallest_deviation": -1.0}, "spike_smallest_deviation=-1.0: choose a finite number ≥ 0"),
        ({"spike_smallest_deviation": np.nan}, "a finite number for spike_smallest_deviation; found nan"),
        ({"vanishing_gradient_threshold": np.inf}, "a finite number for vanishing_gradient_threshold; found inf"),
        ({"saturated_activation_threshold_tanh": [-np.inf, 1.0]}, "a finite number for saturated_activation_thr"),
        ({"saturated_activation_threshold_tanh": [1.0, -1.0]}, "threshold_tanh=.*two numbers"),
        ({"rank_collapse_measure": "stabel"}, "effective or stable"),
        ({"rank_collapse_steps": 0}, "rank_collapse_steps=0: choose 1 or more"),
        ({"rules": ["DeadRely"]}, "no rule 'DeadRely'; choose AllZero, DeadRelu"),
        ({"loss": "los"}, "'los'.*loss, epoch"),
    ],
)
def test_alerts__settings_that_make_no_sense(example, settings, message):
    with pytest.raises(BadSetting, match=message):
        trajlab.run("alerts", example, **settings)


def test_alerts__settings_of_a_direct_call_are_checked_too(example):
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(BadSetting, match="spike_smallest_deviation=.*finite number"):
            alerts(example.metrics, spike_smallest_deviation=bad)


def test_alerts__biases_are_checked_as_published_only(rng):
    still = {"a.weight": walk(rng)["a.weight"], "a.bias": np.ones((12, 6))}
    run = trajlab.from_arrays(still, {"a.weight": walk(rng)["a.weight"], "a.bias": np.zeros((12, 6))})
    for published, places in ((False, ({}, {})), (True, ({"a.bias": 2}, {"a.bias.grad": 0}))):
        result = trajlab.run("alerts", run, published=published).compute()
        assert (fired(result, "UnchangedTensor"), fired(result, "VanishingGradient")) == places


def test_alerts__runs_are_stacked_by_the_names_of_their_checks(example):
    runs = {"a": example, "b": trajlab.from_arrays({}, {n: g.values for n, g in example.gradients.items()})}
    result = trajlab.run("alerts", runs).compute()
    assert result.first_step.sel(run="a", check="UnchangedTensor frozen.weight") == 2
    assert result.fires.sel(run="b", check="UnchangedTensor frozen.weight").isnull().all()
    assert result.reason.sel(run="b", rule="UnchangedTensor").item() == "the run has no weights"
    assert list(result.rule.values) == [rule.name for rule in all_rules().values()]


def test_alerts__chosen_rules_are_checked_and_what_others_need_is_not_computed(example, monkeypatch):
    whole = trajlab.run("alerts", example).compute()
    monkeypatch.setattr("trajlab.stages.alerts.tables.rank_table", lambda *arguments: pytest.fail("a rank"))
    some = trajlab.run("alerts", example, rules=["all-zero", "UnchangedTensor"]).compute()
    assert some.rule.values.tolist() == ["AllZero", "UnchangedTensor"] and some.operations == 0
    places = whole.rule_of.isin(some.rule).values
    for name in ("fires", "value", "first_step"):
        expected = whole[name].isel(check=places)
        expected = expected.sel(step=some.step) if "step" in expected.dims else expected
        np.testing.assert_array_equal(some[name], expected)


def test_alerts__ranks_are_checked_at_some_steps(example):
    whole, some = (trajlab.run("alerts", example, rank_collapse_steps=steps).compute() for steps in (50, 3))
    assert some.operations < whole.operations
    values, few = (result.value.sel(check="RankCollapse fc.weight") for result in (whole, some))
    assert values.notnull().all() and few.dropna("step").step.values.tolist() == [0, 10, 20]
    np.testing.assert_allclose(few.dropna("step"), values.sel(step=[0, 10, 20]), rtol=1e-9)


def test_alerts__one_snapshot_checks_no_rule_of_change(rng):
    run = trajlab.from_arrays({"a.weight": rng.standard_normal((1, 6, 8)), "b.weight": rng.standard_normal((1, 8, 6))})
    result = trajlab.run("alerts", run).compute()
    of_change = ["UnchangedTensor", "WeightUpdateRatio", "RankCollapse"]
    assert (result.checked.sel(rule=of_change) == 0).all() and (result.reason.sel(rule=of_change) != "").all()
    checked = ["ExplodingTensor", "AllZero", "TensorVariance"]
    assert (result.checked.sel(rule=checked) > 0).all() and (result.reason.sel(rule=checked) == "").all()
    texts = [finding.text for finding in findings(result)]
    assert any("Not checked" in text and all(rule in text for rule in of_change) for text in texts)
