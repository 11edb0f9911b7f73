from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from pipelines.claims import claims_of
from pipelines.feature_signals import claims
from pipelines.settings import read_studies, runs_of, training_of

PARAMS = Path(claims.__file__).with_name("params.yaml")
LAYERS = claims.LAYERS
COORDS = {"run": ["a", "b"], "step": [0, 9], "layer": LAYERS}


def over_layers(start, end, *, originals=0):
    """Give values of all layers at both steps, the same for both runs and for all digits."""
    values = np.broadcast_to(np.array([start, end]), (2, 2, 4))
    if not originals:
        return ("run", "step", "layer"), values.copy()
    return ("run", "step", "layer", "original"), np.repeat(values[..., None], originals, 3)


@pytest.fixture
def results():
    """Give results in which every claim holds."""
    pairs = np.full((2, 2, 4, 4), np.nan)
    pairs[..., range(4), range(4)] = [[0.3] * 4, [0.2] * 4]
    for place, (start, end) in enumerate([(0.2, 0.15), (0.2, 0.25), (0.2, 0.35)]):
        pairs[:, 0, place, place + 1], pairs[:, 1, place, place + 1] = start, end
    correlation = xr.Dataset(
        {name: (("run", "step", "layer", "layer_other"), pairs) for name in ("absolute_off_diagonal", "cka")},
        COORDS | {"layer_other": LAYERS},
    )
    augmentation = xr.Dataset(
        {
            "copies_signed": over_layers([0.5, 0.5, 0.5, 0.5], [0.5, 0.6, 0.7, 0.8], originals=3),
            "others_signed": over_layers([0.4, 0.4, 0.4, 0.4], [0.3, 0.2, 0.1, 0.0], originals=3),
            "invariance": over_layers([0.4, 0.3, 0.3, 0.2], [0.5, 0.6, 0.7, 0.8]),
        },
        COORDS,
    )
    return {"correlation": correlation, "augmentation": augmentation}


def changed(results, name, variable, value, **where):
    """Change a variable of one run."""
    array = results[name][variable].copy(deep=True)
    array.loc[{"run": "b"} | where] = value
    return results | {name: results[name].assign({variable: array})}


def test_all__hold_where_they_should(results):
    for claim in claims_of("feature_signals"):
        assert (claim.__name__, claim(results).holds) == (claim.__name__, "yes")
        assert claim(results).figure in results


@pytest.mark.parametrize(
    ("claim", "name", "variable", "value", "where"),
    [
        ("features_decorrelate", "correlation", "absolute_off_diagonal", 0.4,
         {"step": 9, "layer": "relu2", "layer_other": "relu2"}),
        ("deeper_layers_go_together_more", "correlation", "absolute_off_diagonal", 0.1,
         {"step": 9, "layer": "relu2", "layer_other": "relu3"}),
        ("copies_are_more_alike_in_deeper_layers", "augmentation", "copies_signed", 0.1, {"step": 9, "layer": "relu3"}),
        ("training_sets_digits_apart_from_their_copies", "augmentation", "others_signed", 0.75,
         {"step": 9, "layer": "fc4"}),
        ("invariance_rises_with_depth_and_training", "augmentation", "invariance", 0.1, {"step": 9, "layer": "fc4"}),
    ],
)  # fmt: skip
def test_claims__that_hold_in_one_run_only_do_in_part(results, claim, name, variable, value, where):
    assert getattr(claims, claim)(changed(results, name, variable, value, **where)).holds == "partly"


def test_features__that_correlate_more_are_reported_as_such(results):
    pairs = results["correlation"]["absolute_off_diagonal"]
    history = xr.concat([pairs.isel(step=[1]), pairs.isel(step=[0]) + 0.2, pairs.isel(step=[0])], "step")
    found = claims.features_decorrelate({"correlation": xr.Dataset({"absolute_off_diagonal": history})})

    assert found.holds == "no" and "second epoch on `relu1`, `relu2`, `relu3` fell" in found.reason
    assert [list(one.values) for one in found.measured[:3]] == [[0.2, 0.2], [0.5, 0.5], [0.3, 0.3]]
    assert [one.what.rpartition(", ")[2] for one in found.measured[:3]] == [
        "untrained",
        "after one epoch",
        "at the end",
    ]


def test_untrained__network_that_shows_the_same_is_told(results):
    start = changed(results, "augmentation", "copies_signed", np.array([[0.5], [0.6], [0.7], [0.8]]), step=0)
    copies = claims.copies_are_more_alike_in_deeper_layers
    assert "In the untrained network it rises with depth in none: 0.50, 0.50" in copies(results).reason
    assert "In the untrained network it rises with depth in part" in copies(start).reason
    assert "rises for 6 of 6 digits and runs" in copies(results).reason
    assert "different digits at the end: 0.30, 0.20, 0.10, 0.00" in copies(results).reason


@pytest.mark.parametrize(("size", "seeds", "images"), [("small", 2, 9984), ("published", 3, None)])
def test_params__name_runs_of_the_perceptron_recorded_at_the_start_of_each_epoch(tmp_path, size, seeds, images):
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(PARAMS.read_text()) | {"size": size}))
    (study,) = read_studies(file).values()
    training = training_of(study, "")

    assert len(runs_of(study)) == seeds
    assert training.images == images
    assert training.weights_every == (images or 60_000) // training.batch_size
    assert training.image_shape == [3, 32, 32] and training.model["arguments"] == {}
