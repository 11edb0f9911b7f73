"""How often gradients and weights change sign from one recorded step to the next."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.kernels.entries import Raster, raster_positions
from trajlab.scan.scan import Tensor, by_name, scan
from trajlab.statistics.averages import averaged
from trajlab.statistics.result import CONSECUTIVE, Meaning, Sums, annotate, columns_of, pool, stride
from trajlab.statistics.samples import estimated, holds_samples, with_totals
from trajlab.statistics.shared_steps import at_shared_steps, own_strides, totals_over
from trajlab.statistics.standard_errors import rate_meanings, scan_errors, share_error, with_rate_errors
from trajlab.statistics.zero_transitions import by_threshold, errors_of, kernel_of

_SE = "square root of the linearized variance of a ratio, sampled without replacement; 0 if all entries are recorded"

MEANINGS = {
    "flips": Meaning("gradient entries that changed sign", "entries", "sign(g_t) = −sign(g_prev), both non-zero"),
    "flip_rate": Meaning(
        "share of gradient entries that changed sign",
        "1",
        "flips / entries non-zero and finite at both steps",
        share=True,
    ),
    "flip_rate_retained": Meaning(
        "flip rate of near-zero entries", "1", "flip_rate over entries with |g| ≤ tau at both steps", share=True
    ),
    "flip_rate_coin": Meaning("flip rate of a fair coin", "1", "0.5", share=True),
    "flip_rate_ar1": Meaning(
        "flip rate of an AR(1) process",
        "1",
        "1/2 − atan2(2a, 1 − a² − b²)/π, a = mean 2 g_t·g_prev/(g_t² + g_prev²), b = mean (g_t² − g_prev²)/(g_t² + "
        "g_prev²) over entries non-zero at both steps",
        share=True,
    ),
    "run_length": Meaning(
        "mean steps between flips",
        "steps",
        "Σ entries × steps since their tensor was recorded before, up to this step / flips up to this step",
    ),
    "minima": Meaning(
        "flips across a minimum", "entries", "flips with (w_t − w_prev)(g_t − g_prev) > 0", needs=CONSECUTIVE
    ),
    "maxima": Meaning(
        "flips across a maximum", "entries", "flips with (w_t − w_prev)(g_t − g_prev) < 0", needs=CONSECUTIVE
    ),
    "minima_rate": Meaning(
        "share of gradient entries that passed a minimum",
        "1",
        "minima / entries non-zero and finite at both steps",
        share=True,
        needs=CONSECUTIVE,
    ),
    "maxima_rate": Meaning(
        "share of gradient entries that passed a maximum",
        "1",
        "maxima / entries non-zero and finite at both steps",
        share=True,
        needs=CONSECUTIVE,
    ),
    "weight_flips": Meaning("weights that changed sign", "entries", "sign(w_t) = −sign(w_prev), both non-zero"),
    "weight_flip_rate": Meaning(
        "share of weights that changed sign",
        "1",
        "weight_flips / entries non-zero and finite at both steps",
        share=True,
    ),
    "weight_flip_rate_se": Meaning("standard error of the share of weights that changed sign", "1", _SE),
    "sign_map": Meaning("sign of gradient entries near zero", "1", "−1, 0 or +1 where |g| ≤ tau, else NaN"),
}
for _name in ("flip_rate", "flip_rate_retained", "minima_rate", "maxima_rate"):
    MEANINGS |= rate_meanings(_name, MEANINGS[_name])


def sign_flips(
    gradient: Tensor | None = None,
    weight: Tensor | None = None,
    *,
    tau: Sequence[float] = (1e-7, 1e-5),
    relative: Sequence[float] = (0.01,),
    sign_map_entries: int = 32,
    average: float = 0.0,
) -> xr.Dataset:
    """How often gradient and weight entries change sign from one recorded step to the next.

    Answers: does the optimizer oscillate across a valley, drift along one, or do signs flip like a fair coin?

    Parameters
    ----------
    gradient
        Gradients of one parameter, dims (step, ...) or (step, sample), or a mapping of several.
    weight
        Weights of the same parameters; without gradients, only flips of weights are counted.
    tau
        Absolute thresholds: entries with |g| ≤ tau are near zero.
    relative
        Relative thresholds, in units of the root mean square of the tensor at that step.
    sign_map_entries
        Number of entries of each tensor in `sign_map`.
    average
        Decay β of a moving average that takes the place of the gradient, over the recorded steps and corrected for its
        start, as Adam's first moment; 0 for the gradient itself.

    Returns
    -------
    flips, flip_rate : (step, parameter)
        Entries whose sign is opposite to that at the previous recorded step; signs are compared, not products.
    flip_rate_retained : (step, parameter, tau)
        The rate among entries near zero at both steps.
    flip_rate_coin, flip_rate_ar1 : (step, parameter)
        Flip rates by chance: of a fair coin, and of Gaussian AR(1) processes, one an entry, with the measured
        correlation of g_t and g_prev.
    run_length : (step, parameter)
        Mean optimizer steps between flips, up to this step; Inf before the first flip.
    minima, maxima : (step, parameter)
        Flips at which the weight crossed a minimum or a maximum of the loss along its axis, by the secant; NaN where
        the weights were not recorded at both steps.
    minima_rate, maxima_rate : (step, parameter)
        The same as shares of entries that are non-zero and finite at both steps.
    sign_map : (step, entry, tau)
        Signs of a few entries of each parameter; the coords `parameter_of` and `index_of` name them.
    weight_flips, weight_flip_rate : (step, parameter)
        The same for weights.
    total_… : (step, …)
        The same for the whole network, with samples scaled to their whole tensor; for a mapping of tensors only. Those
        of gradients are over the tensors recorded at the step, each since its own step before; those of weights compare
        the steps that all tensors share, and are NaN at others. The attr `totals_over` says so if they differ.

    …_se, …_low, …_high : as the rate
        Standard error of each rate of gradients, and the bounds of its 95 % interval, where only a sample of the
        entries was recorded; see `zero_gradients` for what they cover. Otherwise the error is 0, and both bounds are
        the rate.

    The first recorded step has no previous one and is excluded.

    Notes
    -----
    `flip_rate_ar1` weighs all entries alike, whatever their scale: it depends on the directions of the points
    (g_prev, g_t) alone. Twice their angle has a wrapped Cauchy distribution if g is Gaussian, with any correlation and
    any ratio of scales, and the rate is the probability of opposite signs for the mean direction of all entries. It is
    exact if all entries have the same correlation ρ, arccos(ρ)/π. Where correlations differ it deviates from the mean
    over entries by 0.06 at most.

    References
    ----------
    Orthant probability arccos(ρ)/π: Rice 1944, Bell System Technical Journal 23. Angular Gaussian distribution: Kent
    and Tyler 1988, Journal of Applied Statistics 15, 247.

    Raises
    ------
    MissingData
        The run has neither gradients nor weights.
    """
    if gradient is None and weight is None:
        raise MissingData(
            "cannot count sign flips: the run has neither gradients nor weights; name a run with snapshots"
        )
    if not 1 <= sign_map_entries <= 4096:
        raise BadSetting(f"cannot show sign_map_entries={sign_map_entries}: choose 1 to 4,096")
    kernel = kernel_of(tau, relative)
    parts = []
    if gradient is not None:
        gradient = averaged(gradient, average)
        table, _ = scan(kernel, gradient, weight=weight)
        errors = scan_errors(errors_of(kernel), gradient, weight=weight)
        entries, _ = scan(Raster(sign_map_entries), gradient)
        arrays = by_name(gradient)
        shown = {name: _shown(array, sign_map_entries) for name, array in arrays.items()}
        strides = own_strides(arrays, table["step"].values[1:])
        work = partial(_gradient_result, shown=shown, strides=strides, tau=kernel.tau, relative=kernel.relative)
        parts.append(as_one_task(work, table, entries, *errors))
    if weight is not None:
        table, _ = scan(Pairs(), weight, reference=0)
        together = at_shared_steps(weight) if isinstance(weight, Mapping) else None
        shared = [] if together is None or not _any_step(together) else [scan(Pairs(), together, reference=0)[0]]
        flips = as_one_task(_weight_result, table, *shared)
        parts.append(flips.rename(stride="weight_stride") if parts else flips)
    result = parts[0] if len(parts) == 1 else _joined(*parts)
    notes = totals_over(weight) if gradient is None else totals_over(gradient, at_each_step=True)
    return annotate(result, MEANINGS, tau=list(tau), relative=list(relative), average=average, **notes)


def _joined(of_gradients: xr.Dataset, of_weights: xr.Dataset) -> xr.Dataset:
    """Join the results of gradients and weights, over the tensors of either in the order of the network.

    A join of xarray sorts names that differ, and leaves the labels of tensors without gradients empty.
    """
    parts = (of_gradients, of_weights)
    if "parameter" not in of_weights.dims:
        return xr.merge(parts, join="outer", compat="override")
    names = list(dict.fromkeys(name for part in reversed(parts) for name in part["parameter"].values.tolist()))
    joined = xr.merge(
        [part.reindex(parameter=np.array(names, dtype=object)) for part in parts], join="outer", compat="override"
    )
    labels = {}
    for label in of_gradients.coords.keys() & of_weights.coords.keys():
        if label != "parameter" and of_weights[label].dims == ("parameter",):
            by_parameter = {name: value for part in reversed(parts) for name, value in part[label].to_series().items()}
            labels[label] = "parameter", np.array([by_parameter[name] for name in names], of_weights[label].dtype)
    return joined.assign_coords(labels)


def _any_step(tensors: Mapping[str, xr.DataArray]) -> bool:
    return all(array.sizes["step"] for array in tensors.values())


def _shown(array: xr.DataArray, sign_map_entries: int) -> np.ndarray:
    """Return the positions in the flat parameter of the entries of the sign map."""
    positions = raster_positions(math.prod(array.shape[1:]), sign_map_entries)
    return array["index"].values[positions] if "index" in array.coords else positions


def _gradient_result(
    table: xr.DataArray, entries: xr.DataArray, *errors: xr.DataArray, shown: dict[str, np.ndarray],
    strides: np.ndarray, tau: tuple[float, ...], relative: tuple[float, ...],
) -> xr.Dataset:  # fmt: skip
    sums = by_threshold(table, tau, relative, errors)
    steps_before = xr.DataArray(strides if "parameter" in sums.dims else strides[0], dims=sums["signed"].dims)
    sums = sums.assign(exposure=sums["signed"] * steps_before)
    result = with_rate_errors(with_totals(_gradient_quantities, sums, skipna=True), _shares, sums)
    return result.assign(
        sign_map=_sign_map(sums, entries.rename(column="entry").drop_vars(["entry", "pooling"]), shown)
    )


def _sign_map(sums: xr.Dataset, entries: xr.DataArray, shown: dict[str, np.ndarray]) -> xr.DataArray:
    values = entries.sel(step=sums.step)
    root_mean_square = (sums.gg / sums.valid) ** 0.5
    threshold = sums.tau * xr.where(sums.tau_kind == "relative", root_mean_square, 1.0)
    signs = xr.ufuncs.sign(values).where(abs(values) <= threshold).drop_vars(["module", "kind", "numel", "sampled"])
    if "parameter" in signs.dims:
        parts = [signs.isel(parameter=i, drop=True)[{"entry": slice(len(at))}] for i, at in enumerate(shown.values())]
        signs = xr.concat(parts, dim="entry", coords="minimal", compat="override")
    else:
        signs = signs.isel(entry=slice(len(shown[""])))
    names = [name for name, positions in shown.items() for _ in positions]
    indices = np.concatenate([*shown.values()])
    labels = [f"{name}[{index}]" for name, index in zip(names, indices, strict=True)]
    return signs.transpose("step", "entry", "tau").assign_coords(
        entry=np.array(labels, dtype=object),
        parameter_of=("entry", np.array(names, dtype=object)),
        index_of=("entry", indices),
    )


def _shares(sums: Sums) -> dict[str, tuple[xr.Variable, xr.Variable]]:
    return {
        "flip_rate": (sums.flips, sums.signed),
        "flip_rate_retained": (sums.retained_flips, sums.retained_signed),
        "minima_rate": (sums.minima.where(sums.moved > 0), sums.signed),
        "maxima_rate": (sums.maxima.where(sums.moved > 0), sums.signed),
    }


def _gradient_quantities(sums: Sums) -> dict[str, xr.Variable]:
    sine, cosine = sums.sine / sums.signed, sums.cosine / sums.signed
    observed = sums.exposure.cumsum("step")
    flips = sums.flips.cumsum("step")
    rates = {name: part / whole for name, (part, whole) in _shares(sums).items()}
    return rates | {
        "flips": sums.flips,
        "flip_rate_coin": xr.full_like(sums.flips, 0.5),
        "flip_rate_ar1": 0.5 - np.arctan2(2.0 * sine, 1.0 - sine**2 - cosine**2) / np.pi,
        "run_length": observed / flips,
        "minima": sums.minima.where(sums.moved > 0),
        "maxima": sums.maxima.where(sums.moved > 0),
    }


def _weight_result(table: xr.DataArray, shared: xr.DataArray | None = None) -> xr.Dataset:
    sums = stride(columns_of(table)).isel(step=slice(1, None))
    result = xr.Dataset(_weight_quantities(sums), sums.coords)
    if "parameter" in sums.dims:
        together = sums if shared is None else columns_of(shared).isel(step=slice(1, None))
        totals = xr.Dataset(_weight_quantities(together, total=True), {"step": together["step"]})
        totals = totals.reindex(step=sums["step"])
        result = result.assign({f"total_{name}": total.variable for name, total in totals.data_vars.items()})
    return result.drop_vars("sampled")


def _weight_quantities(table: xr.Dataset, *, total: bool = False) -> dict[str, xr.Variable]:
    sums = Sums.of(table)
    of = pool(estimated(table)) if total else sums
    result = {"weight_flips": of.previous_flips, "weight_flip_rate": of.previous_flips / of.previous_signed}
    if holds_samples(table):
        result["weight_flip_rate_se"] = share_error(sums.previous_flips, sums.previous_signed, sums, total=total)
    return result
