from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from pipelines.claims import Results
from pipelines.optimization_insight.claims import (
    near_zero_counts_collapse_late,
    released_share_rises_then_falls,
    retained_entries_flip_like_a_coin,
)
from pipelines.settings import choose, merged, runs_of, training_of

KINDS = ["batch", "average", "probe"]
TAU = [1e-7, 1e-5, 0.01]
PARAMS = Path(__file__).parents[2] / "pipelines" / "optimization_insight" / "params.yaml"


def made(released=(0.34, 0.83, 0.73), near=(0.4, 0.5, 0.1), flips=(0.48, 0.49, 0.5)):
    """Results of one run of each kind; the second threshold is the one that the claims look at."""
    runs = {"run": KINDS, "variant": ("run", KINDS), "batch_size": ("run", [256] * 3)}
    labels = runs | {"step": np.arange(1, 10), "tau": TAU}

    def course(parts):
        values = np.full((3, 9, 3), 0.9)
        values[:, :, 1] = np.repeat(parts, 3)
        return xr.DataArray(values, labels, ("run", "step", "tau"))

    whole = xr.full_like(course((0, 0, 0)).isel(tau=0, drop=True), 0.3)
    rates = course((0, 0, 0))
    rates[:, :, 1] = np.array(flips)[:, np.newaxis]
    states = {"state_prev": ["zero", "small", "large"], "state_next": ["zero", "small", "large"]}
    zero = xr.Dataset(
        {
            "total_fraction_released": course(released),
            "total_fraction_released_se": 0.01 + 0 * rates,
            "total_fraction_near_zero": course(near),
            "total_transitions": xr.ones_like(rates).expand_dims(states),
            "total_weight_change": xr.ones_like(rates).expand_dims(among=["all", "retained"]),
        }
    )
    signs = xr.Dataset(
        {
            "total_flip_rate_retained": rates,
            "total_flip_rate_retained_se": 0.01 + 0 * rates,
            "total_flip_rate": whole,
            "total_flip_rate_ar1": whole,
        }
    )
    return Results(
        zero_gradients=zero,
        sign_flips=signs,
        gradient_statistics=xr.Dataset({"total_rms": whole}),
        evaluation=xr.Dataset({"train_accuracy": whole}),
    )


@pytest.mark.parametrize(
    ("released", "holds"),
    [((0.34, 0.83, 0.73), "yes"), ((0.1, 0.3, 0.2), "partly"), ((0.9, 0.5, 0.95), "no")],
)
def test_released_share__is_held_against_the_published_course(released, holds):
    claim = released_share_rises_then_falls(made(released=released))

    assert claim.holds == holds
    assert [float(row.values[0]) for row in claim.measured[:3]] == pytest.approx(list(released))
    assert "Of the near-zero entries 0.5 → 0.5 → 0.5 are zero" in claim.reason


@pytest.mark.parametrize(
    ("flips", "holds"), [((0.48, 0.46, 0.54), "yes"), ((0.48, 0.1, 0.5), "partly"), ((0.4, 0.1, 0.6), "no")]
)
def test_retained_entries__are_held_against_a_coin_for_each_kind_of_gradients(flips, holds):
    claim = retained_entries_flip_like_a_coin(made(flips=flips))

    assert claim.holds == holds
    assert [float(row.values[0]) for row in claim.measured[:3]] == pytest.approx(list(flips))


def test_retained_entries__that_are_not_there_are_unknown():
    results = made()
    results["sign_flips"]["total_flip_rate_retained"][0, :, 0] = np.nan

    assert "unknown (batch), 0.9 (moving average)" in retained_entries_flip_like_a_coin(results).reason


@pytest.mark.parametrize(("near", "holds"), [((0.4, 0.5, 0.1), "yes"), ((0.1, 0.1, 0.3), "no")])
def test_near_zero_counts__late_are_held_against_the_most_before(near, holds):
    claim = near_zero_counts_collapse_late(made(near=near))

    assert claim.holds == holds
    assert "0.9 → 0.9 → 0.9" in claim.reason


@pytest.mark.parametrize(("size", "batch", "runs"), [("small", 256, 6), ("medium", 1024, 6), ("published", 1024, 9)])
def test_params__name_the_same_training_for_each_kind_of_gradients(size, batch, runs):
    settings = yaml.safe_load(PARAMS.read_text())
    settings = merged(settings, choose("size", size, settings["sizes"]))
    section = settings["studies"]["optimization_insight"]
    kinds = {training_of(section, run.variant).gradient: training_of(section, run.variant) for run in runs_of(section)}

    assert len(runs_of(section)) == runs
    assert list(kinds) == KINDS
    assert {training.batch_size for training in kinds.values()} == {batch}
    assert len({str(vars(training) | {"gradient": ""}) for training in kinds.values()}) == 1
    assert {1e-7, 1e-5} < {*settings["zero_gradients"]["tau"], *settings["zero_gradients"]["relative"]}
