"""How often entries change sign from one step to the next."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.kernels.entries import Raster, raster_positions
from trajlab.scan.scan import Tensor, scan
from trajlab.statistics.result import Meaning, Sums, annotate, columns_of, stride, with_totals
from trajlab.statistics.zero_transitions import by_threshold, kernel_of

_SE = "sqrt of the linearized variance of a ratio over a sample without replacement; 0 if all entries are recorded"
MEANINGS = {
    "flips": Meaning("gradient entries that changed sign", "entries", "sign(g_t) = −sign(g_prev), both non-zero"),
    "flip_rate": Meaning(
        "share of gradient entries that changed sign", "1", "flips / non-zero and finite at both steps", share=True
    ),
    "flip_rate_se": Meaning("standard error of the flip rate", "1", _SE),
    "flip_rate_retained": Meaning(
        "flip rate of near-zero entries", "1", "flip_rate over entries with |g| ≤ tau at both steps", share=True
    ),
    "flip_rate_retained_se": Meaning("standard error of the flip rate of near-zero entries", "1", _SE),
    "flip_rate_coin": Meaning("flip rate of a fair coin", "1", "0.5", share=True),
    "flip_rate_ar1": Meaning(
        "flip rate of an AR(1) process", "1", "arccos(ρ)/π, ρ = Σ g_t·g_prev / sqrt(Σg_t² Σg_prev²)", share=True
    ),
    "run_length": Meaning("mean steps between flips", "steps", "entry-steps observed so far / flips so far"),
    "minima": Meaning("flips over a minimum", "entries", "flips with (w_t − w_prev)(g_t − g_prev) > 0"),
    "maxima": Meaning("flips over a maximum", "entries", "flips with (w_t − w_prev)(g_t − g_prev) < 0"),
    "minima_rate": Meaning(
        "share of gradient entries that passed a minimum", "1", "minima / non-zero and finite at both steps", share=True
    ),
    "minima_rate_se": Meaning("standard error of the rate of minima", "1", _SE),
    "maxima_rate": Meaning(
        "share of gradient entries that passed a maximum", "1", "maxima / non-zero and finite at both steps", share=True
    ),
    "maxima_rate_se": Meaning("standard error of the rate of maxima", "1", _SE),
    "weight_flips": Meaning("weights that changed sign", "entries", "sign(w_t) = −sign(w_prev), both non-zero"),
    "weight_flip_rate": Meaning(
        "share of weights that changed sign", "1", "weight_flips / non-zero and finite at both steps", share=True
    ),
    "sign_map": Meaning("sign of gradient entries near zero", "1", "−1, 0 or +1 where |g| ≤ tau, else NaN"),
}


def sign_flips(
    gradient: Tensor | None = None,
    weight: Tensor | None = None,
    *,
    tau: Sequence[float] = (1e-7, 1e-5),
    relative: Sequence[float] = (0.01,),
    sign_map_entries: int = 32,
) -> xr.Dataset:
    """How often gradient and weight entries change sign from one recorded step to the next.

    Answers: does the optimizer oscillate across a valley, drift along one, or toss coins?

    Parameters
    ----------
    gradient
        One parameter's gradients, dims (step, ...) or (step, sample), or those of many by name.
    weight
        The weights they belong to; without gradients, only the flips of these are counted.
    tau
        Entries of up to this size are near zero.
    relative
        Entries of up to this share of the root mean square of their tensor at that step are near zero.
    sign_map_entries
        Entries of each tensor that `sign_map` shows.

    Returns
    -------
    flips, flip_rate : (step, parameter)
        Entries whose sign at this step is the opposite of that at the step before; signs are compared, not products.
    flip_rate_retained : (step, parameter, tau)
        The rate among entries near zero at both steps.
    flip_rate_coin, flip_rate_ar1 : (step, parameter)
        What chance gives: a fair coin, and a Gaussian AR(1) process with the measured correlation of g_t and g_prev.
    run_length : (step, parameter)
        Mean optimizer steps between flips, up to this step; Inf before the first flip.
    minima, maxima : (step, parameter)
        Flips at which the weight passed a minimum or a maximum of the loss along its own axis, by the secant; NaN
        where the weights were not recorded at both steps.
    minima_rate, maxima_rate : (step, parameter)
        The same as shares of the entries that could flip.
    sign_map : (step, entry, tau)
        Signs of a few entries of each parameter, named by the coords `parameter_of` and `index_of`.
    weight_flips, weight_flip_rate : (step, parameter)
        The same for weights.
    total_… : (step, …)
        The same of the whole network, samples counted for the whole of their tensor; with many tensors only.

    The first recorded step of each has no step before it and is left out. Rates come with standard errors `…_se`.

    References
    ----------
    Orthant probability arccos(ρ)/π: Rice 1944, Bell System Technical Journal 23.

    Raises
    ------
    MissingData
        There are neither gradients nor weights.
    """
    if gradient is None and weight is None:
        raise MissingData("gradients or weights were asked for; the run has neither. Name a run with snapshots.")
    if not 1 <= sign_map_entries <= 4096:
        raise BadSetting(f"sign_map_entries={sign_map_entries} is out of range; choose 1 to 4,096 entries.")
    kernel = kernel_of(tau, relative)
    parts = []
    if gradient is not None:
        table, _ = scan(kernel, gradient, weight=weight)
        entries, _ = scan(Raster(sign_map_entries), gradient)
        arrays = {"": gradient} if isinstance(gradient, xr.DataArray) else gradient
        shown = {name: _shown(array, sign_map_entries) for name, array in arrays.items()}
        parts.append(
            as_one_task(
                partial(_gradient_result, shown=shown, tau=kernel.tau, relative=kernel.relative), table, entries
            )
        )
    if weight is not None:
        table, _ = scan(Pairs(), weight, reference=0)
        flips = as_one_task(_weight_result, table)
        parts.append(flips.rename(stride="weight_stride") if parts else flips)
    result = parts[0] if len(parts) == 1 else xr.merge(parts, join="outer", compat="override")
    return annotate(result, MEANINGS, tau=list(tau), relative=list(relative))


def _shown(array: xr.DataArray, sign_map_entries: int) -> np.ndarray:
    """Give the positions in the flat parameter of the entries that the sign map shows."""
    positions = raster_positions(math.prod(array.shape[1:]), sign_map_entries)
    return array["index"].values[positions] if "index" in array.coords else positions


def _gradient_result(
    table: xr.DataArray, entries: xr.DataArray, *, shown: dict[str, np.ndarray], tau: tuple[float, ...],
    relative: tuple[float, ...],
) -> xr.Dataset:  # fmt: skip
    sums = by_threshold(table, tau, relative)
    result = with_totals(_gradient_quantities, sums, shares=_shares)
    return result.assign(sign_map=_sign_map(sums, entries.rename(column="entry").drop_vars("entry"), shown))


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
    correlation = (sums.gq / np.sqrt(sums.gg * sums.qq)).clip(-1.0, 1.0)
    observed = (sums.signed * sums.stride).cumsum("step")
    flips = sums.flips.cumsum("step")
    rates = {name: part / whole for name, (part, whole) in _shares(sums).items()}
    return rates | {
        "flips": sums.flips,
        "flip_rate_coin": xr.full_like(sums.flips, 0.5),
        "flip_rate_ar1": np.arccos(correlation) / np.pi,
        "run_length": observed / flips,
        "minima": sums.minima.where(sums.moved > 0),
        "maxima": sums.maxima.where(sums.moved > 0),
    }


def _weight_result(table: xr.DataArray) -> xr.Dataset:
    sums = stride(columns_of(table)).isel(step=slice(1, None))
    return with_totals(_weight_quantities, sums).drop_vars("sampled")


def _weight_quantities(sums: Sums) -> dict[str, xr.Variable]:
    rate = sums.previous_flips / sums.previous_signed
    return {"weight_flips": sums.previous_flips, "weight_flip_rate": rate}
