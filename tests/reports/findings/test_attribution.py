import numpy as np
import xarray as xr

from tests.reports.runs import said
from trajlab.reports.findings import headlines


def test_overlaps__of_unlike_runs_are_told_by_their_kind():
    overlap = np.array([0.5, 0.5, 0.3, 0.3])[:, None, None, None] * np.ones((4, 2, 3, 1))
    coords = {"run": list("abcd"), "step": [0, 10], "map": ["grad_cam"]}
    kinds = {"variant": ("run", ["x", "x", "y", "y"]), "seed": ("run", [0, 1, 0, 1])}
    result = xr.Dataset({"attention_iou": (("run", "step", "sample", "map"), overlap)}, coords | kinds)

    assert (
        "Grad-CAM of the predicted class and the masks have an attention IoU of 0.5 with `x` to 0.3 with `y` at the "
        "end (medians of runs that differ in their seed, means of the samples)."
    ) in said(result.assign_attrs(stage="attribution", objective="predicted_logit"))
    named = headlines(result.assign_attrs(stage="attribution"))["attention_iou"]
    assert named.attrs["long_name"].endswith(", Grad-CAM")
