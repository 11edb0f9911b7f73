"""How far each tensor moved."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.kernels.term_products import PairProducts
from trajlab.scan.scan import Tensor, at_step, by_name, position_of, scan
from trajlab.scan.source import epsilon_of
from trajlab.statistics.result import Meaning, Sums, annotate, columns_of, pool, stride
from trajlab.statistics.samples import (
    SAMPLED,
    estimated,
    estimated_counts,
    holds_samples,
    sampled,
    term_error,
    with_products,
)
from trajlab.statistics.shared_steps import at_shared_steps, totals_over
from trajlab.statistics.standard_errors import root_error, share_error, total_error
from trajlab.statistics.zero_transitions import by_cause

LOST = "below_resolution"
"""Cause of entries whose updates are lost in rounding."""

COARSE = 1e-4
"""Spacing at 1 from which on a type of floats is coarse: float16, bfloat16 and float8."""

MEANINGS = {
    "norm": Meaning("norm", "weight", "|w_t|₂, samples scaled to the whole tensor"),
    "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count"),
    "distance_l1": Meaning(
        "L1 distance from {reference}", "weight", "Σ|w_t − w_0|, samples scaled to the whole tensor"
    ),
    "distance_l2": Meaning("distance from {reference}", "weight", "|w_t − w_0|₂, samples scaled to the whole tensor"),
    "distance_linf": Meaning("largest change of an entry", "weight", "max|w_t − w_0| of the recorded entries"),
    "relative": Meaning("relative distance from {reference}", "1", "|w_t − w_0|₂ / |w_0|₂"),
    "cosine": Meaning("cosine with {reference}", "1", "w_t·w_0 / (|w_t|₂ |w_0|₂)"),
    "changed": Meaning("share of entries whose bits changed", "1", "mean of bits(w_t) ≠ bits(w_0)", share=True),
    "changed_tol": Meaning(
        "share of entries changed beyond tolerance", "1", "mean of |w_t − w_0| > atol + rtol·|w_0|", share=True
    ),
    "sign_changed": Meaning(
        "share of entries that changed sign", "1", "mean of sign(w_t) ≠ sign(w_0), each −1, 0 or 1", share=True
    ),
    "changed_norm": Meaning(
        "norm of the entries whose bits changed",
        "weight",
        "sqrt(Σw_t²) over bits(w_t) ≠ bits(w_0), samples scaled to the whole tensor",
    ),
    "changed_norm_ratio": Meaning(
        "norm of the changed entries, relative to the norm", "1", "changed_norm / |w_t|₂ over the entries compared"
    ),
    "update_l2": Meaning(
        "distance from the previous snapshot", "weight", "|w_t − w_prev|₂, samples scaled to the whole tensor"
    ),
    "update_ratio": Meaning("relative distance from the previous snapshot", "1", "|w_t − w_prev|₂ / |w_prev|₂"),
    "path_length": Meaning("length of the path", "weight", "running sum of update_l2"),
    "straightness": Meaning("straightness of the path", "1", "distance_l2 / path_length"),
    "unchanged_cause": Meaning(
        "entries that never changed, by cause", "entries", "count of bits(w_t) = bits(w_0) at all t"
    ),
}
_UPPER = "from those of its parts as if they always fell together, an upper bound; 0 if all entries are recorded"
for _name in (
    "norm", "distance_l1", "distance_l2", "relative", "cosine", "changed", "changed_tol", "sign_changed",
    "changed_norm", "changed_norm_ratio", "update_l2", "update_ratio", "path_length", "straightness",
):  # fmt: skip
    MEANINGS[f"{_name}_se"] = Meaning(
        f"standard error of the {MEANINGS[_name].long_name}",
        MEANINGS[_name].units,
        _UPPER if _name in ("path_length", "straightness") else SAMPLED,
    )


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
    changed_norm, changed_norm_ratio : (step, parameter)
        Norm of the entries whose bits differ from the reference, and its ratio to the norm of all entries. The ratio of
        the unchanged entries is sqrt(1 − changed_norm_ratio²).
    update_l2, update_ratio, path_length, straightness : (step, parameter)
        Change since the previous snapshot, and the path so far; NaN at the first snapshot, where the path has length 0.
        Straightness is known where distances are from the first snapshot.
    unchanged_cause : (parameter, cause)
        Recorded entries whose bits never differed from the reference. Frozen: the whole parameter; structural: the same
        kernel taps in all filters of a convolution; dead unit: all that leads into a unit; below resolution: the type
        that the tensor is stored in, such as bfloat16, is too coarse for the updates of the network; static: the rest.
    nonfinite : (step, parameter)
        Recorded entries that are NaN or Inf. All else excludes them, and pairs with one such side.
    …_se : as the estimate
        Standard errors, where only a sample of the entries was recorded, as of gradients: norms, distances and paths
        are then those of the whole tensor, estimated from the sample; `distance_linf` is a lower bound.
    total_… : (step)
        The same for the whole network, from the sums over all entries; for a mapping of tensors only. Of tensors that
        were recorded at different steps, totals follow the path over the steps that all share, and are NaN at others;
        the attr `totals_over` says so.

    A single snapshot says nothing about change: all but `norm` and `nonfinite` is NaN, unless it is compared with a
    parent.

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
    names, tables = zip(*_tables(weight, anchor, Pairs(atol, rtol)).items(), strict=True)
    starts = [parent_weight is None and position_of(array, reference) == 0 for array in by_name(weight).values()]
    of = "itself" if parent_weight is None else "parent"
    tensors = by_name(weight).values()
    spacings = np.array([0.0 if array.attrs.get("frozen") else spacing_of(array) for array in tensors])
    work = partial(
        _result, names=names, from_start=np.array(starts, bool), alone=parent_weight is None, spacings=spacings
    )
    attrs = {"reference": reference, "reference_of": of, "rtol": rtol, "atol": atol} | totals_over(weight)
    return annotate(as_one_task(work, *tables), MEANINGS, **attrs)


def _tables(weight: Tensor, anchor: Tensor | int, kernel: Pairs) -> dict[str, xr.DataArray]:
    """Return the sums of all tensors, over the shared steps if they differ, and products for those that are sampled."""
    tables = {}
    tables["sums"], tables["unchanged"] = scan(kernel, weight, reference=anchor)
    together = at_shared_steps(weight) if isinstance(weight, Mapping) else None
    if together is not None and min(array.sizes["step"] for array in together.values()) > 0:
        tables["shared"], _ = scan(kernel, together, reference=anchor)
    for name, tensors in (("", by_name(weight)), ("shared_", together if "shared" in tables else None)):
        some = sampled(tensors or {})
        if some:
            of_some = some if isinstance(weight, Mapping) else weight
            tables[f"{name}products"], _ = scan(PairProducts(), of_some, reference=anchor)
    return tables


def _result(
    *tables: xr.DataArray, names: tuple[str, ...], from_start: np.ndarray, alone: bool, spacings: np.ndarray
) -> xr.Dataset:
    by_table = dict(zip(names, tables, strict=True))
    sums = _with_products(by_table, "sums", "products")
    many = "parameter" in sums.dims
    straight = xr.Variable("parameter", from_start) if many else xr.Variable((), from_start.all())
    result = xr.Dataset(_quantities(sums, straight, alone=alone), sums.coords)
    cause = _with_resolution(by_cause(by_table["unchanged"]), sums, spacings if many else spacings[0])
    if alone:
        cause = cause.where(sums.squares.notnull().sum("step") > 1)
    result["unchanged_cause"] = cause
    if many:
        shared = _with_products(by_table, "shared", "shared_products") if "shared" in by_table else sums
        totals = _quantities(shared, xr.Variable((), from_start.all()), alone=alone, total=True)
        whole = xr.Dataset(totals, {"step": shared["step"]}).reindex(step=sums["step"])
        whole["unchanged_cause"] = estimated_counts(cause).sum("parameter", min_count=1)
        result = result.assign({f"total_{name}": total.variable for name, total in whole.data_vars.items()})
    return stride(result)


def _with_resolution(cause: xr.DataArray, sums: xr.Dataset, spacings: np.ndarray | float) -> xr.DataArray:
    """Move entries that never changed to the cause `LOST`, of tensors whose type is too coarse for the updates.

    The size of an update is the median, over all tensors that moved, of the largest RMS change of an entry between
    snapshots, divided by the root of the number of optimizer steps between them, as of steps in independent directions.
    It is lost where it is below a quarter of the spacing of the type at 1 times the RMS of the tensor, which is the
    least that half a unit in the last place can be there.
    """
    if not np.any(spacings):
        return cause
    step = sums["step"]
    strides = step.diff("step").reindex(step=step, fill_value=1)
    moved = np.sqrt(sums.previous_l2 / sums.previous_valid / strides).max("step")
    size = np.sqrt(sums.squares / sums.finite).max("step").values
    updates = moved.values[np.isfinite(moved.values) & (moved.values > 0)]
    update = float(np.median(updates)) if len(updates) else np.nan
    is_lost = xr.DataArray((spacings / 4 * size > update) & bool(np.isfinite(update)), dims=moved.dims)
    still = cause.sel(cause=["dead_unit", "frozen", "static"])
    lost = still.where(is_lost, 0.0).sum("cause", skipna=False).expand_dims(cause=[LOST], axis=-1)
    kept = cause.where(~is_lost | (cause["cause"] == "structural"), 0.0 * cause)
    return xr.concat([kept, lost.assign_coords(cause=np.array([LOST], dtype=object))], "cause").transpose(..., "cause")


def spacing_of(array: xr.DataArray) -> float:
    """Return the spacing at 1 of the floats that a tensor was stored in, 0 if they are as fine as float32."""
    spacing = epsilon_of(str(array.attrs.get("stored_dtype", array.dtype)))
    return spacing if spacing > COARSE else 0.0


def _with_products(tables: dict[str, xr.DataArray], sums: str, products: str) -> xr.Dataset:
    table = columns_of(tables[sums])
    table = table.assign(finite=table.sampled - table.nonfinite)
    return with_products(table, columns_of(tables[products]) if products in tables else None)


def _quantities(
    table: xr.Dataset, from_start: xr.Variable, *, alone: bool, total: bool = False
) -> dict[str, xr.Variable]:
    """Return the quantities of each parameter, or of all together, and their errors if any is sampled."""
    whole = estimated(table)
    sums = pool(whole) if total else Sums.of(whole)
    is_valid, some = sums.reference_valid > 0, (sums.finite > 0) | (sums.nonfinite == 0)
    recorded = sums.squares.notnull()
    compared = recorded.sum("step") > 1 if alone else xr.Variable((), True)
    ww, rr, distance = np.sqrt(sums.reference_ww), np.sqrt(sums.reference_rr), np.sqrt(sums.reference_l2)
    changed, update = np.sqrt(sums.reference_changed_ww), np.sqrt(sums.previous_l2).where(sums.previous_valid > 0)
    path = _along_path(update, sums).where(recorded)
    moved = {
        "distance_l1": sums.reference_l1.where(is_valid),
        "distance_l2": distance.where(is_valid),
        "distance_linf": sums.reference_linf.where(is_valid),
        "relative": distance / rr,
        "cosine": (sums.reference_dot / (ww * rr)).clip(-1.0, 1.0),
        "changed": sums.reference_changed / sums.reference_valid,
        "changed_tol": sums.reference_beyond / sums.reference_valid,
        "sign_changed": sums.reference_sign / sums.reference_valid,
        "changed_norm": changed.where(is_valid),
        "changed_norm_ratio": (changed / ww).clip(max=1.0),
        "update_l2": update,
        "update_ratio": update / np.sqrt(sums.previous_rr),
        "path_length": path,
        "straightness": (distance / path).where(from_start),
    }
    result = {
        "norm": np.sqrt(sums.squares).where(some),
        "nonfinite": sums.nonfinite if total else table["nonfinite"].variable,
        **{name: values.where(compared) for name, values in moved.items()},
    }
    return result | (_errors(Sums.of(table), sums, result, total) if holds_samples(table) else {})


def _errors(sums: Sums, whole: Sums, result: dict[str, xr.Variable], total: bool) -> dict[str, xr.Variable]:
    """Return the standard errors of `result` from sums over the sample, `sums`, and estimated ones, `whole`."""
    error = partial(term_error, sums=sums, total=total)
    size = np.sqrt(whole.reference_ww) * np.sqrt(whole.reference_rr)
    squares = {
        "norm": "squares", "distance_l2": "reference_l2", "changed_norm": "reference_changed_ww",
        "update_l2": "previous_l2",
    }  # fmt: skip
    ratios = {
        "relative": ("reference_l2", "reference_rr"),
        "changed_norm_ratio": ("reference_changed_ww", "reference_ww"),
        "update_ratio": ("previous_l2", "previous_rr"),
    }
    shares = {"changed": "reference_changed", "changed_tol": "reference_beyond", "sign_changed": "reference_sign"}
    errors = {name: root_error(error({term: 1.0}), result[name]) for name, term in squares.items()}
    for name, (part, base) in ratios.items():
        of_square = error({part: 1.0, base: -(result[name] ** 2)}) / getattr(whole, base)
        errors[name] = root_error(of_square, result[name])
    half = -result["cosine"] / 2.0
    errors["cosine"] = error(
        {
            "reference_dot": 1.0 / size,
            "reference_ww": half / whole.reference_ww,
            "reference_rr": half / whole.reference_rr,
        }
    )
    errors["distance_l1"] = total_error(sums.reference_l1, sums.reference_l2, sums, total=total)
    for name, part in shares.items():
        errors[name] = share_error(getattr(sums, part), sums.reference_valid, sums, total=total)
    errors["path_length"] = _along_path(errors["update_l2"], whole)
    of_distance, of_path = (errors[name] / result["path_length"] for name in ("distance_l2", "path_length"))
    errors["straightness"] = (of_distance + result["straightness"] * of_path).where(errors["path_length"] != 0, 0.0)
    return {f"{name}_se": values.where(result[name].notnull()) for name, values in errors.items()}


def _along_path(of_updates: xr.Variable, sums: Sums) -> xr.Variable:
    """Return the running sum over updates; unknown from an unknown update on. No update leads to a first step."""
    return of_updates.where(sums.previous_valid.notnull(), 0.0).cumsum("step", skipna=False)
