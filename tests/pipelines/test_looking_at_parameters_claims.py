from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import trajlab
from pipelines.claims import claims_of
from pipelines.looking_at_parameters import claims
from pipelines.settings import read_studies, runs_of, training_of

PARAMS = Path(claims.__file__).with_name("params.yaml")
PUBLISHED = [1, 4, 7, 10, 16, 34, 77, 100, 703, 1407, 2789, 9999]
RUNS = ["a", "b"]
STEPS = [0, 100, 9999]
SPIRALS = {"run": list("abcd"), "init": ("run", ["pytorch"] * 2 + ["kaiming_normal"] * 2)} | {
    "optimizer": ("run", ["adam", "sgd"] * 2)
}


def lines(start=0.5, end=1.0, turned=60.0, zero_end=0.9):
    """Return the lines of ten units that turn; of biases that start at zero all cross the data at the start."""
    angle = np.radians([0.0, 10.0, turned])[:, None] + np.linspace(0, 1, 10)
    weight = np.stack([np.cos(angle), np.sin(angle)], -1)

    def run(*crossing):
        bias = [np.where(np.arange(10) < 10 * share, 0.1, 9.0) for share in crossing]
        return trajlab.from_arrays({"fc1.weight": weight, "fc1.bias": np.array(bias)}, steps=STEPS)

    runs = dict.fromkeys("ab", run(start, 0.7, end)) | dict.fromkeys("cd", run(1.0, 1.0, zero_end))
    return trajlab.run("unit_lines", runs).compute().assign_coords(SPIRALS)


def path(*early):
    return xr.Dataset(
        {"total_path_length": (("run", "step"), [[0, one, 10] for one in early])}, SPIRALS | {"step": STEPS}
    )


def filters(*smooth, parameter="conv2.weight", start=0.0):
    """Return `filters` of two runs moved by noise, plus `smooth` times a common offset of each filter."""
    rng = np.random.default_rng(0)

    def run(part):
        first = rng.standard_normal((16, 6, 5, 5)) + start * rng.standard_normal((16, 6, 1, 1))
        way = rng.standard_normal(first.shape) + part * rng.standard_normal((16, 6, 1, 1))
        return trajlab.from_arrays({parameter: np.stack([first, first + 0.3 * way])}, steps=[0, 9])

    return trajlab.run("filters", {name: run(part) for name, part in zip(RUNS, smooth, strict=True)}).compute()


def weights(spikes=1):
    coords = {"run": RUNS, "step": [0, 9], "parameter": ["conv1.weight", "conv2.weight"]}
    dims, shape = ("run", "step", "parameter"), (2, 2, 2)
    every = {"mp_spikes": np.full(shape, spikes), "mp_spikes_null": np.ones(shape), "excess_kurtosis": np.zeros(shape)}
    return xr.Dataset({name: (dims, values) for name, values in every.items()}, coords)


def attacked(*accuracy, noise=0.85):
    coords = {"run": RUNS, "step": [0, 9], "epsilon": [0.0, 0.1, 0.2]}
    actual = {"adversarial": accuracy, "noise": (accuracy[0], noise, noise)}
    dims = ("run", "step", "epsilon")
    return xr.Dataset({f"{kind}_accuracy": (dims, [[[0.1] * 3, one]] * 2) for kind, one in actual.items()}, coords)


@pytest.fixture
def results():
    """Return results in which every claim holds."""
    accuracy = xr.Dataset({"accuracy": (("run", "step"), [[0.5, 0.8, 1]] * 4)}, SPIRALS | {"step": STEPS})
    return {
        "spirals/unit_lines": lines(),
        "spirals/drift": path(8, 8, 8, 8),
        "spirals/evaluation": accuracy,
        "net/filters": filters(1, 1, parameter="conv1.weight"),
        "net/filters_second": filters(0, 0),
        "net/spectrum": weights(),
        "net/distribution": weights(),
        "net/attribution": attacked(0.9, 0.5, 0.1),
    }


def test_all__hold_where_they_should(results):
    actual = {claim.__name__: claim(results) for claim in claims_of("looking_at_parameters")}
    assert {name: claim.holds for name, claim in actual.items()} == dict.fromkeys(actual, "yes")
    assert all(claim.figure.rpartition("-")[0] in results or claim.figure in results for claim in actual.values())


@pytest.mark.parametrize(
    ("claim", "changes", "holds"),
    [
        ("lines_move_far", {"spirals/unit_lines": lines(turned=5.0)}, "no"),
        ("lines_come_to_the_data", {"spirals/unit_lines": lines(start=0.9, end=0.9)}, "no"),
        ("lines_come_to_the_data", {"spirals/unit_lines": lines(start=0.9, end=0.5)}, "no"),
        ("early_iterations_move_most", {"spirals/drift": path(8, 8, 8, 4)}, "partly"),
        ("early_iterations_move_most", {"spirals/drift": path(4, 4, 4, 4)}, "partly"),
        ("early_iterations_move_most", {"spirals/drift": path(0.5, 0.5, 0.5, 0.5)}, "no"),
        ("first_filters_show_structure", {"net/filters": filters(0, 0)}, "no"),
        ("first_filters_show_structure", {"net/filters": filters(0, 0, start=1.0)}, "no"),
        ("first_filters_show_structure", {"net/filters": filters(1, 0)}, "no"),
        ("first_filters_show_structure", {"b/filters": filters(0, 0)}, "partly"),
        ("second_filters_look_like_noise", {"net/filters_second": filters(1, 1)}, "no"),
        ("second_filters_look_like_noise", {"net/filters_second": filters(0, 0, start=1.0)}, "yes"),
        ("second_filters_look_like_noise", {"net/filters_second": filters(1, 0)}, "yes"),
        ("second_filters_look_like_noise", {"b/filters_second": filters(1, 1), "b/distribution": weights()}, "partly"),
        ("second_layer_is_noise", {"net/spectrum": weights(spikes=4)}, "no"),
        ("adversarial_accuracy_falls", {"net/attribution": attacked(0.9, 0.1, 0.5)}, "no"),
        ("adversarial_accuracy_falls", {"net/attribution": attacked(0.1, 0.1, 0.1)}, "no"),
        ("adversarial_accuracy_falls", {"net/attribution": attacked(0.9, 0.6, 0.5, noise=0.5)}, "no"),
    ],
)  # fmt: skip
def test_claims__that_do_not_hold_are_reported_as_such(results, claim, changes, holds):
    assert getattr(claims, claim)(results | changes).holds == holds


def test_lines__are_asked_of_random_biases_only(results):
    claim = claims.lines_come_to_the_data(results | {"spirals/unit_lines": lines(start=0.6, end=0.8, zero_end=0.5)})

    assert claim.holds == "yes" and "biases of zero are not judged" in claim.reason
    assert {row.what: set(row.values) for row in claim.measured if "at the start" not in row.what} == {
        "at iteration 100, random biases": {0.7}, "at iteration 100, biases of zero": {1.0},
        "at the end, random biases": {0.8}, "at the end, biases of zero": {0.5},
    }  # fmt: skip


def test_lines__that_move_are_told_by_their_biases(results):
    actual = {measured.what: measured.values for measured in claims.lines_move_far(results).measured}
    assert actual["angle that a line turned by the end, median, random biases"] == pytest.approx([60, 60])
    assert actual["distance at the end, median, biases of zero"] == pytest.approx([0.1, 0.1])


def test_early__iterations_are_held_against_a_random_walk_by_optimizer(results):
    claim = claims.early_iterations_move_most(results | {"spirals/drift": path(0.5, 4, 0.4, 3)})
    rows = {measured.what: list(measured.values) for measured in claim.measured}

    assert rows["share of the weights' path up to iteration 100, adam"] == [0.05, 0.04]
    assert rows["share of the weights' path up to iteration 100, sgd"] == [0.4, 0.3]
    assert claim.measured[2].values == pytest.approx([100**0.5 / (100**0.5 + 9899**0.5)])
    assert "0 runs with adam, 2 runs with sgd, of 4; and more than half of the path: 0" in claim.reason


def test_filters__that_training_leaves_as_they_started_are_told(results):
    claim = claims.first_filters_show_structure(results | {"net/filters": filters(1, 0, start=1.0)})
    assert "Runs beyond chance: net 1 of 2." in claim.reason and "at first" in claim.revised
    assert min(claim.measured[1].values) > 0.3


def test_params__name_the_runs_of_both_sizes(tmp_path):
    small = read_studies(PARAMS)
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS.read_text().replace("\nsize: small", "\nsize: all_images"))
    published = read_studies(file)

    assert {"alexnet_mnist"} == {name.partition("/")[2] for name in published.keys() - small.keys()}
    assert len(small) == 7
    spirals = published["looking_at_parameters/spirals"]
    assert spirals == small["looking_at_parameters/spirals"]
    training = training_of(spirals, "")
    assert [*training.weights_at, training.steps] == [0, *PUBLISHED]
    assert len(runs_of(spirals)) == 12
    assert {*claims.BIASES.values()} == {run.init for run in runs_of(spirals)}
    second = training_of(published["looking_at_parameters/spirals_second"], "")
    assert [*second.weights_at, second.steps] == [0, 1, 4, 7, 10, 16, 34, 100, 272, 556, 2222, 4999, 9999]
    alexnet = published.pop("looking_at_parameters/imagenet_alexnet")
    assert (training_of(alexnet, "").steps, alexnet["inits"]) == (0, ["pytorch", "pretrained"])
    for name, section in published.items():
        assert len(runs_of(section)) == (12 if "spirals" in name else 3)
        assert training_of(section, "").epochs == (None if "spirals" in name else 20)
    for section in small.values():
        assert training_of(section, "").steps is not None


def test_params__build_the_published_networks():
    small = read_studies(PARAMS)
    networks = {}
    for name, section in small.items():
        training = training_of(section, "")
        module, _, factory = training.model["factory"].partition(":")
        with torch.device("meta"):
            networks[name.partition("/")[2]] = getattr(import_module(module), factory)(**training.model["arguments"])
    counts = {name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()}
    stated = yaml.safe_load(PARAMS.read_text())["published"]["parameters"]

    assert {name: counts[name] for name in stated} == stated
    assert counts["imagenet_alexnet"] == 61_100_840 and counts["spirals"] == 102
    assert networks["wide_lenet_mnist"].conv1.weight.shape[:2] == (32, 1)
    assert networks["wide_lenet_mnist"].conv2.weight.shape[:2] == (64, 32)


def test_filters__of_networks_that_took_no_step_decide_nothing(results):
    shown = filters(0, 0, parameter="conv1.weight").isel(step=[-1])
    again = results | {"imagenet_alexnet/filters": shown, "imagenet_alexnet/filters_second": shown}

    assert claims.first_filters_show_structure(again).holds == "yes"
    measured = claims.second_filters_look_like_noise(again).measured
    assert not any("imagenet_alexnet" in line.what for line in measured)
