from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from pipelines.claims import claims_of
from pipelines.initialization import claims
from trajlab.replays.probe_files import as_probe

INITS = ["kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal", "ones", "zeros"]
FACTS = {"run": [f"{init}-{seed}" for init in INITS for seed in (0, 1)], "init": ("run", np.repeat(INITS, 2))}


def recorded(loss):
    """Return a run of two snapshots, ten steps apart, and of this mean of the loss while training."""
    losses = xr.Dataset({"loss": ("step", loss + np.linspace(-0.3, 0.3, 10))}, {"step": np.arange(10)})
    run = trajlab.from_arrays({"weight": np.zeros((2, 10, 3), np.float32)}, steps=[0, 10])
    run.metrics = losses
    probe = as_probe((torch.zeros(4, 3), torch.arange(4)))
    return run.with_model(partial(nn.Linear, 3, 10, bias=False), probe=probe)


@pytest.fixture(scope="module")
def evaluation():
    """Return what the stage makes of such runs, in the published order; what they say of new images is a guess."""
    means = {"orthogonal": 1.0, "kaiming": 1.5, "xavier": 2.0, "ones": 9.0, "zeros": np.log(10)}
    runs = {run: recorded(means[run.partition("-")[0].partition("_")[0]]) for run in FACTS["run"]}
    return trajlab.run("evaluation", runs).compute().assign_coords(init=FACTS["init"])


@pytest.fixture
def results(evaluation):
    """Return results in which every claim holds."""
    coords = FACTS | {"step": [0, 10], "parameter": ["a.weight", "b.weight", "a.bias"]}
    shape = (14, 2, 3)
    growth = np.broadcast_to(np.array([1.0, 1.2])[:, None], shape)
    distribution = xr.Dataset(coords=coords).assign(
        {
            "mean": (("run", "step", "parameter"), np.full(shape, 0.01)),
            "std": (("run", "step", "parameter"), growth.copy()),
            "excess_kurtosis": (
                ("run", "step", "parameter"),
                np.broadcast_to(np.array([-1.2, 0.0])[:, None], shape).copy(),
            ),
        }
    )
    inputs = {"input": ["valid", "train", "uniform"], "layer": ["relu1", "relu2"]}
    spread = np.broadcast_to(np.array([[1.0, 1.1], [1.2, 1.3]])[:, None], (14, 2, 3, 2))
    features = xr.Dataset({"std": (("run", "step", "input", "layer"), spread)}, FACTS | {"step": [0, 10]} | inputs)
    return {"distribution": distribution, "evaluation": evaluation, "features": features}


def at(results, name, variable, init, value, parameter=None):
    """Change a variable of the runs of an init at the last step."""
    array = results[name][variable].copy(deep=True)
    where = {"run": [f"{init}-0", f"{init}-1"], "step": 10}
    array.loc[where | ({} if parameter is None else {"parameter": parameter})] = value
    return results | {name: results[name].assign({variable: array})}


def test_all__hold_where_they_should(results):
    assert [(claim(results).holds, claim.__name__) for claim in claims_of("initialization")] == [
        ("yes", claim.__name__) for claim in claims_of("initialization")
    ]


def test_means__that_wander_are_seen(results):
    wandering = at(results, "distribution", "mean", "orthogonal", -0.5, "b.weight")
    claim = claims.means_stay_near_zero(wandering)

    assert claim.holds == "partly" and "`b.weight` is farthest" in claim.reason
    assert max(claim.measured[0].values) == pytest.approx(0.5 / 1.2)
    biased = at(results, "distribution", "mean", "orthogonal", 0.5, "a.bias")
    constant = at(results, "distribution", "mean", "ones", 0.5, "a.weight")
    assert claims.means_stay_near_zero(biased).holds == claims.means_stay_near_zero(constant).holds == "yes"


def test_spreads__that_shrink_are_seen(results):
    claim = claims.spreads_grow(at(results, "distribution", "std", "xavier_normal", 0.9, "a.weight"))

    assert claim.holds == "partly"
    assert sorted(claim.measured[0].values) == [0.5] * 2 + [1.0] * 8
    assert min(claim.measured[1].values) == pytest.approx(-0.1)


@pytest.mark.parametrize(("inits", "holds"), [(["kaiming_uniform"], "partly"), (claims.UNIFORM, "no")])
def test_uniform__that_stays_uniform_is_seen(results, inits, holds):
    for init in inits:
        for parameter in ("a.weight", "b.weight"):
            results = at(results, "distribution", "excess_kurtosis", init, -1.1, parameter)

    assert claims.uniform_becomes_gaussian(results).holds == holds


def test_uniform__tensors_on_the_way_are_told(results):
    for parameter, value in (("a.weight", -1.0), ("b.weight", -1.3)):
        for init in claims.UNIFORM:
            results = at(results, "distribution", "excess_kurtosis", init, value, parameter)
    claim = claims.uniform_becomes_gaussian(results)

    assert "`a.weight` came nearest. Nearer to 0 at each snapshot of each run: `a.weight`." in claim.reason
    assert [(measured.what.rpartition(", ")[2], *set(measured.values)) for measured in claim.measured[1:3]] == [
        ("`a.weight`", -1.0), ("`b.weight`", -1.3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("orthogonal", "kaiming", "holds", "wording"),
    [
        (1.0, 1.5, "yes", "orthogonal is ahead of Kaiming. orthogonal is ahead of Xavier. Kaiming is ahead of Xavier."),
        (1.8, 1.5, "partly", "Kaiming is ahead of orthogonal. orthogonal is ahead of Xavier."),
        (9.0, 1.5, "partly", "Kaiming is ahead of orthogonal. Xavier is ahead of orthogonal. Kaiming is ahead of"),
        (9.0, 8.0, "no", "Kaiming is ahead of orthogonal. Xavier is ahead of orthogonal. Xavier is ahead of Kaiming."),
    ],
)
def test_order__of_learning_is_asked_of_each_two_starts(results, orthogonal, kaiming, holds, wording):
    results = at(results, "evaluation", "running_loss", "orthogonal", orthogonal)
    for init in ("kaiming_normal", "kaiming_uniform"):
        results = at(results, "evaluation", "running_loss", init, kaiming)
    claim = claims.orthogonal_learns_fastest(results)

    assert wording in claim.reason and claim.holds == holds
    assert (claims.LARGER in claim.reason) == (kaiming < orthogonal)
    assert "first 10 updates 3 of 3 pairs" in claim.reason
    assert claim.measured[0].values == pytest.approx([orthogonal] * 2)
    assert claim.measured[3].what.endswith("first 10, orthogonal")


def test_order__of_two_starts_whose_runs_overlap_is_unknown(results):
    loss = results["evaluation"]["running_loss"]
    slower = loss + xr.where(loss["run"].isin(["orthogonal-1"]), 1.1, 0.0)
    claim = claims.orthogonal_learns_fastest(
        results | {"evaluation": results["evaluation"].assign(running_loss=slower)}
    )

    assert claim.holds == "partly"
    assert "The runs of orthogonal and Kaiming overlap. The runs of orthogonal and Xavier overlap." in claim.reason


def test_order__on_new_images_is_told_apart(results):
    claim = claims.orthogonal_learns_fastest(at(results, "evaluation", "loss", "xavier_normal", 1.0))

    assert claim.holds == "yes" and "the order is Xavier, orthogonal" in claim.reason


def test_features__that_shrink_or_narrow_with_depth_are_seen(results):
    std = results["features"]["std"]
    shrinking = results["features"].assign(std=std.isel(step=[1, 0]).assign_coords(step=std["step"]))
    claim = claims.feature_spread_grows(results | {"features": shrinking})

    assert claim.holds == "partly"
    assert claim.measured[0].what.endswith("valid inputs") and set(claim.measured[0].values) == {0}
    assert set(claim.measured[3].values) == {1}


def test_zeros__that_learn_are_seen(results):
    claim = claims.zeros_never_learn(at(results, "evaluation", "loss", "zeros", 2.0))

    assert claim.holds == "no"
    assert claim.measured[1].values == pytest.approx([np.log(10) - 2] * 2)
