from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipelines.attention_bias import claims
from pipelines.claims import claims_of
from pipelines.settings import read_studies, runs_of, training_of

SHARES = (0.1, *claims.PUBLISHED)
PARAMS = Path(claims.__file__).with_name("params.yaml")


def results_with(grad_cam=(0.7, 0.6, 0.55, 0.5, 0.45, 0.4, 0.2), gradient=None, accuracy=None, start=None, label=None):
    """Return results of two seeds whose overlaps and accuracies at the end are these, for each share of `SHARES`."""
    ends = [np.array(grad_cam if values is None else values) for values in (gradient, grad_cam)]
    overlap = np.full((7, 2, 2, 3, 2), 0.3)  # share, seed, step, sample, map
    overlap[:, :, 0, 0, 1] = 0.3 if start is None else np.array(start)[:, None]
    for position, values in enumerate(ends):
        overlap[:, :, 1, :, position] = values.reshape(7, 1, 1) + np.array([-0.1, 0.0, 0.1]) + [[0.0], [0.001]]
    order = np.random.default_rng(0).permutation(14)
    coords = {
        "run": np.array([f"{share}-{seed}" for share in SHARES for seed in (0, 1)], dtype=object)[order],
        "dataset_alignment": ("run", np.repeat(SHARES, 2)[order]),
        "seed": ("run", np.tile([0, 1], 7)[order]),
        "step": [0, 9],
    }
    right = np.repeat(grad_cam if accuracy is None else accuracy, 2)[order]
    overlap = overlap.reshape(14, 2, 3, 2)[order]
    alike = np.broadcast_to(np.repeat(SHARES, 2)[order].reshape(14, 1, 1, 1, 1), (14, 2, 2, 2, 2)).copy()
    more = {} if label is None else {"attribution_of_label": results_with(grad_cam=label)["attribution"]}
    return more | {
        "attribution": xr.Dataset(
            {
                "attention_iou": (("run", "step", "sample", "map"), overlap),
                "attention_iou_unscaled": (("run", "step", "sample", "map"), overlap),
                "attribute_iou_group": (("run", "step", "attribute", "attribute_other", "group"), alike),
            },
            coords
            | {"map": np.array(["input_gradient", "grad_cam"], dtype=object), "attribute": [0, 1]}
            | {"attribute_other": [0, 1], "group": np.array(["neither", "different"], dtype=object)},
        ),
        "evaluation": xr.Dataset({"accuracy": (("run", "step"), np.stack([0 * right + 0.1, right], 1))}, coords),
    }


def test_all__hold_where_they_should():
    results = results_with(label=(0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.15))
    actual = [claim(results) for claim in claims_of("attention_bias")]
    assert [each_claim.holds for each_claim in actual] == ["yes", "yes", "partly", "yes", "yes", "yes", "yes"]
    *at_shares, chance, ranks = actual[0].measured[:8]
    assert [row.what for row in at_shares][::5] == ["attention IoU, 50 % aligned", "attention IoU, 100 % aligned"]
    np.testing.assert_allclose(
        [measured.values for measured in at_shares], np.array([0.6, 0.55, 0.5, 0.45, 0.4, 0.2])[:, None] + [0, 0.001]
    )
    np.testing.assert_allclose(sorted(chance.values), [0.7, 0.701])
    np.testing.assert_allclose(ranks.values, -1)


def test_overlap__that_rises_once_holds_in_part_and_one_that_grows_does_not():
    once = results_with(grad_cam=(0.7, 0.6, 0.55, 0.5, 0.51, 0.4, 0.2), gradient=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7))

    claim = claims.grad_cam_leaves_the_object(once)
    assert claim.holds == "partly"
    np.testing.assert_allclose(claim.measured[7].values, -33 / 35)
    assert claims.gradient_leaves_the_object(once).holds == "no"


def test_falls__are_held_against_the_errors_of_the_same_images():
    results = results_with()
    overlap = results["attribution"]["attention_iou"]
    noise = np.random.default_rng(1).permuted(np.tile([-0.12, 0.0, 0.12], (14, 1)), axis=1)
    noise[overlap["dataset_alignment"].values >= 0.8] = 0.0
    overlap[:, -1, :, 1] += noise
    claim = claims.grad_cam_leaves_the_object(results)
    *unsure, nineties, end = claim.measured[8:]

    ends = [overlap.sel(map="grad_cam", run=f"{share}-0").isel(step=-1).values for share in (0.5, 0.6)]
    expected = (ends[1] - ends[0]).mean() / ((ends[1] - ends[0]).std(ddof=1) / 3**0.5)
    assert "50 % to 60 %" in unsure[0].what and "90 % to 100 %" in end.what
    np.testing.assert_allclose(unsure[0].values[0], expected)
    assert (nineties.values < -2).all() and "from 80 % on, not from each" in claim.reason
    assert claim.holds == "yes"


def test_falls__within_errors_are_said_to_be():
    results = results_with()
    overlap = results["attribution"]["attention_iou"]
    overlap[:, -1, :, 1] += np.where(overlap["dataset_alignment"] == 1, 1, 0)[:, None] * [0.3, 0.0, -0.3]
    assert "is not significant" in claims.grad_cam_leaves_the_object(results).reason
    assert "from 50 % on." in claims.grad_cam_leaves_the_object(results_with()).reason


def test_accuracy__that_stays_is_seen():
    assert claims.bias_is_learned(results_with(accuracy=(0.9, 0.9, 0.91, 0.89, 0.9, 0.92, 0.91))).holds == "no"


def test_start__that_depends_on_the_share_is_seen():
    claim = claims.start_knows_no_bias(results_with(start=np.linspace(0.3, 0.6, 7)))
    assert claim.holds == "partly"
    np.testing.assert_allclose(claim.measured[1].values, 0.25 / 3)


def test_maps__that_are_0_everywhere_are_left_out_and_counted():
    results = results_with()
    results["attribution"].attention_iou[:, -1, 1, 1] = np.nan
    claim = claims.grad_cam_leaves_the_object(results)
    assert claim.holds == "yes" and "33.3 % of the maps" in claim.reason


@pytest.mark.parametrize(("size", "seeds", "shares"), [("small", 3, SHARES), ("large", 20, (*SHARES, 0.95))])
def test_params__expand_to_every_share_and_seed(size, seeds, shares, tmp_path):
    text = PARAMS.read_text()
    assert "size: small\n" in text
    (tmp_path / "params.yaml").write_text(text.replace("size: small\n", f"size: {size}\n", 1))
    (section,) = read_studies(tmp_path / "params.yaml").values()
    runs = runs_of(section)
    trainings = {run.variant: training_of(section, run.variant) for run in runs}

    assert len(runs) == seeds * len(shares) == len({run.name for run in runs})
    assert sorted(one.dataset["alignment"] for one in trainings.values()) == sorted(shares)
    assert {training.dataset.get("most") for training in trainings.values()} == {4000 if size == "small" else None}
    assert {one.dataset["name"] for one in trainings.values()} == {"colored_digits"}


def test_unscaled_maps__are_ranked_on_their_own():
    results = results_with()
    results["attribution"]["attention_iou_unscaled"] = -results["attribution"]["attention_iou"]

    assert claims.grad_cam_leaves_the_object(results).holds == "yes"
    assert claims.unscaled_maps_say_the_same(results).holds == "no"


def test_maps_of_two_classes__are_compared_without_those_of_one():
    results = results_with()
    overlap = results["attribution"]["attribute_iou_group"]
    claim = claims.maps_of_two_classes_grow_alike(results)
    assert claim.holds == "yes"
    assert [list(line.values) for line in claim.measured[:6]] == [[share] * 2 for share in claims.PUBLISHED]

    overlap.loc[{"run": "1.0-1", "group": "different"}] = 0.2
    assert claims.maps_of_two_classes_grow_alike(results).holds == "partly"
    for number in (0, 1):
        overlap.loc[{"attribute": number, "attribute_other": number}] = 9.0
    assert claims.maps_of_two_classes_grow_alike(results).holds == "partly"
