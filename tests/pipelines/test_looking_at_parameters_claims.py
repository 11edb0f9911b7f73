from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipelines.claims import claims_of
from pipelines.looking_at_parameters import claims
from pipelines.settings import read_studies, runs_of, training_of

PARAMS = Path(claims.__file__).with_name("params.yaml")
PUBLISHED = [1, 4, 7, 10, 16, 34, 77, 100, 703, 1407, 2789, 9999]
RUNS = ["a", "b"]
STEPS = [0, 100, 9999]


def lines(start=0.5, end=1.0, turned=60.0):
    coords = {"run": RUNS, "step": STEPS}
    angle = np.broadcast_to(np.array([0, 10, turned])[:, None], (2, 3, 5))
    return xr.Dataset(
        {
            "fraction_crossing": (("run", "step"), [[start, 0.7, end]] * 2),
            "turned": (("run", "step", "unit"), angle),
            "distance": (("run", "step", "unit"), angle / 100),
        },
        coords,
    )


def path(early=8.0):
    return xr.Dataset({"total_path_length": (("run", "step"), [[0, early, 10]] * 2)}, {"run": RUNS, "step": STEPS})


def filters(end, parameter="conv2.weight"):
    found = {"neighbor_correlation": (("run", "step"), [[0.0, end]] * 2), "neighbor_noise": ("run", [0.05, 0.05])}
    return xr.Dataset(found, {"run": RUNS, "step": [0, 9]}, {"parameter": parameter})


def weights(spikes=1):
    coords = {"run": RUNS, "step": [0, 9], "parameter": ["conv1.weight", "conv2.weight"]}
    dims, shape = ("run", "step", "parameter"), (2, 2, 2)
    every = {"mp_spikes": np.full(shape, spikes), "mp_spikes_null": np.ones(shape), "excess_kurtosis": np.zeros(shape)}
    return xr.Dataset({name: (dims, values) for name, values in every.items()}, coords)


def attacked(*accuracy):
    coords = {"run": RUNS, "step": [0, 9], "epsilon": [0.0, 0.1, 0.2]}
    return xr.Dataset({"adversarial_accuracy": (("run", "step", "epsilon"), [[[0.1] * 3, accuracy]] * 2)}, coords)


@pytest.fixture
def results():
    """Give results in which every claim holds."""
    accuracy = xr.Dataset({"accuracy": (("run", "step"), [[0.5, 0.8, 1]] * 2)}, {"run": RUNS, "step": STEPS})
    return {
        "spirals/unit_lines": lines(),
        "spirals/drift": path(),
        "spirals/evaluation": accuracy,
        "net/filters": filters(0.4, "conv1.weight"),
        "net/filters_second": filters(-0.02),
        "net/spectrum": weights(),
        "net/distribution": weights(),
        "net/attribution": attacked(0.9, 0.5, 0.1),
    }


def test_all__hold_where_they_should(results):
    found = {claim.__name__: claim(results) for claim in claims_of("looking_at_parameters")}
    assert {name: claim.holds for name, claim in found.items()} == dict.fromkeys(found, "yes")
    assert all(claim.figure.rpartition("-")[0] in results or claim.figure in results for claim in found.values())


@pytest.mark.parametrize(
    ("claim", "changes", "holds"),
    [
        ("lines_move_far", {"spirals/unit_lines": lines(turned=5.0)}, "no"),
        ("lines_come_to_the_data", {"spirals/unit_lines": lines(start=1.0)}, "no"),
        ("early_iterations_move_most", {"spirals/drift": path(early=4.0)}, "partly"),
        ("early_iterations_move_most", {"spirals/drift": path(early=0.5)}, "no"),
        ("first_filters_show_structure", {"net/filters": filters(0.04)}, "no"),
        ("first_filters_show_structure", {"net/filters": filters(-0.4)}, "yes"),
        ("second_filters_look_like_noise", {"net/filters_second": filters(0.2)}, "no"),
        ("second_filters_look_like_noise", {"b/filters_second": filters(0.2), "b/distribution": weights()}, "partly"),
        ("second_layer_is_noise", {"net/spectrum": weights(spikes=4)}, "no"),
        ("adversarial_accuracy_falls", {"net/attribution": attacked(0.9, 0.1, 0.5)}, "no"),
        ("adversarial_accuracy_falls", {"net/attribution": attacked(0.1, 0.1, 0.1)}, "no"),
    ],
)  # fmt: skip
def test_claims__that_do_not_hold_are_reported_as_such(results, claim, changes, holds):
    assert getattr(claims, claim)(results | changes).holds == holds


def test_lines__that_all_start_amid_the_data_are_explained(results):
    found = claims.lines_come_to_the_data(results | {"spirals/unit_lines": lines(start=1.0, end=0.9)})
    assert "Biases start at zero" in found.reason and "out of the data" in found.reason


def test_early__iterations_are_held_against_a_random_walk(results):
    found = claims.early_iterations_move_most(results).measured
    assert found[0].values.tolist() == [0.8, 0.8]
    assert found[1].values == pytest.approx([100**0.5 / (100**0.5 + 9899**0.5)])


def test_params__name_the_runs_of_both_sizes(tmp_path):
    small = read_studies(PARAMS)
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS.read_text().replace("\nsize: small", "\nsize: published"))
    published = read_studies(file)

    assert {"alexnet_mnist"} == {name.partition("/")[2] for name in published.keys() - small.keys()}
    assert len(small) == 4
    spirals = published["looking_at_parameters/spirals"]
    assert spirals == small["looking_at_parameters/spirals"]
    training = training_of(spirals, "")
    assert [*training.weights_at, training.steps] == [0, *PUBLISHED]
    assert len(runs_of(spirals)) == 4
    for name, section in published.items():
        assert len(runs_of(section)) == (4 if "spirals" in name else 2)
        assert training_of(section, "").epochs == (None if "spirals" in name else 20)
    for section in small.values():
        assert training_of(section, "").steps is not None
