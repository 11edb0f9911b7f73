import numpy as np
import pytest
import xarray as xr

from trajlab.reports.findings.augmentation import augmentation


def said(values, layers=("a", "b")):
    values = np.asarray(values, float)
    over = ("run", "step", "layer")[-values.ndim :]
    coords = {"step": [0, 30][: values.shape[-2]], "layer": list(layers)} | (
        {"run": ["x", "y"]} if values.ndim == 3 else {}
    )
    result = xr.Dataset({"invariance": (over, values), "nonfinite": (over, 0 * values)}, coords)
    return [finding.text for finding in augmentation(result)]


@pytest.mark.parametrize(
    ("values", "second"),
    [
        ([[0.1, 0.2], [0.1, 0.7]], "It rose most in `b`: from 0.2 at step 0 to 0.7."),
        ([[0.9, 0.2], [0.1, 0.3]], "It fell most in `a`: from 0.9 at step 0 to 0.1."),
    ],
)
def test_augmentation__names_the_largest_change_in_either_direction(values, second):
    assert said(values)[1] == second


def test_augmentation__of_one_layer_one_step_or_no_change_says_no_more_than_that():
    assert said([[0.5]], ["a"]) == ["At the end the invariance of `a` to augmentation is 0.5."]
    assert len(said([[0.5, 0.2], [0.5, 0.2]])) == 1 and said([[np.nan] * 2] * 2) == []


def test_augmentation__of_several_runs_is_a_median_and_a_run():
    texts = said([[[0, 0], [0.2, 0.9]], [[0, 0], [0.4, 0.5]]])
    assert "`b` to augmentation is 0.7" in texts[0] and texts[0].endswith("(median of the runs).")
    assert "in run `x`: from 0 at step 0 to 0.9" in texts[1]
