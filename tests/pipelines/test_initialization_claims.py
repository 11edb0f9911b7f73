import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from pipelines import zoo
from pipelines.claims import claims_of
from pipelines.initialization import claims
from pipelines.settings import read_studies, runs_of, training_of
from trajlab.replays.probe_batches import as_probe

PARAMS = Path(claims.__file__).with_name("params.yaml")
INITS = ["kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal", "ones", "zeros"]
GAINED = ["xavier_normal", "xavier_uniform", "orthogonal"]
FACTS = {
    "run": [f"{init}-{seed}" for init in INITS + [f"{init}-gain1" for init in GAINED] for seed in (0, 1)],
    "init": ("run", np.repeat(INITS + GAINED, 2)),
    "variant": ("run", np.repeat(["published", "gain1"], (14, 6))),
    "seed": ("run", [0, 1] * 10),
}


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
    runs = {run: recorded(means[run.partition("-")[0].partition("_")[0]] + ("gain1" in run)) for run in FACTS["run"]}
    facts = {name: values for name, values in FACTS.items() if name != "run"}
    return trajlab.run("evaluation", runs).compute().assign_coords(facts)


@pytest.fixture
def results(evaluation):
    """Return results in which every claim holds."""
    coords = FACTS | {"step": [0, 10], "parameter": ["a.weight", "b.weight", "a.bias"]}
    shape = (20, 2, 3)
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
    spread = np.broadcast_to(np.array([[1.0, 1.1], [1.2, 1.3]])[:, None], (20, 2, 3, 2))
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


def test_gain__is_compared_init_by_init_and_seed_by_seed(results):
    claim = claims.gain_decides_the_order(results)
    assert claim.holds == "yes" and "ahead of Kaiming's with gain √2, and behind with gain 1" in claim.reason
    assert claim.measured[0].values.tolist() == pytest.approx([1, 1])
    assert claim.measured[2].values.tolist() == pytest.approx([2, 2])

    loss = results["evaluation"]["running_loss"].copy(deep=True)
    loss.loc[{"run": "orthogonal-gain1-1"}] = 0.5
    claim = claims.gain_decides_the_order(results | {"evaluation": results["evaluation"].assign(running_loss=loss)})
    assert claim.holds == "partly"


def test_runs_with_gain_1__are_no_part_of_the_published_claims(results):
    loss = results["evaluation"]["running_loss"].copy(deep=True)
    loss.loc[{"run": ["orthogonal-gain1-0", "orthogonal-gain1-1"]}] = 0.1
    changed = results | {"evaluation": results["evaluation"].assign(running_loss=loss)}

    assert claims.orthogonal_learns_fastest(changed).measured[0].values == pytest.approx([1, 1])


def test_params__train_the_published_network_as_published(tmp_path):
    published = PARAMS.read_text().replace("size: small", "size: published", 1)
    (tmp_path / "params.yaml").write_text(published)
    (section,) = read_studies(tmp_path / "params.yaml").values()
    training = training_of(section, "published")

    assert training.gain**2 == pytest.approx(2) and training_of(section, "gain1").gain == 1
    assert (training.epochs, training.batch_size, training.drop_last) == (50, 64, False)
    assert 50 * math.ceil(50_000 / training.batch_size) == 39_100
    assert training.dataset == {"name": "cifar10", "scaling": "centered"}
    assert section["optimizers"]["adam"] == {"class": "Adam", "lr": 1e-4}
    assert sum(value.numel() for value in zoo.cnn().parameters()) == 535_018
    assert len(runs_of(section)) == 3 * (7 + 3)
