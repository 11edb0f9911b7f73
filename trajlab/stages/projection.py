"""Principal components over the steps beside those of a random walk, and how far each step is from others."""

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.runs.tensors import common_steps
from trajlab.scan.kernels.gram import walk
from trajlab.scan.scan import Tensor, by_name
from trajlab.scan.step_products import principal_components
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.shown_steps import shown_steps

MEANINGS = {
    "explained_variance_ratio": Meaning(
        "share of the variance over the steps",
        "1",
        "λ_k / Σλ, eigenvalues of products of deviations at pairs of steps",
        share=True,
    ),
    "explained_variance_ratio_walk": Meaning(
        "share of the variance, random walk",
        "1",
        "the same of a walk in many dimensions, seen at the same steps",
        share=True,
    ),
    "scores": Meaning("position along the component", "weight", "(w_t − center)·v_k, v_k the component of length 1"),
    "distance": Meaning("distance from the anchor", "weight", "|w_t − w_a|₂, a the step of the anchor"),
    "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count"),
    "left_out": Meaning("entries left out at all steps", "entries", "count of those that are NaN or Inf at any step"),
}


def projection(weight: Tensor, *, components: int = 10, center: str = "mean", anchors: int = 50) -> xr.Dataset:
    """Which directions the weights moved in most, and how they moved there, beside a random walk.

    Answers: is the path low-dimensional, more so than a random walk of as many steps, does it settle or come back, and
    what does it look like?

    Parameters
    ----------
    weight
        One parameter's life, dims (step, ...), or those of many by name.
    components
        Number of directions.
    center
        What deviations are taken from: the mean over the steps, or the last step.
    anchors
        Number of steps that distances are taken from, evenly spaced, with the first and the last.

    Returns
    -------
    explained_variance_ratio : (parameter, component)
        Share of each direction in the sum of squared deviations over the steps; NaN for what never moved.
    explained_variance_ratio_walk : (parameter, component)
        What a random walk shows.
    scores : (step, parameter, component)
        The path along the directions.
    distance : (step, parameter, anchor)
        How far each step is from the steps of the anchors.
    nonfinite, left_out : (step, parameter), (parameter)
        Entries that are NaN or Inf at a step; an entry that is so at any step is left out at all.
    total_… : (component), (step, component), …
        The same of the whole network, at the steps that all parameters have; with many tensors only.

    Raises
    ------
    MissingData
        There is no tensor.
    BadSetting
        There is to be no component or no anchor, or `center` is neither "mean" nor "last".

    Notes
    -----
    The directions are those of PCA on the flat weights of all steps: the eigenvectors of the products of all pairs of
    steps, which are summed in float64 in one pass. Directions whose share is below its rounding error, 2⁻⁵² times the
    number of steps, are 0. A direction and its opposite are the same to PCA: here the first step is on the negative
    side.

    The first direction of a random walk in many dimensions, each step independent of those before, holds 6/π² = 61 %
    of its variance and the k-th 6/(π²k²), and its scores look like half waves: low dimension and a smooth arc in the
    plane are no sign of learning as such. For T steps of one stride the shares are 1.5 / ((T² − 1) sin²(πk/2T)); other
    strides are taken into account. A walk in few dimensions, such as a bias of ten entries, shows more.

    Of sampled gradients only what was recorded is known; in totals each sample counts for its whole parameter.

    References
    ----------
    Antognini and Sohl-Dickstein 2018, arXiv:1806.08805. Centered on the last step: Li et al. 2018, arXiv:1712.09913.
    """
    if components < 1 or anchors < 1 or center not in ("mean", "last"):
        raise BadSetting(
            f"components={components}, center={center!r} and anchors={anchors} were asked for; one component or more "
            "can be found, about the center 'mean' or 'last', and one anchor or more. Change the setting."
        )
    tensors = by_name(weight)
    if not tensors:
        raise MissingData("a tensor was asked for to project; there is none. Name a run with weights.")
    longest = max(tensors.values(), key=lambda array: array.sizes["step"])
    count = max(1, min(components, longest.sizes["step"] - 1))
    shared = common_steps(array["step"].values for array in tensors.values())
    known = longest["step"] if not len(shared) else xr.DataArray(shared, dims="step")
    chosen = known.values[shown_steps(known, (), anchors)].tolist()
    result = principal_components(weight, count, center, chosen)
    walks = [walk(array["step"].values, count, center) for array in tensors.values()]
    if isinstance(weight, xr.DataArray):
        result["explained_variance_ratio_walk"] = ("component", walks[0])
    else:
        result["explained_variance_ratio_walk"] = (("parameter", "component"), np.array(walks).reshape(-1, count))
        result["total_explained_variance_ratio_walk"] = ("component", walk(shared, count, center))
        for name in ("nonfinite", "left_out"):
            result[f"total_{name}"] = result[name].sum("parameter", skipna=False)
    return annotate(result, MEANINGS, center=center)
