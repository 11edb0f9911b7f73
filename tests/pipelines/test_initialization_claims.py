import numpy as np
import pytest
import xarray as xr

from pipelines.claims import claims_of
from pipelines.initialization import claims

INITS = ["kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal", "ones", "zeros"]
FACTS = {"run": [f"{init}-{seed}" for init in INITS for seed in (0, 1)], "init": ("run", np.repeat(INITS, 2))}


@pytest.fixture
def results():
    """Give results in which every claim holds."""
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
    mean_loss = {"orthogonal": 1.0, "kaiming": 1.5, "xavier": 2.0, "ones": 9.0, "zeros": np.log(10)}
    loss = np.repeat([mean_loss[init.partition("_")[0]] for init in INITS], 2)
    evaluation = xr.Dataset({"loss": (("run", "step"), np.stack([loss, loss], 1))}, FACTS | {"step": [0, 10]})
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
    found = claims.means_stay_near_zero(wandering)

    assert found.holds == "partly" and "`b.weight` is farthest" in found.reason
    assert max(found.measured[0].values) == pytest.approx(0.5 / 1.2)
    biased = at(results, "distribution", "mean", "orthogonal", 0.5, "a.bias")
    constant = at(results, "distribution", "mean", "ones", 0.5, "a.weight")
    assert claims.means_stay_near_zero(biased).holds == claims.means_stay_near_zero(constant).holds == "yes"


def test_spreads__that_shrink_are_seen(results):
    found = claims.spreads_grow(at(results, "distribution", "std", "xavier_normal", 0.9, "a.weight"))

    assert found.holds == "partly"
    assert sorted(found.measured[0].values) == [0.5] * 2 + [1.0] * 8
    assert min(found.measured[1].values) == pytest.approx(-0.1)


@pytest.mark.parametrize(("inits", "holds"), [(["kaiming_uniform"], "partly"), (claims.UNIFORM, "no")])
def test_uniform__that_stays_uniform_is_seen(results, inits, holds):
    for init in inits:
        for parameter in ("a.weight", "b.weight"):
            results = at(results, "distribution", "excess_kurtosis", init, -1.1, parameter)

    assert claims.uniform_becomes_gaussian(results).holds == holds


@pytest.mark.parametrize(
    ("orthogonal", "xavier", "holds", "order"),
    [
        (1.0, 3.0, "yes", "orthogonal, Kaiming, Xavier."),
        (1.0, 0.5, "partly", "orthogonal, Xavier, Kaiming."),
        (9.0, 3.0, "partly", "Kaiming, Xavier, orthogonal."),
        (9.0, -1.0, "no", "Xavier, Kaiming, orthogonal."),
    ],
)
def test_order__of_learning(results, orthogonal, xavier, holds, order):
    results = at(results, "evaluation", "loss", "orthogonal", orthogonal)
    for init in ("xavier_normal", "xavier_uniform"):
        results = at(results, "evaluation", "loss", init, xavier)
    found = claims.orthogonal_learns_fastest(results)

    assert found.reason == f"The order here is {order}"
    assert found.holds == holds
    assert found.measured[0].values == pytest.approx([(1 + orthogonal) / 2] * 2)


def test_order__of_runs_that_overlap_may_be_chance(results):
    evaluation = results["evaluation"]
    loss = evaluation["loss"] + xr.where(evaluation["run"].isin(["orthogonal-1"]), 0.6, 0.0)
    found = claims.orthogonal_learns_fastest(results | {"evaluation": evaluation.assign(loss=loss)})

    assert found.holds == "partly" and "may be chance" in found.reason


def test_features__that_shrink_or_narrow_with_depth_are_seen(results):
    std = results["features"]["std"]
    shrinking = results["features"].assign(std=std.isel(step=[1, 0]).assign_coords(step=std["step"]))
    found = claims.feature_spread_grows(results | {"features": shrinking})

    assert found.holds == "partly"
    assert found.measured[0].what.endswith("valid inputs") and set(found.measured[0].values) == {0}
    assert set(found.measured[3].values) == {1}


def test_zeros__that_learn_are_seen(results):
    found = claims.zeros_never_learn(at(results, "evaluation", "loss", "zeros", 2.0))

    assert found.holds == "no"
    assert found.measured[1].values == pytest.approx([np.log(10) - 2] * 2)
