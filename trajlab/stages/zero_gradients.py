"""Which gradient entries are zero or close to it, and how they enter and leave that state."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.scan import Tensor, scan
from trajlab.statistics.averages import averaged
from trajlab.statistics.result import CONSECUTIVE, Meaning, Sums, along, annotate
from trajlab.statistics.samples import estimated_counts, with_totals
from trajlab.statistics.shared_steps import totals_over
from trajlab.statistics.standard_errors import rate_meanings, scan_errors, with_rate_errors
from trajlab.statistics.zero_transitions import by_cause, by_threshold, errors_of, kernel_of

STATES = ("zero", "small", "large")
AMONG = ("all", "retained", "retained_unflipped", "released")

MEANINGS = {
    "transitions": Meaning("entries by state before and now", "entries", "zero: g = 0; small: 0 < |g| ≤ tau; large"),
    "near_zero": Meaning("entries that are zero or small", "entries", "|g_t| ≤ tau"),
    "retained": Meaning("entries near zero before and now", "entries", "|g_prev| ≤ tau and |g_t| ≤ tau"),
    "released": Meaning("entries that left near zero", "entries", "|g_prev| ≤ tau < |g_t|"),
    "captured": Meaning("entries that came near zero", "entries", "|g_t| ≤ tau < |g_prev|"),
    "fraction_near_zero": Meaning(
        "share of entries near zero", "1", "near_zero / entries finite at both steps", share=True
    ),
    "fraction_released": Meaning(
        "share of near-zero entries that left", "1", "released / entries near zero before", share=True
    ),
    "fraction_captured": Meaning(
        "share of large entries that came near zero", "1", "captured / entries large before", share=True
    ),
    "weight_change": Meaning(
        "mean change of the weights",
        "weight",
        "mean |w_t − w_prev| over the entries that the coord `among` names",
        needs=CONSECUTIVE,
    ),
    "always_zero": Meaning(
        "entries that were never non-zero, by cause", "entries", "count of g_t = 0 at all recorded t"
    ),
}
for _name in ("fraction_near_zero", "fraction_released", "fraction_captured"):
    MEANINGS |= rate_meanings(_name, MEANINGS[_name])


def zero_gradients(
    gradient: Tensor,
    weight: Tensor | None = None,
    *,
    tau: Sequence[float] = (1e-7, 1e-5),
    relative: Sequence[float] = (0.01,),
    average: float = 0.0,
) -> xr.Dataset:
    """Which gradient entries are zero or small, and how they enter and leave that state.

    Answers: which part of the network gets no gradient, for how long, why, and does the gradient return?

    Parameters
    ----------
    gradient
        Gradients of one parameter, dims (step, ...) or (step, sample), or a mapping of several.
    weight
        Weights of the same parameters; `weight_change` is NaN where they were not recorded at both steps.
    tau
        Absolute thresholds: entries with 0 < |g| ≤ tau are small.
    relative
        Relative thresholds, in units of the root mean square of the tensor at that step.
    average
        Decay β of a moving average that takes the place of the gradient, over the recorded steps and corrected for its
        start, as Adam's first moment; 0 for the gradient itself.

    Returns
    -------
    transitions : (step, parameter, tau, state_prev, state_next)
        Entries by state at the previous recorded step and at this one; only entries finite at both.
    near_zero, retained, released, captured : (step, parameter, tau)
        Entries near zero now, near zero at both steps, and those that left or entered that state.
    fraction_near_zero, fraction_released, fraction_captured : (step, parameter, tau)
        Shares of entries.
    …_se, …_low, …_high : as the share
        Standard error of each share, and the bounds of its 95 % interval, where only a sample of the entries was
        recorded. Otherwise the error is 0, and both bounds are the share.
    weight_change : (step, parameter, tau, among)
        Mean change of the weights of all entries, of the retained, of the retained that kept their sign, and of the
        released.
    always_zero : (parameter, cause)
        Recorded entries whose gradient was zero at all steps. Frozen: the whole parameter; structural: the same kernel
        taps in all filters of a convolution; dead unit: the whole row of a unit; static: the rest.
    total_… : (step, …)
        The same for the whole network, with samples scaled to their whole tensor; for a mapping of tensors only. A
        tensor without a gradient at a step is no part of it there, and each is compared with its own gradient before;
        the attr `totals_over` names such tensors.

    The first recorded step has no previous one and is excluded. The coord `tau_kind` distinguishes absolute from
    relative thresholds.

    Notes
    -----
    Errors are linearized, with parameters and, in a sample spread evenly over them, taps of convolutions as strata.
    With relative thresholds they include the error of the root mean square of the sample. Its heavy tail is
    extrapolated: ±1.96 errors cover the truth in about 95 % of samples for normal entries and for log-normal scales up
    to σ = 1.5, for which they are up to three times too wide, in about 93 % for Student's t of 3 degrees, and in 83 to
    92 % of 2.5 degrees. The intervals are Wilson's: for rates below 3/n they cover less, 84 % at the least.

    References
    ----------
    Cochran 1977, Sampling Techniques; Wilson 1927, Journal of the American Statistical Association 22, 209.
    """
    gradient = averaged(gradient, average)
    kernel = kernel_of(tau, relative)
    table, always = scan(kernel, gradient, weight=weight)
    errors = scan_errors(errors_of(kernel), gradient, weight=weight)
    result = as_one_task(partial(_result, tau=kernel.tau, relative=kernel.relative), table, always, *errors)
    attrs = {"tau": list(tau), "relative": list(relative), "average": average}
    return annotate(result, MEANINGS, **attrs, **totals_over(gradient, at_each_step=True))


def _result(
    table: xr.DataArray, always: xr.DataArray, *errors: xr.DataArray, tau: tuple[float, ...],
    relative: tuple[float, ...],
) -> xr.Dataset:  # fmt: skip
    states = np.array(STATES, dtype=object)
    sums = by_threshold(table, tau, relative, errors)
    result = with_rate_errors(with_totals(_quantities, sums, skipna=True), _shares, sums).assign_coords(
        state_prev=states, state_next=states, among=np.array(AMONG, dtype=object)
    )
    cause = by_cause(always)
    result["always_zero"] = cause
    if "parameter" in cause.dims:
        result["total_always_zero"] = estimated_counts(cause).sum("parameter", min_count=1)
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
    rows = [along([count.set_dims(near_prev.sizes) for count in row], "state_next") for row in counts]
    return {
        "transitions": along(rows, "state_prev").transpose(..., "state_prev", "state_next"),
        "near_zero": near_next,
        "retained": both,
        "released": near_prev - both,
        "captured": near_next - both,
        "weight_change": along(changes, "among"),
    } | {name: part / whole for name, (part, whole) in _shares(sums).items()}
