"""How far each tensor moved."""

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.scan import Tensor, at_step, scan
from trajlab.statistics.result import Meaning, Sums, annotate, columns_of, stride, with_totals
from trajlab.statistics.zero_transitions import by_cause

MEANINGS = {
    "norm": Meaning("norm", "weight", "|w_t|₂"),
    "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count"),
    "distance_l1": Meaning("L1 distance from {reference}", "weight", "Σ|w_t − w_0|"),
    "distance_l2": Meaning("distance from {reference}", "weight", "|w_t − w_0|₂"),
    "distance_linf": Meaning("largest change of an entry", "weight", "max|w_t − w_0|"),
    "relative": Meaning("relative distance from {reference}", "1", "|w_t − w_0|₂ / |w_0|₂"),
    "cosine": Meaning("cosine with {reference}", "1", "w_t·w_0 / (|w_t|₂ |w_0|₂)"),
    "changed": Meaning("share of entries whose bits changed", "1", "mean of bits(w_t) ≠ bits(w_0)", share=True),
    "changed_tol": Meaning(
        "share of entries changed beyond tolerance", "1", "mean of |w_t − w_0| > atol + rtol·|w_0|", share=True
    ),
    "sign_changed": Meaning(
        "share of entries that changed sign", "1", "mean of sign(w_t) ≠ sign(w_0), each −1, 0 or 1", share=True
    ),
    "update_l2": Meaning("distance from the previous snapshot", "weight", "|w_t − w_prev|₂"),
    "update_ratio": Meaning("relative distance from the previous snapshot", "1", "|w_t − w_prev|₂ / |w_prev|₂"),
    "path_length": Meaning("length of the path", "weight", "running sum of update_l2"),
    "straightness": Meaning("straightness of the path", "1", "distance_l2 / path_length"),
    "unchanged_cause": Meaning(
        "entries that never changed, by cause", "entries", "count of bits(w_t) = bits(w_0) at all t"
    ),
}


def drift(
    weight: Tensor, parent_weight: Tensor | None = None, *, reference: int = 0, rtol: float = 0.0, atol: float = 0.0
) -> xr.Dataset:
    """How far each tensor moved: distance from its start, length and straightness of its path.

    Answers: did this layer move, how far, along how straight a path, and which share of its entries changed at all?

    Parameters
    ----------
    weight
        One parameter over training, dims (step, ...), or a mapping of several.
    parent_weight
        The same of another run; distances are then from its weights, and straightness has no meaning.
    reference
        Reference step of distances; 0 is the first recorded step and -1 the last.
    rtol
        Relative tolerance of `changed_tol`: changes up to this share of |w_0| do not count.
    atol
        Absolute tolerance of `changed_tol`, added to the relative one.

    Returns
    -------
    norm, distance_l1, distance_l2, distance_linf, relative, cosine : (step, parameter)
        Norm of the tensor, and its distance from and cosine with the reference w_0.
    changed, changed_tol, sign_changed : (step, parameter)
        Share of entries that differ from the reference, 0 to 1.
    update_l2, update_ratio, path_length, straightness : (step, parameter)
        Change since the previous snapshot, and the path so far; NaN at the first snapshot, where the path has length 0.
    unchanged_cause : (parameter, cause)
        Entries whose bits never differed from the reference. Frozen: the whole parameter; structural: the same kernel
        taps in all filters of a convolution; dead unit: the whole row of a unit; static: the rest.
    nonfinite : (step, parameter)
        Entries that are NaN or Inf. All else excludes them, and pairs with one such side.
    total_… : (step)
        The same for the whole network, from the sums over all entries; for a mapping of tensors only.

    Raises
    ------
    BadSetting
        A tolerance is negative or not finite.
    MissingData
        The reference step was not recorded, or has another shape.

    References
    ----------
    Distance and update size as in Cockpit (Schneider et al. 2021, arXiv:2102.06604).
    """
    if not (0 <= rtol < np.inf and 0 <= atol < np.inf):
        raise BadSetting(f"cannot use rtol={rtol} and atol={atol}: choose finite numbers ≥ 0")
    anchor = reference if parent_weight is None else at_step(parent_weight, reference)
    table, unchanged = scan(Pairs(atol, rtol), weight, reference=anchor)
    result = as_one_task(_result, table, unchanged)
    of = "itself" if parent_weight is None else "parent"
    return annotate(result, MEANINGS, reference=reference, reference_of=of, rtol=rtol, atol=atol)


def _result(table: xr.DataArray, unchanged: xr.DataArray) -> xr.Dataset:
    sums = columns_of(table)
    result = with_totals(_quantities, sums.assign(finite=sums.sampled - sums.nonfinite))
    cause = by_cause(unchanged)
    result["unchanged_cause"] = cause
    if "parameter" in cause.dims:
        result["total_unchanged_cause"] = cause.sum("parameter")
    return stride(result)


def _quantities(sums: Sums) -> dict[str, xr.Variable]:
    known, some = sums.reference_valid > 0, (sums.finite > 0) | (sums.nonfinite == 0)
    ww, rr, distance = np.sqrt(sums.reference_ww), np.sqrt(sums.reference_rr), np.sqrt(sums.reference_l2)
    update = np.sqrt(sums.previous_l2).where(sums.previous_valid > 0)
    first = sums.previous_valid.isnull()
    path = update.where(~first, 0.0).cumsum("step", skipna=False).where(sums.squares.notnull())
    return {
        "norm": np.sqrt(sums.squares).where(some),
        "nonfinite": sums.nonfinite,
        "distance_l1": sums.reference_l1.where(known),
        "distance_l2": distance.where(known),
        "distance_linf": sums.reference_linf.where(known),
        "relative": distance / rr,
        "cosine": (sums.reference_dot / (ww * rr)).clip(-1.0, 1.0),
        "changed": sums.reference_changed / sums.reference_valid,
        "changed_tol": sums.reference_beyond / sums.reference_valid,
        "sign_changed": sums.reference_sign / sums.reference_valid,
        "update_l2": update,
        "update_ratio": update / np.sqrt(sums.previous_rr),
        "path_length": path,
        "straightness": distance / path,
    }
