"""Principal components of the path through weight space, compared with a random walk, and distances between steps."""

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.runs.tensors import common_steps
from trajlab.scan.kernels.gram import walk
from trajlab.scan.scan import Tensor, by_name
from trajlab.scan.step_products import principal_components
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.samples import SAMPLED
from trajlab.statistics.shared_steps import totals_over
from trajlab.statistics.shown_steps import shown_steps

MEANINGS = {
    "explained_variance_ratio": Meaning(
        "share of the variance over the steps",
        "1",
        "λ_k / Σλ, eigenvalues of products of deviations at pairs of steps",
        share=True,
    ),
    "explained_variance_ratio_se": Meaning("standard error of the share of the variance over the steps", "1", SAMPLED),
    "explained_variance_ratio_walk": Meaning(
        "share of the variance, random walk",
        "1",
        "the same for a random walk in many dimensions at the same steps",
        share=True,
    ),
    "scores": Meaning(
        "position along the component", "weight", "(w_t − center)·v_k, v_k the component of length 1", nominal=True
    ),
    "distance": Meaning(
        "distance from the anchor", "weight", "|w_t − w_a|₂, a the anchor step, samples scaled to the whole tensor"
    ),
    "distance_se": Meaning("standard error of the distance from the anchor", "weight", SAMPLED),
    "direction_consistency": Meaning(
        "direction consistency of successive updates", "1", "u_t·u_prev / (|u_t|₂ |u_prev|₂), u_t = w_t − w_prev"
    ),
    "direction_consistency_null": Meaning(
        "standard deviation of the direction consistency of random updates",
        "1",
        "1/√n, of two random directions of n recorded entries; of all parameters together, each of n_i entries and in "
        "random directions as far as it moved, sqrt(Σ|u_i|²|u_prev,i|²/n_i) / sqrt(Σ|u_i|² Σ|u_prev,i|²)",
    ),
    "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count"),
    "left_out": Meaning("entries excluded at all steps", "entries", "count of entries that are NaN or Inf at any step"),
}


def projection(weight: Tensor, *, components: int = 10, center: str = "mean", anchors: int = 50) -> xr.Dataset:
    """Principal components of the weights over training, compared with a random walk, and distances between steps.

    Answers: is the path low-dimensional, more so than a random walk of as many steps, does it settle or return, and do
    updates go on in the direction of those before?

    Parameters
    ----------
    weight
        One parameter over training, dims (step, ...), or a mapping of several.
    components
        Number of principal components.
    center
        Origin of the deviations: "mean" over the steps, or the "last" step.
    anchors
        Number of evenly spaced steps from which distances are taken, the first and the last included.

    Returns
    -------
    explained_variance_ratio, explained_variance_ratio_se : (parameter, component)
        Share of each component in the sum of squared deviations over the steps; NaN for a tensor that never moved. Its
        standard error, where only a sample of the entries was recorded.
    explained_variance_ratio_walk : (parameter, component)
        The same for a random walk.
    scores : (step, parameter, component)
        The path along the components.
    distance, distance_se : (step, parameter, anchor)
        Distance of each step from each anchor step, and its standard error where only a sample of the entries was
        recorded.
    direction_consistency : (step, parameter)
        Cosine of each update between recorded steps with the one before: 1 straight on, 0 for independent directions,
        below 0 back and forth. NaN at the first two steps.
    direction_consistency_null : (parameter)
        Standard deviation of that cosine for random directions, whose mean is 0. That of the whole network, (step), is
        of directions that are random within each parameter, which moves as far as it did.
    nonfinite, left_out : (step, parameter), (parameter)
        Recorded entries that are NaN or Inf at a step. An entry that is NaN or Inf at any step is excluded at every
        step.
    total_… : (component), (step, component), …
        The same for the whole network, at the steps that all parameters share; for a mapping of tensors only. The attr
        `totals_over` says if these are not all.

    Raises
    ------
    MissingData
        There is no tensor.
    BadSetting
        `components` or `anchors` is below 1, or `center` is neither "mean" nor "last".

    Notes
    -----
    This is PCA of the flat weights over the steps, from the eigenvectors of the products of all pairs of steps. These
    are summed in float64 in one pass. Components whose share is below its rounding error, 2⁻⁵² times the number of
    steps, are 0. The sign of a component is chosen so that the first step has a negative score.

    The first component of a random walk in many dimensions explains 6/π² = 61 % of its variance, the k-th 6/(π²k²), and
    its scores look like half waves. Low dimension and a smooth arc in the plane are thus no sign of learning. For T
    steps of one stride the shares are 1.5 / ((T² − 1) sin²(πk/2T)); other strides are taken into account. A walk in few
    dimensions, such as a bias of ten entries, has larger shares.

    A sample of the entries of a gradient counts for the whole tensor: scores and distances are scaled to it. The error
    of a share is linearized. It holds for components whose shares differ by several of their errors: the sample makes
    the largest of similar shares too large, as it takes its chance variation for structure. Scores and the direction
    consistency, as estimates from a sample, have no standard error.

    Updates between recorded steps are sums of those of the optimizer. If these are independent, so are those, whatever
    the stride; momentum shows where steps are recorded within its memory.

    References
    ----------
    Antognini and Sohl-Dickstein 2018, arXiv:1806.08805. Centered on the last step: Li et al. 2018, arXiv:1712.09913.
    """
    if components < 1 or anchors < 1 or center not in ("mean", "last"):
        raise BadSetting(
            f"cannot use components={components}, center={center!r} and anchors={anchors}: choose one or more "
            "components and anchors, and center 'mean' or 'last'"
        )
    tensors = by_name(weight)
    if not tensors:
        raise MissingData("cannot project: the run has no weights; name a run with weights")
    longest = max(tensors.values(), key=lambda array: array.sizes["step"])
    count = max(1, min(components, longest.sizes["step"] - 1))
    shared = common_steps(array["step"].values for array in tensors.values())
    steps = longest["step"] if not len(shared) else xr.DataArray(shared, dims="step")
    anchor_steps = steps.values[shown_steps(steps, (), anchors)].tolist()
    result = principal_components(weight, count, center, anchor_steps)
    walks = [walk(array["step"].values, count, center) for array in tensors.values()]
    if isinstance(weight, xr.DataArray):
        result["explained_variance_ratio_walk"] = ("component", walks[0])
    else:
        result["explained_variance_ratio_walk"] = (("parameter", "component"), np.array(walks).reshape(-1, count))
        result["total_explained_variance_ratio_walk"] = ("component", walk(shared, count, center))
        for name in ("nonfinite", "left_out"):
            result[f"total_{name}"] = result[name].sum("parameter", skipna=False)
    return annotate(result, MEANINGS, center=center, **totals_over(weight))
