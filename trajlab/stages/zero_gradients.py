"""Which gradient entries are zero or nearly so, and how they pass into and out of that state."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.scan import Tensor, scan
from trajlab.statistics.result import Meaning, Sums, along, annotate, with_totals
from trajlab.statistics.zero_transitions import by_cause, by_threshold, kernel_of

STATES = ("zero", "small", "large")
AMONG = ("all", "retained", "retained_unflipped", "released")

_SE = "sqrt of the linearized variance of a ratio over a sample without replacement; 0 if all entries are recorded"
MEANINGS = {
    "transitions": Meaning("entries by state before and now", "entries", "zero: g = 0; small: 0 < |g| ≤ tau; large"),
    "near_zero": Meaning("entries that are zero or small", "entries", "|g_t| ≤ tau"),
    "retained": Meaning("entries near zero before and now", "entries", "|g_prev| ≤ tau and |g_t| ≤ tau"),
    "released": Meaning("entries that left near zero", "entries", "|g_prev| ≤ tau < |g_t|"),
    "captured": Meaning("entries that came near zero", "entries", "|g_t| ≤ tau < |g_prev|"),
    "fraction_near_zero": Meaning(
        "share of entries near zero", "1", "near_zero / entries finite at both steps", share=True
    ),
    "fraction_near_zero_se": Meaning("standard error of the share of entries near zero", "1", _SE),
    "fraction_released": Meaning(
        "share of near-zero entries that left", "1", "released / near zero before", share=True
    ),
    "fraction_released_se": Meaning("standard error of the share released", "1", _SE),
    "fraction_captured": Meaning(
        "share of large entries that came near zero", "1", "captured / large before", share=True
    ),
    "fraction_captured_se": Meaning("standard error of the share captured", "1", _SE),
    "weight_change": Meaning(
        "mean change of the weights", "weight", "mean |w_t − w_prev| over the entries named by among"
    ),
    "always_zero": Meaning(
        "entries that were never non-zero, by cause", "entries", "count of g_t = 0 at all recorded t"
    ),
}


def zero_gradients(
    gradient: Tensor,
    weight: Tensor | None = None,
    *,
    tau: Sequence[float] = (1e-7, 1e-5),
    relative: Sequence[float] = (0.01,),
) -> xr.Dataset:
    """Which gradient entries are zero or small, and how they pass into and out of that state.

    Answers: does part of the network get no gradient, for how long, for what reason, and does it come back?

    Parameters
    ----------
    gradient
        One parameter's gradients, dims (step, ...) or (step, sample), or those of many by name.
    weight
        The weights they belong to; `weight_change` is NaN where these were not recorded at both steps.
    tau
        Entries of up to this size are small.
    relative
        Entries of up to this share of the root mean square of their tensor at that step are small.

    Returns
    -------
    transitions : (step, parameter, tau, state_prev, state_next)
        Entries by state at the recorded step before and at this one; entries finite at both only.
    near_zero, retained, released, captured : (step, parameter, tau)
        The same in words.
    fraction_near_zero, fraction_released, fraction_captured : (step, parameter, tau)
        Shares, with standard errors `…_se` where only a sample of the entries was recorded.
    weight_change : (step, parameter, tau, among)
        Mean change of the weights over all entries, the retained, those of them that did not flip, and the released.
    always_zero : (parameter, cause)
        Recorded entries whose gradient was zero at all steps. Frozen: those of the whole parameter; structural: of the
        same kernel taps in all filters of a convolution; dead unit: of the whole row of a unit; static: the rest.
    total_… : (step, …)
        The same of the whole network, samples counted for the whole of their tensor; with many tensors only.

    The first recorded step has no step before it and is left out. The coord `tau_kind` tells absolute thresholds from
    relative ones.
    """
    kernel = kernel_of(tau, relative)
    table, always = scan(kernel, gradient, weight=weight)
    result = as_one_task(partial(_result, tau=kernel.tau, relative=kernel.relative), table, always)
    return annotate(result, MEANINGS, tau=list(tau), relative=list(relative))


def _result(
    table: xr.DataArray, always: xr.DataArray, *, tau: tuple[float, ...], relative: tuple[float, ...]
) -> xr.Dataset:
    states = np.array(STATES, dtype=object)
    result = with_totals(_quantities, by_threshold(table, tau, relative), shares=_shares).assign_coords(
        state_prev=states, state_next=states, among=np.array(AMONG, dtype=object)
    )
    cause = by_cause(always)
    result["always_zero"] = cause
    if "parameter" in cause.dims:
        result["total_always_zero"] = (cause * cause.numel / cause.sampled).sum("parameter")
    return result


def _shares(sums: Sums) -> dict[str, tuple[xr.Variable, xr.Variable]]:
    return {
        "fraction_near_zero": (sums.near_next, sums.valid),
        "fraction_released": (sums.near_prev - sums.near_near, sums.near_prev),
        "fraction_captured": (sums.near_next - sums.near_near, sums.valid - sums.near_prev),
    }


def _quantities(sums: Sums) -> dict[str, xr.Variable]:
    both, near_prev, near_next = sums.near_near, sums.near_prev, sums.near_next
    zero_large = sums.zero_prev - sums.zero_near
    large_zero = sums.zero_next - sums.near_zero
    counts = [
        [sums.zero_both, sums.zero_near - sums.zero_both, zero_large],
        [sums.near_zero - sums.zero_both, both - sums.zero_near - sums.near_zero + sums.zero_both,
         near_prev - both - zero_large],
        [large_zero, near_next - both - large_zero, sums.valid - near_prev - near_next + both],
    ]  # fmt: skip
    changes = [
        sums.change / sums.moved,
        sums.change_retained / sums.moved_retained,
        sums.change_unflipped / sums.moved_unflipped,
        sums.change_released / sums.moved_released,
    ]
    rows = [along([one.set_dims(near_prev.sizes) for one in row], "state_next") for row in counts]
    return {
        "transitions": along(rows, "state_prev").transpose(..., "state_prev", "state_next"),
        "near_zero": near_next,
        "retained": both,
        "released": near_prev - both,
        "captured": near_next - both,
        "weight_change": along(changes, "among"),
    } | {name: part / whole for name, (part, whole) in _shares(sums).items()}
