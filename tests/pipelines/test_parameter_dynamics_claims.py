from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import trajlab
from pipelines import zoo
from pipelines.claims import Results, claims_of
from pipelines.parameter_dynamics import claims
from pipelines.settings import read_studies, runs_of, training_of
from pipelines.train import train
from trajlab.errors import MissingData

PARAMS = Path(claims.__file__).with_name("params.yaml")
SIZE = 11_181_642
STRUCTURAL = 6_946_816


def runs(variants=("plain",), seeds=(0,)):
    actual = list(product(("sgd", "adam"), variants, seeds))
    return {
        "run": [f"x-{optimizer}-{variant}-{seed}" for optimizer, variant, seed in actual],
        "init": ("run", ["x"] * len(actual)),
        "optimizer": ("run", [one[0] for one in actual]),
        "variant": ("run", [one[1] for one in actual]),
        "seed": ("run", [one[2] for one in actual]),
    }


def drift(changed, structural=0, far=(0.01, 0.5)):
    """Return the drift of a run of SGD and one of Adam."""
    counts = np.array([[0, structural, 0, 0]] * 2)
    coords = runs() | {"step": [0, 9], "cause": ["frozen", "structural", "dead_unit", "static"]}
    return xr.Dataset(
        {
            "total_changed": (("run", "step"), [[0, changed]] * 2),
            "total_changed_norm_ratio": (("run", "step"), [[0, np.sqrt(changed)]] * 2),
            "total_relative": (("run", "step"), [[0, one] for one in far]),
            "total_update_ratio": (("run", "step"), [[np.nan, 0.1]] * 2),
            "total_straightness": (("run", "step"), [[np.nan, 0.5]] * 2),
            "total_unchanged_cause": (("run", "cause"), counts),
        },
        coords | {"numel": ("parameter", [SIZE - 10, 10])},
    )


def comparison(adam=0.6, sgd=0.4, start=0.3, null=0.5):
    """Return how far runs of two seeds are from each other, and how alike their features are."""
    coords = runs(seeds=(0, 1))
    end = np.where(np.array(coords["optimizer"][1]) == "adam", adam, sgd)
    alike = np.stack([np.full(4, start), end], axis=1)[:, None, :, None] * np.ones((4, 4, 2, 3))
    layers = ("run", "other", "step", "layer")
    return xr.Dataset(
        {
            "total_relative_distance": (("run", "other", "step"), np.full((4, 4, 2), 1.4)),
            "matched_features": (layers, alike),
            "matched_features_greedy": (layers, alike),
            "matched_features_null_95": (layers, np.full(alike.shape, null)),
        },
        coords | {"other": coords["run"], "step": [0, 9]},
    )


def correlation(adam=0.3, sgd=0.2, start=0.1, seeds=(0, 1, 2)):
    """Return the correlations of features of runs of SGD and of Adam; between layers they are none."""
    coords = runs(seeds=seeds) | {"step": [0, 9], "layer": ["a", "b"], "layer_other": ["a", "b"]}
    within = np.repeat([[start, sgd], [start, adam]], len(seeds), axis=0)[..., None, None] * np.eye(2)
    actual = {"absolute_off_diagonal": (("run", "step", "layer", "layer_other"), within), "absolute_null": 0.05}
    return xr.Dataset(actual, coords)


VARIANTS = ("plain", "control", "negated", "shifted", "distorted")


def from_parent(control=0.2, negated=1.9, shifted=0.21, distorted=0.3):
    """Return how far restarts are from where the plain run ended."""
    coords = runs(VARIANTS[1:], (0, 1))
    end = dict(zip(VARIANTS[1:], (control, negated, shifted, distorted), strict=True))
    far = [[2.0 if variant == "negated" else 0.0, end[variant]] for variant in coords["variant"][1]]
    return xr.Dataset({"total_relative": (("run", "step"), far)}, coords | {"step": [0, 9]})


def evaluation(shifted=0.9, noise=0.01, variants=VARIANTS, seeds=(0, 1), **optimizers):
    """Return what runs answer right; by optimizer, or the shifted ones in another share."""
    coords = runs(variants, seeds)
    end = {"plain": 0.9, "control": 0.9 - noise, "negated": 0.9, "shifted": shifted - noise, "distorted": 0.1}
    right = [
        [0.1, optimizers.get(optimizer, end[variant])]
        for optimizer, variant in zip(coords["optimizer"][1], coords["variant"][1], strict=True)
    ]
    return xr.Dataset({"accuracy": (("run", "step"), right)}, coords | {"step": [0, 9]})


def once(**optimizers):
    """Return what undisturbed runs of one seed answer right."""
    return evaluation(variants=("plain",), seeds=(0,), **optimizers)


@pytest.fixture
def results():
    """Return results in which every claim holds."""
    return {
        "lenet_mnist/drift": drift(0.99),
        "lenet_mnist/comparison": comparison(),
        "lenet_mnist/correlation": correlation(),
        "lenet_mnist/drift_from_parent": from_parent(),
        "lenet_mnist/evaluation": evaluation(),
        "resnet18_cifar10/comparison": comparison(),
        "resnet18_cifar10/correlation": correlation(),
        "logits_resnet18_cifar10/correlation": correlation(),
        "resnet18_cifar10/drift": drift(0.37, STRUCTURAL),
        "resnet18_cifar10/evaluation": once(),
        "resnet18_stem3_cifar10/drift": drift(0.98),
        "vgg19_cifar10/drift": drift(0.95),
        "vgg19_cifar10/evaluation": once(),
        "vgg19_cifar10/correlation": correlation(),
        "small_vgg_cifar10/drift": drift(0.95),
        "small_vgg_cifar10/evaluation": once(),
        "small_vgg_cifar10/comparison": comparison(),
        "small_vgg_cifar10/correlation": correlation(),
    } | of_seeds("between/lenet-resnet18", comparison(adam=0.6, sgd=0.6))


def of_seeds(key, result):
    """Return a comparison of two architectures for each of three seeds."""
    return {f"{key}-{seed}": result for seed in range(3)}


def test_all__hold_where_they_should(results):
    results["lenet_mnist/drift"] = drift(0.99).isel(run=[0, 0, 1, 1]).assign_coords(runs(seeds=(0, 1)))
    for claim in claims_of("parameter_dynamics"):
        assert (claim.__name__, claim(results).holds) == (claim.__name__, "yes")
        assert claim(results).figure in results


@pytest.mark.parametrize("claim", ["resnet_keeps_most_of_its_parameters", "lenet_and_vgg_change_almost_all"])
def test_claims_on_unchanged_entries__state_the_norm_of_the_changed_ones(results, claim):
    results["lenet_mnist/evaluation"] = once()
    rows = [row for row in getattr(claims, claim)(Results(results)).measured if row.what.startswith("norm of the")]
    changed = {"resnet18_cifar10": 0.37, "lenet_mnist": 0.99, "vgg19_cifar10": 0.95, "small_vgg_cifar10": 0.95}
    named = {row.what.rpartition(", ")[2]: row.values for row in rows}
    assert named
    for study, values in named.items():
        np.testing.assert_allclose(values, np.sqrt(changed[study]))


@pytest.mark.parametrize(
    ("claim", "key", "actual", "holds"),
    [
        ("resnet_keeps_most_of_its_parameters", "resnet18_cifar10/drift", drift(0.5), "no"),
        ("kept_parameters_meet_only_padding", "resnet18_cifar10/drift", drift(0.37, STRUCTURAL // 2), "partly"),
        ("kept_parameters_meet_only_padding", "resnet18_stem3_cifar10/drift", drift(0.5), "partly"),
        ("lenet_and_vgg_change_almost_all", "vgg19_cifar10/drift", drift(0.3), "partly"),
        ("sgd_ends_near_its_start", "vgg19_cifar10/drift", drift(0.95, far=(0.5, 0.5)), "partly"),
        ("sgd_ends_near_its_start", "vgg19_cifar10/drift", drift(0.95, far=(0.05, 0.05)), "partly"),
        ("features_of_adam_correlate", "lenet_mnist/comparison", comparison(adam=0.25), "no"),
        ("features_of_adam_correlate", "lenet_mnist/comparison", comparison(start=0.7), "partly"),
        ("features_of_adam_correlate", "lenet_mnist/comparison", comparison(null=0.7), "partly"),
        ("features_of_adam_correlate_within_a_network", "lenet_mnist/correlation", correlation(sgd=0.4), "partly"),
        ("features_of_adam_correlate_within_a_network", "lenet_mnist/correlation", correlation(adam=0.05), "no"),
        ("features_of_adam_correlate_in_resnet", "resnet18_cifar10/comparison", comparison(adam=0.25), "no"),
        ("features_of_adam_correlate_within_resnet", "resnet18_cifar10/correlation", correlation(sgd=0.4), "partly"),
        ("features_of_adam_correlate_in_vgg", "small_vgg_cifar10/comparison", comparison(adam=0.25), "no"),
        ("features_of_adam_correlate_within_vgg", "vgg19_cifar10/correlation", correlation(sgd=0.4), "partly"),
        ("features_correlate_across_architectures", "between/lenet-vgg19", comparison(0.4, 0.4), "partly"),
        ("features_correlate_across_architectures", "between/lenet-resnet18", comparison(0.2, 0.2), "no"),
        ("features_correlate_across_architectures", "between/lenet-resnet18", comparison(0.6, 0.6, 0.7), "partly"),
        ("logits_of_adam_correlate", "logits_resnet18_cifar10/correlation", correlation(adam=0.05), "no"),
        ("distortion_changes_nothing", "lenet_mnist/drift_from_parent", from_parent(shifted=0.3), "partly"),
        ("distortion_changes_nothing", "lenet_mnist/evaluation", evaluation(shifted=0.8), "partly"),
        ("negated_network_ends_far_away", "lenet_mnist/drift_from_parent", from_parent(negated=0.21), "no"),
        ("negated_network_ends_far_away", "lenet_mnist/drift_from_parent", from_parent(negated=0.9), "partly"),
        ("negated_network_ends_far_away", "lenet_mnist/drift_from_parent", from_parent(control=1.8), "partly"),
    ],
)
def test_claims__that_do_not_hold_are_reported_as_such(results, claim, key, actual, holds):
    if claim == "lenet_and_vgg_change_almost_all":
        results["lenet_mnist/evaluation"] = once()
    changed = of_seeds(key, actual) if key.startswith("between/") else {key: actual}
    assert getattr(claims, claim)(results | changed).holds == holds


def test_runs__that_never_learned_are_shown_but_decide_nothing(results):
    results["lenet_mnist/evaluation"] = once()
    results["vgg19_cifar10/evaluation"] = once(adam=0.1)
    results["vgg19_cifar10/drift"] = drift(0.3, far=(0.01, 0.01)).assign(
        total_changed=(("run", "step"), [[0, 0.95], [0, 0.3]])
    )

    changed, near = claims.lenet_and_vgg_change_almost_all(results), claims.sgd_ends_near_its_start(results)
    assert (changed.holds, near.holds) == ("yes", "yes")
    wording = {measured.what: list(measured.values) for measured in (*changed.measured, *near.measured)}
    assert wording["changed, vgg19_cifar10"] == pytest.approx([0.95])
    assert wording["changed in runs that did not learn, vgg19_cifar10"] == pytest.approx([0.3])
    assert wording["distance in runs that did not learn, vgg19_cifar10, adam"] == [0.01]


def test_features__are_compared_between_seeds_of_one_optimizer(results):
    claim = claims.features_of_adam_correlate(results)

    assert [measured.values for measured in claim.measured] == [
        pytest.approx([one]) for one in (0.4, 0.6, 0.3, 0.4, 0.6, 0.5)
    ]
    assert "SGD's runs correlate less than Adam's" in claim.reason
    alone = results["lenet_mnist/comparison"].isel(run=[0, 2], other=[0, 2])
    with pytest.raises(MissingData, match="seeds of sgd"):
        claims.features_of_adam_correlate(results | {"lenet_mnist/comparison": alone})


def test_claims__of_several_data_sets_are_of_all_of_them(results):
    again = {key.replace("mnist", "cifar10"): result for key, result in results.items() if "lenet" in key}
    several = results | again | {"lenet_cifar10/drift_from_parent": from_parent(negated=0.9)}

    assert claims.negated_network_ends_far_away(several).holds == "partly"
    within = claims.features_of_adam_correlate_within_a_network(several).measured
    assert [list(measured.values) for measured in within] == [[0.2] * 6, [0.3] * 6, [0.1] * 6, [0.05]]


@pytest.mark.slow
def test_claims__are_made_of_what_the_stages_give(tmp_path):
    training = {
        "model": {"factory": "pipelines.zoo:squeeze_mlp", "arguments": {"widths": [64, 8, 10]}},
        "dataset": "digits", "images": 256, "batch_size": 64, "steps": 4, "weights_every": 2, "gradients": False,
        "probe": 32,
    }  # fmt: skip
    restart = {"parent": {"variant": "plain", "step": -1}, "reorder": 7}
    disturbed = {
        "negated": {"negate": {}}, "negated_buffers": {"negate": {"buffers": True}},
        "shifted": {"shift": {"amount": 1e-6}}, "distorted": {"distort": {"scale": 0.01}},
    }  # fmt: skip
    section = {
        "inits": ["kaiming_normal"], "seeds": [0, 1, 2], "training": training,
        "optimizers": {"sgd": {"class": "SGD", "lr": 0.05}, "adam": {"class": "Adam", "lr": 0.005}},
        "variants": {"plain": {}, "control": restart} | {n: restart | {"perturb": p} for n, p in disturbed.items()},
    }  # fmt: skip
    for run in runs_of(section):
        train("digits", section, [run], tmp_path)
    trained = {name: trajlab.open(path) for name, path in trajlab.runs_in(tmp_path / "snapshots" / "digits").items()}
    settings = {"comparison": {"steps": [0, -1], "shuffles": 2, "interpolation": False}, "correlation": {"shuffles": 2}}
    plain = {name: run for name, run in trained.items() if "plain" in name}
    actual = {
        stage: trajlab.run(stage, plain if stage == "comparison" else trained, **settings.get(stage, {})).compute()
        for stage in ("drift", "evaluation", "comparison", "correlation")
    }
    actual["drift_from_parent"] = trajlab.run("drift", trained, parent="recorded", reference=-1).compute()
    distance = actual["drift_from_parent"]["total_relative"].isel(step=0)
    np.testing.assert_allclose(distance[distance["variant"] == "negated"], 2, rtol=1e-6)
    assert (distance[distance["variant"] == "control"] == 0).all()
    assert (distance[distance["variant"] == "shifted"] < 1e-4).all()
    networks = ("lenet", "resnet18", "resnet18_stem3", "logits_resnet18", "vgg19", "small_vgg")
    results = Results({f"{name}_digits/{stage}": one for name in networks for stage, one in actual.items()})
    results |= of_seeds("between/lenet-resnet18", actual["comparison"])

    for claim in claims_of("parameter_dynamics"):
        # Negative running variances make outputs NaN until training has averaged them away.
        rows = [row for row in claim(results).measured if "buffers" not in row.what]
        assert rows and all(np.isfinite(row.values).all() for row in rows), claim.__name__


def test_features__across_architectures_are_those_of_the_pairs(results):
    claim = claims.features_correlate_across_architectures(results)
    values = {row.what.partition(", ")[2]: list(row.values) for row in claim.measured}
    assert values == {
        "lenet-resnet18, after 9 updates, matched": [0.6] * 3,
        "lenet-resnet18, after 9 updates, matched greedily": [0.6] * 3,
        "lenet-resnet18, after 9 updates, 95 % quantile by chance": [0.5] * 3,
        "lenet-resnet18, after 9 updates, matched, before training": [0.3] * 3,
    }
    with pytest.raises(MissingData, match="between"):
        claims.features_correlate_across_architectures({})


def test_networks__of_one_seed_are_shown_but_not_judged(results):
    results["vgg19_cifar10/correlation"] = correlation(adam=0.01, seeds=(0,))
    results["between/lenet-vgg19-0"] = comparison(0.2, 0.2)
    within = claims.features_of_adam_correlate_within_vgg(results)
    assert within.holds == "yes" and [0.01] in [list(row.values) for row in within.measured]
    across = claims.features_correlate_across_architectures(results)
    assert across.holds == "yes" and [0.2] in [list(row.values) for row in across.measured]
    results["small_vgg_cifar10/correlation"] = correlation(seeds=(0,))
    with pytest.raises(MissingData, match="fewer than 3 seeds"):
        claims.features_of_adam_correlate_within_vgg(results)


def test_params__record_all_networks_on_cifar10_at_one_step():
    """Only then can features be compared across architectures."""
    studies = read_studies(PARAMS)
    at = {name: training_of(studies[f"parameter_dynamics/{name}_cifar10"], "plain")
          for name in ("lenet", "resnet18", "small_vgg", "vgg19")}  # fmt: skip
    assert all(4 in (training.weights_at or [training.weights_every]) for training in at.values())
    assert len({(training.probe, str(training.dataset)) for training in at.values()}) == 1


def test_structural_share__is_that_of_the_taps_on_padding():
    first, others = 512 * 256 * 5, 3 * 512 * 512 * 8
    assert first + others == claims.ONE_BY_ONE
    assert round(claims.ONE_BY_ONE / SIZE, 4) == 0.6213


@pytest.mark.parametrize("size", ["small", "published"])
def test_params__train_the_published_networks_on_images_that_are_only_scaled(tmp_path, size):
    settings = yaml.safe_load(PARAMS.read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings | {"size": size}))
    studies = read_studies(tmp_path / "params.yaml")

    for network, count in settings["published"]["parameters"].items():
        section = studies[f"parameter_dynamics/{network}_{'mnist' if network == 'lenet' else 'cifar10'}"]
        training = training_of(section, "plain")
        with torch.device("meta"):
            model = getattr(zoo, training.model["factory"].partition(":")[2])(**training.model["arguments"])
        assert sum(parameter.numel() for parameter in model.parameters()) == count
        assert training.dataset["scaling"] == "unit" and training.image_shape == [3, 32, 32]
        assert training.batch_size == 128 and (training.epochs == 20 or size == "small")
        assert section["optimizers"]["sgd"] == {"class": "SGD", "lr": 0.005, "momentum": 0.9}
        eps = {"eps": 0.1} if network == "vgg19" else {}
        assert section["optimizers"]["adam"] == {"class": "Adam", "lr": 0.005} | eps
    assert settings["published"]["parameters"]["vgg19"] == 143_667_240


def test_params__restart_the_trained_network_with_one_change_each():
    section = read_studies(PARAMS)["parameter_dynamics/resnet18_cifar10"]
    restarts = {name: training_of(section, name) for name in section["variants"] if name != "plain"}

    assert {name: training.perturb for name, training in restarts.items()} == {
        "control": None,
        "negated": {"negate": {}},
        "negated_buffers": {"negate": {"buffers": True}},
        "shifted": {"shift": {"amount": 1e-6}},
        "distorted": {"distort": {"scale": 0.01}},
    }
    assert all(training.parent == {"variant": "plain", "step": -1} for training in restarts.values())
    plain = training_of(section, "plain")
    assert {training.epochs for training in restarts.values()} == {plain.epochs}
    assert {training.reorder for training in restarts.values()} == {1000}
