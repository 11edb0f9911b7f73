from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import trajlab
from pipelines.claims import claims_of
from pipelines.feature_signals import claims
from pipelines.settings import read_studies, runs_of, training_of
from pipelines.zoo import mlp_batchnorm
from trajlab.replays.probe_batches import as_probe

PARAMS = Path(claims.__file__).with_name("params.yaml")
LAYERS = claims.LAYERS
RUNS = {"run": list("abcd"), "optimizer": ("run", ["adam", "adam", "still", "still"]), "seed": ("run", [0, 1, 1, 0])}
RUNS["variant"] = ("run", ["softmax"] * 4)
COORDS = RUNS | {"step": [0, 4, 9], "layer": LAYERS}


def over_layers(untrained, end, *, originals=0):
    """Return values of all layers, the same for both runs of an optimizer and for all digits; 9 at the first step."""
    values = np.full((4, 3, 4), 9.0)
    values[:2, 1:], values[2:, 1:] = end, untrained
    if not originals:
        return ("run", "step", "layer"), values
    return ("run", "step", "layer", "original"), np.repeat(values[..., None], originals, 3)


@pytest.fixture
def results():
    """Return results in which every claim holds, if the first step of any run is not looked at."""
    pairs = np.full((4, 3, 4, 4), np.nan)
    pairs[..., range(4), range(4)] = np.reshape([0.2, 0.2, 0.3, 0.3], (4, 1, 1))
    for position, (untrained, end) in enumerate([(0.2, 0.15), (0.2, 0.25), (0.2, 0.35)]):
        pairs[:2, :, position, position + 1], pairs[2:, :, position, position + 1] = end, untrained
    pairs[:, 0] = 9.0
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


def recorded(optimizer, seed):
    """Return a run of the perceptron with three snapshots of other weights, and images as a probe."""
    generator = torch.Generator().manual_seed(seed)
    state = mlp_batchnorm().state_dict()
    buffers = {name for name in state if "running" in name or "tracked" in name}
    arrays = {
        name: np.stack([(torch.randn(value.shape, generator=generator) / 9 + (name in buffers)).numpy()] * 3)
        for name, value in state.items()
    }
    run = trajlab.from_arrays(
        {name: array for name, array in arrays.items() if name not in buffers},
        buffers={name: arrays[name] for name in buffers},
        steps=[0, 4, 9],
    )
    run.facts["describe"] = {"optimizer": optimizer, "seed": seed, "variant": "softmax"}
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    return run.with_model(mlp_batchnorm, probe=as_probe((images, torch.arange(4))))


def test_results__are_of_the_shape_that_the_stages_give(results):
    runs = {name: recorded(str(RUNS["optimizer"][1][i]), RUNS["seed"][1][i]) for i, name in enumerate("abcd")}
    stages = {"correlation": {"kind": "valid"}, "augmentation": {"samples": [0, 1, 2], "copies": 3}}
    real = {name: trajlab.run(name, runs, layers=LAYERS, **more).compute() for name, more in stages.items()}

    for name, result in results.items():
        for variable in result:
            assert real[name][variable].dims == result[variable].dims
            assert real[name][variable].shape == result[variable].shape
    for claim in claims_of("feature_signals"):
        assert claim(real).measured[0].values.shape == (2,)


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
    one = getattr(claims, claim)
    assert one(changed(results, name, variable, value, **where)).holds == "partly"
    assert one(changed(results, name, variable, value, **where | {"step": 0})).holds == "yes"


@pytest.mark.parametrize(
    ("claim", "name", "variable", "value", "where"),
    [
        ("features_decorrelate", "correlation", "absolute_off_diagonal", 0.1,
         {"layer": "relu2", "layer_other": "relu2"}),
        ("training_sets_digits_apart_from_their_copies", "augmentation", "others_signed", -0.5, {"layer": "fc4"}),
        ("invariance_rises_with_depth_and_training", "augmentation", "invariance", 0.95, {"layer": "fc4"}),
    ],
)  # fmt: skip
def test_claims__of_training_are_held_against_the_last_step_of_runs_that_stand_still(
    results, claim, name, variable, value, where
):
    one = getattr(claims, claim)
    assert one(changed(results, name, variable, value, run="c", step=9, **where)).holds == "partly"
    assert one(changed(results, name, variable, value, run="c", step=4, **where)).holds == "yes"


def test_runs__are_held_against_those_of_their_seed(results):
    rows = claims.invariance_rises_with_depth_and_training(
        changed(results, "augmentation", "invariance", 0.25, run="c", step=9, layer="relu1")
    ).measured
    assert (rows[0].what, list(rows[0].values)) == ("invariance, relu1, untrained", [0.4, 0.25])
    with pytest.raises(ValueError, match="cannot align"):
        claims.features_decorrelate({"correlation": results["correlation"].isel(run=[0, 1, 2])})


def test_features__that_correlate_more_are_reported_as_such(results):
    pairs = results["correlation"]["absolute_off_diagonal"].copy(deep=True)
    pairs.loc[{"run": ["a", "b"], "step": 4}] = 0.5
    pairs.loc[{"run": ["a", "b"], "step": 9}] = 0.4
    claim = claims.features_decorrelate({"correlation": xr.Dataset({"absolute_off_diagonal": pairs})})

    assert claim.holds == "no" and "`relu1`, `relu2`, `relu3` fell" in claim.reason
    assert [list(measured.values) for measured in claim.measured[:3]] == [[0.3, 0.3], [0.5, 0.5], [0.4, 0.4]]
    assert [row.what.rpartition(", ")[2] for row in claim.measured[:3]] == [
        "untrained",
        "after one epoch",
        "at the end",
    ]


def test_untrained__network_that_shows_the_same_is_told(results):
    rising = np.array([[0.5], [0.6], [0.7], [0.8]])
    start = changed(results, "augmentation", "copies_signed", rising, run="d", step=9)
    copies = claims.copies_are_more_alike_in_deeper_layers
    assert "untrained network it rises with depth in no case: 0.50, 0.50" in copies(results).reason
    assert "untrained network it rises with depth in some cases" in copies(start).reason
    assert "over 3 digits" in copies(results).reason
    assert "6 of 6" in copies(results).reason
    assert "0.30, 0.20, 0.10, 0.00" in copies(results).reason


@pytest.mark.parametrize(("size", "seeds", "images"), [("small", 3, 9984), ("all_images", 3, None)])
def test_params__name_runs_of_the_perceptron_recorded_at_the_start_of_each_epoch(tmp_path, size, seeds, images):
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(PARAMS.read_text()) | {"size": size}))
    (study,) = read_studies(file).values()
    training = training_of(study, "softmax")

    assert len(runs_of(study)) == 4 * seeds
    assert training_of(study, "logits").model["arguments"] == {}
    assert {run.optimizer for run in runs_of(study)} == {claims.TRAINED, claims.STILL}
    assert study["optimizers"][claims.STILL]["lr"] == 0
    assert training.images == images
    assert training.weights_every == (images or 60_000) // training.batch_size
    assert training.image_shape == [3, 32, 32] and training.image_fit == "resize"
    network = mlp_batchnorm(**training.model["arguments"])
    assert sum(value.numel() for value in network.parameters()) == 404_458
    assert network(torch.zeros(2, 3, 32, 32)).sum(1).tolist() == pytest.approx([1, 1])
