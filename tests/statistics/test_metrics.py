import numpy as np
import pytest
import xarray as xr

from trajlab.statistics.metrics import LOSSES, VALIDATION_LOSSES, likely_measured, marks_of, metric_name

NAN = np.nan


@pytest.mark.parametrize(
    ("requested", "names", "usual", "expected"),
    [
        ("", ["lr", "train/loss", "loss"], LOSSES, "loss"),
        ("", ["lr", "eval_loss"], VALIDATION_LOSSES, "eval_loss"),
        ("", ["lr"], LOSSES, ""),
        ("nll", ["nll", "loss"], LOSSES, "nll"),
        ("nll", ["loss"], LOSSES, ""),
    ],
)
def test_metric_name__takes_the_requested_or_the_first_usual_one(requested, names, usual, expected):
    assert metric_name(requested, names, usual) == expected


@pytest.mark.parametrize(
    ("values", "steps", "expected"),
    [
        ([1, NAN, 2, NAN, NAN], [0, 3, 10, 15, 20], [1, 0, 1, 0, 1]),
        ([NAN, 1, 2, NAN, 3], [0, 4, 8, 12, 14], [1, 1, 1, 1, 1]),
        ([NAN, 1, NAN, 2, NAN], [0, 4, 8, 12, 20], [0, 1, 0, 1, 1]),
        ([1, NAN, NAN], [0, 1, 2], [1, 1, 1]),
        ([NAN, NAN], [0, 1], [1, 1]),
        ([1, 2, 3], [0, 7, 9], [1, 1, 1]),
        ([], [], []),
    ],
)
def test_likely_measured__reaches_back_and_on_from_the_numbers(values, steps, expected):
    measured = likely_measured(np.array(values, float), np.array(steps, int))
    assert measured.astype(int).tolist() == expected


def test_marks_of__are_those_of_the_metric_over_the_steps():
    marks = [True, False]
    metrics = xr.Dataset({"loss": ("step", [1.0, NAN]), "lr": ("step", [0.1, 0.1])}, {"step": [0, 5]})
    assert marks_of("loss", metrics) is None
    marked = metrics.assign_coords({"loss_measured": ("step", marks)})
    assert marks_of("loss", marked).values.tolist() == marks
    assert marks_of("lr", marked) is None
