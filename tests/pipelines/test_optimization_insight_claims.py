from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

import trajlab
from pipelines import zoo
from pipelines.claims import Results
from pipelines.optimization_insight.claims import (
    averages_keep_their_sign,
    misaligned_weights_turn_minima_into_maxima,
    near_zero_counts_collapse_late,
    released_share_is_the_published_one,
    released_share_rises_then_falls,
    retained_entries_flip_like_a_coin,
)
from pipelines.settings import choose, merged, runs_of, training_of

KINDS = ["published", "average", "probe"]
VARIANTS = [*KINDS, "batch", "published_average"]
TAU = [1e-7, 1e-5, 0.01]
PARAMS = Path(__file__).parents[2] / "pipelines" / "optimization_insight" / "params.yaml"


@cache
def computed():
    """Return what the stages find of one run of each kind."""
    rng = np.random.default_rng(0)
    shapes = {"conv.weight": (10, 4, 2, 3, 3), "fc.weight": (10, 5, 4)}
    runs = {
        kind: trajlab.from_arrays(
            {name: rng.standard_normal(shape) for name, shape in shapes.items()},
            {name: rng.choice([0.0, 1e-8, 1e-6, 1e-6, -1e-6, 1.0], shape) for name, shape in shapes.items()},
        )
        for kind in VARIANTS
    }
    settings = {stage: yaml.safe_load(PARAMS.read_text())[stage] for stage in ("zero_gradients", "sign_flips")}
    actual = {
        stage: trajlab.run(stage, runs, **settings.get(stage, {})) for stage in (*settings, "gradient_statistics")
    }
    facts = {"variant": ("run", VARIANTS), "batch_size": ("run", [256] * 5), "seed": ("run", [0] * 5)}
    return {stage: result.compute().assign_coords(facts) for stage, result in actual.items()}


def made(released=(0.34, 0.83, 0.73), near=(0.4, 0.5, 0.1), flips=(0.48, 0.49, 0.5)):
    """Return the same with these numbers at the second threshold, the one that the claims look at."""
    zero, signs = computed()["zero_gradients"].copy(deep=True), computed()["sign_flips"].copy(deep=True)
    at = {"tau": TAU[1]}
    for name, parts in (("total_fraction_released", released), ("total_fraction_near_zero", near)):
        zero[name][:] = 0.9
        zero[name].loc[at] = np.repeat(parts, 3)
    signs["total_flip_rate_retained"][:] = 0.9
    signs["total_flip_rate_retained"].loc[at] = np.array([*flips, 0.9, 0.9])[:, np.newaxis]
    zero["total_transitions"][:] = 1.0
    accuracy = xr.DataArray(np.full((5, 2), 0.3), {"run": VARIANTS, "step": [0, 9]}, ("run", "step"))
    return Results(computed() | {
        "zero_gradients": zero, "sign_flips": signs, "evaluation": xr.Dataset({"train_accuracy": accuracy})
    })  # fmt: skip


@pytest.mark.parametrize(
    ("released", "shape", "close"),
    [
        ((0.34, 0.83, 0.73), "yes", "yes"),
        ((0.1, 0.3, 0.2), "yes", "no"),
        ((0.3, 0.8, 0.9), "partly", "partly"),
        ((0.28, 0.26, 0.43), "no", "partly"),
        ((0.9, 0.5, 0.95), "no", "no"),
    ],
)
def test_released_share__has_a_shape_and_a_size(released, shape, close):
    claim, size = released_share_rises_then_falls(made(released)), released_share_is_the_published_one(made(released))

    assert (claim.holds, size.holds) == (shape, close)
    assert [float(row.values[0]) for row in claim.measured[:3]] == pytest.approx(list(released))
    assert [float(row.values[0]) for row in size.measured] == pytest.approx(np.subtract(released, (0.34, 0.83, 0.73)))
    assert "0.5 → 0.5 → 0.5 are exactly zero" in claim.reason


@pytest.mark.parametrize(
    ("flips", "holds"), [((0.48, 0.46, 0.54), "yes"), ((0.48, 0.1, 0.5), "partly"), ((0.4, 0.1, 0.6), "no")]
)
def test_retained_entries__are_held_against_a_coin_for_each_kind_of_gradients(flips, holds):
    claim = retained_entries_flip_like_a_coin(made(flips=flips))

    assert claim.holds == holds
    assert [float(row.values[0]) for row in claim.measured[:3]] == pytest.approx(list(flips))


def test_retained_entries__that_are_not_there_are_unknown():
    results = made()
    results["sign_flips"]["total_flip_rate_retained"].loc[{"run": "published", "tau": TAU[0]}] = np.nan

    assert "unknown (batch), 0.9 (moving average)" in retained_entries_flip_like_a_coin(results).reason


@pytest.mark.parametrize(("near", "holds"), [((0.4, 0.5, 0.1), "yes"), ((0.1, 0.1, 0.3), "no")])
def test_near_zero_counts__late_are_held_against_the_most_before(near, holds):
    claim = near_zero_counts_collapse_late(made(near=near))

    assert claim.holds == holds
    assert "0.9 → 0.9 → 0.9" in claim.reason


@pytest.mark.parametrize("size", ["small", "medium", "published"])
def test_params__name_the_same_training_for_each_kind_of_gradients(size):
    settings = yaml.safe_load(PARAMS.read_text())
    settings = merged(settings, choose("size", size, settings["sizes"]))
    section = settings["studies"]["optimization_insight"]
    kinds = {training_of(section, run.variant).gradient: training_of(section, run.variant) for run in runs_of(section)}

    assert len(runs_of(section)) == 15
    assert list(kinds) == ["batch", "uncorrected_average", "average", "probe"]
    assert {training.batch_size for training in kinds.values()} == {1024}
    assert len({str(vars(training) | {"gradient": "", "after_update": ""}) for training in kinds.values()}) == 1
    assert {1e-7, 1e-5} < {*settings["zero_gradients"]["tau"], *settings["zero_gradients"]["relative"]}


@pytest.mark.parametrize(("averages", "holds"), [((0.1, 0.2), "yes"), ((0.4, 0.1), "partly"), ((0.4, 0.5), "no")])
def test_averages__are_compared_with_the_gradient_of_the_batch(averages, holds):
    results = made(flips=(0.48, averages[1], 0.5))
    results["sign_flips"]["total_flip_rate_retained"].loc[{"run": "published_average", "tau": TAU[1]}] = averages[0]
    claim = averages_keep_their_sign(results)

    assert claim.holds == holds
    assert [float(line.values[0]) for line in claim.measured] == pytest.approx([0.48, *averages])


@pytest.mark.parametrize(("published", "aligned", "holds"), [(1, 9, "yes"), (9, 9, "partly"), (9, 1, "no")])
def test_minima__are_compared_between_weights_before_and_after_the_update(published, aligned, holds):
    results = made()
    for variant, minima in (("published", published), ("batch", aligned)):
        results["sign_flips"]["total_minima"].loc[{"run": variant}] = minima
        results["sign_flips"]["total_maxima"].loc[{"run": variant}] = 10 - minima
    claim = misaligned_weights_turn_minima_into_maxima(results)

    assert claim.holds == holds
    assert [float(line.values[0]) for line in claim.measured[:2]] == pytest.approx([published / 10, aligned / 10])


def test_params__train_the_published_network_as_published():
    settings = yaml.safe_load(PARAMS.read_text())
    settings = merged(settings, settings["sizes"]["published"])
    section = settings["studies"]["optimization_insight"]
    training = training_of(section, "published")
    network = getattr(zoo, training.model["factory"].partition(":")[2])(**training.model["arguments"])

    assert (
        sum(parameter.numel() for parameter in network.parameters()) == settings["published"]["parameters"] == 122_570
    )
    assert section["inits"] == ["xavier_uniform"] and training.gain == 1
    assert section["optimizers"]["adam"] == {"class": "Adam", "lr": 0.001, "eps": 1e-7}
    assert (training.batch_size, training.epochs, training.drop_last) == (1024, 100, False)
    assert training.dataset == {"name": "cifar10", "scaling": "unit"} and training.image_shape is None
    assert training.after_update and training.gradient == "batch"
    assert training_of(section, "published_average").gradient == "uncorrected_average"
