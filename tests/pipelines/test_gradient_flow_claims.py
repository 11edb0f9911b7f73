from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from torch import nn

import trajlab
from pipelines.claims import Results
from pipelines.gradient_flow.claims import (
    instability_shows_in_the_norms,
    norms_show_it_before_the_loss,
    skip_connections_keep_early_gradients_alive,
)
from pipelines.settings import choose, merged, runs_of, training_of

PARAMS = Path(__file__).parents[2] / "pipelines" / "gradient_flow" / "params.yaml"
STEPS = np.arange(20)


def twins(plain=(0.01, 0.01), residual=(1.0, 1.0)):
    """Ratios of the first to the last layer's gradient, for Xavier's and Kaiming's start."""
    labels = {
        "run": ["a", "b", "c", "d"],
        "init": ("run", ["xavier_normal", "kaiming_normal"] * 2),
        "variant": ("run", ["plain", "plain", "residual", "residual"]),
        "parameter": ["conv.weight", "fc.weight"],
        "step": STEPS,
    }
    sizes = np.ones((4, 2, len(STEPS)))
    sizes[:, 0] = np.array([*plain, *residual])[:, np.newaxis]
    norms = xr.DataArray(sizes, labels, ("run", "parameter", "step"))
    loss = xr.full_like(norms.isel(parameter=0, drop=True), 2.0)
    fired = (norms.isel(step=0, parameter=0, drop=True) < 0.5).astype(int).expand_dims(rule=["VanishingGradient"])
    return Results(
        {
            "twins/gradient_statistics": xr.Dataset({"l2": norms}),
            "twins/evaluation": xr.Dataset({"loss": loss}),
            "twins/alerts": xr.Dataset({"fired": fired}),
        }
    )


def stability(spikes, gradient_alarms, loss_alarms, lost=()):
    """Three runs, stable, unstable and diverging; `spikes` are norms at step 12, the others of 1."""
    labels = {
        "run": ["s", "u", "d"],
        "optimizer": ("run", ["stable", "unstable", "diverging"]),
        "seed": ("run", [0, 0, 0]),
        "lr": ("run", [0.02, 0.1, 1.0]),
        "step": STEPS,
    }
    norms = xr.DataArray(np.ones((3, len(STEPS))), labels, ("run", "step"))
    norms[:, 12] = spikes
    missing = xr.zeros_like(norms)
    for run, step in lost:
        missing[run, step:] = 1
    fires = xr.zeros_like(norms).expand_dims(check=4).copy()
    for check, alarms in ((0, gradient_alarms), (2, loss_alarms)):
        for run, steps in enumerate(alarms):
            for step in steps:
                fires[check, run, step] = 1
    fires[3] = 1  # not a rule that is asked for
    fires = fires.assign_coords(
        check=["Spike network", "ExplodingTensor conv.weight.grad", "Spike loss", "AllZero conv.weight.grad"],
        rule_of=("check", ["Spike", "ExplodingTensor", "Spike", "AllZero"]),
        kind_of=("check", ["gradient", "gradient", "metric", "gradient"]),
    )
    return Results(
        {
            "stability/gradient_statistics": xr.Dataset({"total_l2": norms, "total_nonfinite": missing}),
            "stability/alerts": xr.Dataset({"fires": fires}),
            "stability/evaluation": xr.Dataset({"loss": norms}),
            "stability/saturation": xr.Dataset({"total_fraction_units_saturated": 0.25 * xr.ones_like(norms)}),
        }
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


def test_results__that_are_made_up_have_the_names_and_dims_of_real_ones():
    rng = np.random.default_rng(0)
    shapes = {name: (20, *value.shape) for name, value in Net().named_parameters()}
    weights, gradients = ({name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in range(2))
    run = trajlab.from_arrays(weights, gradients, metrics={"loss": np.ones(20)})
    probe = torch.ones(2, 3, 5, 5), torch.zeros(2, dtype=int)
    actual = {
        name: trajlab.run(name, {"a": run, "b": run}, model=Net, probe=probe)
        for name in ("gradient_statistics", "alerts", "evaluation", "saturation")
    }
    for name, one in (twins() | stability([1, 1, 1], [[], [], []], [[], [], []])).items():
        real = actual[name.partition("/")[2]]
        for key, array in one.items():
            assert set(array.dims) == set(real[key].dims), (name, key)
            for dim in {"parameter", "rule"} & {*array.dims}:
                assert set(array[dim].values) <= set(real[dim].values)
    alerts = actual["alerts"]
    of_checks = {*zip(alerts["rule_of"].values, alerts["kind_of"].values, strict=True)}
    assert {("Spike", "gradient"), ("Spike", "metric"), ("ExplodingTensor", "gradient")} <= of_checks


@pytest.mark.parametrize(
    ("plain", "residual", "holds"),
    [((0.01, 0.01), (1.0, 1.0), "yes"), ((0.01, 1.0), (1.0, 1.5), "partly"), ((1.0, 1.0), (1.0, 0.5), "no")],
)
def test_skip_connections__are_held_against_the_plain_twin_of_each_init(plain, residual, holds):
    claim = skip_connections_keep_early_gradients_alive(twins(plain, residual))

    assert claim.holds == holds
    assert [float(row.values[0]) for row in claim.measured[:4]] == [plain[0], residual[0], plain[1], residual[1]]
    assert [float(row.values[0]) for row in claim.measured[4:]] == [plain[0], residual[0], plain[1], residual[1]]
    assert "Kaiming plain 2, Kaiming residual 2 at the start" in claim.reason
    assert "2 tensors" in claim.reason
    assert f"Xavier plain {plain[0] < 0.5:d}, Xavier residual 0, Kaiming plain" in claim.reason


def test_skip_connections__hold_in_part_where_the_last_layer_starves_with_the_first():
    results = twins((1.0, 1.0), (1.0, 1.0))
    sizes = results["twins/gradient_statistics"]["l2"]
    sizes[:2] *= 1e-4
    claim = skip_connections_keep_early_gradients_alive(results)

    assert claim.holds == "partly"
    assert "in 2 of 2 pairs, for the ratio in 0" in claim.reason


def test_norms__of_unstable_runs_are_held_against_those_of_stable_ones():
    def holds(spikes, lost=()):
        return instability_shows_in_the_norms(stability(spikes, [[], [12], [12]], [[], [], []], lost)).holds

    assert holds([1, 9, 9]) == "yes"
    assert holds([1, 9, 1]) == "partly"
    assert holds([1, 9, 1], lost=[(2, 3)]) == "yes"
    assert holds([8, 9, 1]) == "no"


def test_norms__of_the_start_say_nothing_of_stability():
    results = stability([1, 1, 1], [[], [], []], [[], [], []])
    results["stability/gradient_statistics"]["total_l2"][1:, 0] = 100

    assert instability_shows_in_the_norms(results).holds == "no"


def test_norms__are_an_early_warning_only_if_they_come_first_and_never_in_stable_runs():
    def claim(gradient, loss):
        return norms_show_it_before_the_loss(stability([1, 6, 1], gradient, loss))

    assert claim([[], [9], [2]], [[], [12], [3]]).holds == "yes"
    assert claim([[], [9], [3]], [[], [12], [3]]).holds == "partly"
    assert claim([[4], [9], [2]], [[], [12], [3]]).holds == "no"
    assert claim([[], [9], [2]], [[], [], []]).holds == "no"


def test_early_warning__is_measured_around_the_first_alarm_of_the_loss():
    claim = norms_show_it_before_the_loss(stability([2, 6, 1], [[], [9], []], [[], [12], []]))
    actual = {row.what: float(row.values[0]) for row in claim.measured}

    assert actual["first alarm of the gradient, unstable"] == 9
    assert np.isnan(actual["first alarm of the loss, diverging"])
    assert actual["norm in the 5 steps before the first alarm of the loss / stable twin's"] == 1
    assert actual["norm at the first alarm of the loss / stable twin's"] == 3
    assert actual["alarms of the loss with one of the gradient in the 5 steps before, unstable"] == 1
    assert actual["all steps with an alarm of the gradient in the 5 steps before, unstable"] == pytest.approx(5 / 20)
    assert actual["units that are 0 almost everywhere at step 1, unstable"] == 0.25


@pytest.mark.parametrize(("size", "seeds", "epochs"), [("small", 3, None), ("large", 5, 20)])
def test_params__name_twins_that_differ_in_their_skip_connections_only(size, seeds, epochs):
    settings = yaml.safe_load(PARAMS.read_text())
    studies = merged(settings, choose("size", size, settings["sizes"]))["studies"]
    section = studies["gradient_flow/twins"]
    plain, residual = (training_of(section, variant) for variant in ("plain", "residual"))

    assert [len(runs_of(study)) for study in studies.values()] == [4 * seeds, 3 * seeds]
    assert plain.epochs == epochs
    assert (plain.model["arguments"], residual.model["arguments"]) == ({"residual": False}, {"residual": True})
    assert vars(plain) | {"model": ""} == vars(residual) | {"model": ""}
