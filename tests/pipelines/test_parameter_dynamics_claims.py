from itertools import product

import numpy as np
import pytest
import xarray as xr

from pipelines.claims import claims_of
from pipelines.parameter_dynamics import claims

SIZE = 11_181_642
STRUCTURAL = 6_946_816


def runs(variants=("plain",), seeds=(0,)):
    found = list(product(("sgd", "adam"), variants, seeds))
    return {
        "run": [f"x-{optimizer}-{variant}-{seed}" for optimizer, variant, seed in found],
        "init": ("run", ["x"] * len(found)),
        "optimizer": ("run", [one[0] for one in found]),
        "variant": ("run", [one[1] for one in found]),
        "seed": ("run", [one[2] for one in found]),
    }


def drift(changed, structural=0, far=(0.01, 0.5)):
    """Give the drift of a run of SGD and one of Adam."""
    counts = np.array([[0, structural, 0, 0]] * 2)
    coords = runs() | {"step": [0, 9], "cause": ["frozen", "structural", "dead_unit", "static"]}
    return xr.Dataset(
        {
            "total_changed": (("run", "step"), [[0, changed]] * 2),
            "total_relative": (("run", "step"), [[0, one] for one in far]),
            "total_update_ratio": (("run", "step"), [[np.nan, 0.1]] * 2),
            "total_straightness": (("run", "step"), [[np.nan, 0.5]] * 2),
            "total_unchanged_cause": (("run", "cause"), counts),
        },
        coords | {"numel": ("parameter", [SIZE - 10, 10])},
    )


def comparison(flipped=0.9, distorted=0.1, order=0.2, adam=0.6):
    """Give the distances of all pairs of runs: the same at the start and at the end."""
    coords = runs(("plain", "control", "flipped", "distorted"), (0, 1))
    moved = {"plain": order, "control": 0.0, "flipped": flipped, "distorted": distorted}
    place = np.array([moved[variant] for variant in coords["variant"][1]])
    names = {"other": coords["run"]}
    apart = np.repeat(np.abs(place[:, None] - place)[..., None], 2, axis=2)
    is_adam = np.array(coords["optimizer"][1]) == "adam"
    alike = np.broadcast_to(np.where(is_adam, adam, 0.4)[:, None, None, None], (16, 16, 2, 3))
    layers = ("run", "other", "step", "layer")
    return xr.Dataset(
        {
            "total_relative_distance": (("run", "other", "step"), apart),
            "matched_features": (layers, alike),
            "matched_features_greedy": (layers, alike),
            "matched_features_null_95": (layers, np.full(alike.shape, 0.5)),
        },
        coords | names | {"step": [0, 9]},
    )


def correlation(adam=0.3, sgd=0.2, start=0.1):
    """Give the correlations of features of runs of SGD and of Adam; between layers they are none."""
    coords = runs() | {"step": [0, 9], "layer": ["a", "b"], "layer_other": ["a", "b"], "sample": [0, 1, 2, 3]}
    within = np.array([[start, sgd], [start, adam]])[..., None, None] * np.eye(2)
    return xr.Dataset({"absolute_off_diagonal": (("run", "step", "layer", "layer_other"), within)}, coords)


def from_parent():
    """Give how far restarts are from where the plain run ended."""
    coords = runs(("control", "flipped"))
    return xr.Dataset({"total_relative": (("run", "step"), np.full((4, 2), 0.5))}, coords | {"step": [0, 9]})


@pytest.fixture
def results():
    """Give results in which every claim holds."""
    accuracy = xr.Dataset({"accuracy": (("run", "step"), np.full((16, 2), 0.9))}, comparison().coords)
    return {
        "lenet_mnist/drift": drift(0.99),
        "lenet_mnist/comparison": comparison(),
        "lenet_mnist/evaluation": accuracy,
        "lenet_mnist/correlation": correlation(),
        "lenet_mnist/drift_from_parent": from_parent(),
        "resnet18_cifar10/drift": drift(0.37, STRUCTURAL),
        "resnet18_stem3_cifar10/drift": drift(0.98),
        "vgg_cifar10/drift": drift(0.95),
    }


def test_all__hold_where_they_should(results):
    for claim in claims_of("parameter_dynamics"):
        assert (claim.__name__, claim(results).holds) == (claim.__name__, "yes")
        assert claim(results).figure in results


@pytest.mark.parametrize(
    ("claim", "changes", "holds"),
    [
        ("resnet_keeps_most_of_its_parameters", {"resnet18_cifar10/drift": drift(0.5)}, "no"),
        ("kept_parameters_meet_only_padding", {"resnet18_cifar10/drift": drift(0.37, STRUCTURAL // 2)}, "partly"),
        ("kept_parameters_meet_only_padding", {"resnet18_stem3_cifar10/drift": drift(0.5)}, "partly"),
        ("lenet_and_vgg_change_almost_all", {"vgg_cifar10/drift": drift(0.3)}, "partly"),
        ("sgd_ends_near_its_start", {"vgg_cifar10/drift": drift(0.95, far=(0.5, 0.5))}, "partly"),
        ("features_of_adam_correlate", {"lenet_mnist/comparison": comparison(adam=0.45)}, "no"),
        ("features_of_adam_correlate_within_a_network", {"lenet_mnist/correlation": correlation(sgd=0.4)}, "partly"),
        ("features_of_adam_correlate_within_a_network", {"lenet_mnist/correlation": correlation(adam=0.05)}, "no"),
        ("distortion_changes_nothing", {"lenet_mnist/comparison": comparison(distorted=0.3)}, "no"),
        ("flipped_start_ends_far_away", {"lenet_mnist/comparison": comparison(flipped=0.3)}, "no"),
    ],
)
def test_claims__that_do_not_hold_are_reported_as_such(results, claim, changes, holds):
    assert getattr(claims, claim)(results | changes).holds == holds


def test_features__are_compared_between_seeds_of_one_optimizer(results):
    found = claims.features_of_adam_correlate(results)

    assert [one.values for one in found.measured] == [pytest.approx([one]) for one in (0.4, 0.6, 0.4, 0.6, 0.5)]
    assert "SGD's runs correlate less than Adam's" in found.reason


def test_claims__of_several_data_sets_are_of_all_of_them(results):
    again = {key.replace("mnist", "cifar10"): one for key, one in results.items() if "lenet" in key}
    several = results | again
    several["lenet_cifar10/comparison"] = comparison(flipped=0.3)
    found = claims.flipped_start_ends_far_away(several)

    assert found.holds == "partly"
    assert [len(one.values) for one in found.measured] == [4] * 4 + [4] * 4
    within = claims.features_of_adam_correlate_within_a_network(results).measured
    assert [one.values for one in within] == [[0.2], [0.3], [0.1], [pytest.approx(0.3989, abs=1e-4)]]


def test_structural_share__is_that_of_the_taps_on_padding():
    first, others = 512 * 256 * 5, 3 * 512 * 512 * 8
    assert first + others == claims.ONE_BY_ONE
    assert round(claims.ONE_BY_ONE / SIZE, 4) == 0.6213
