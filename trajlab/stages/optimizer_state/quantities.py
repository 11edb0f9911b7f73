"""Quantities of the optimizer's state, from the sums over its moments, the weights and the gradients."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.statistics.result import Sums, columns_of, expansion, stride
from trajlab.statistics.standard_errors import root_error, total_error


class Tables(NamedTuple):
    """What is known beside the sums.

    Attributes
    ----------
    keys
        Names of the tables.
    names
        Parameters, in the order of the result.
    steps
        Steps of the result.
    settings
        Hyperparameters by name, (parameter, step).
    corrections
        1/(1 − β₂ᵏ), by which second moments are corrected, (parameter, step); NaN where there is none.
    quantiles
        Which quantiles of the effective learning rate.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    steps: np.ndarray
    settings: Mapping[str, np.ndarray]
    corrections: np.ndarray
    quantiles: tuple[float, ...]


def quantities(*tables: xr.DataArray, known: Tables) -> xr.Dataset:
    """Return the quantities of each parameter and of the network.

    Parameters
    ----------
    tables
        Sums, (parameter, step, column) each, of some of the parameters.
    known
        What is known beside them.
    """
    by_key = dict(zip(known.keys, tables, strict=True))
    weights = _aligned([by_key["weights"]], known)
    norm_square = weights.m2 + weights.count * weights.mean**2
    adam = [table for key, table in by_key.items() if key.startswith("updates_")]
    gradients = [table for key, table in by_key.items() if key.startswith("gradients_")]
    settings = {name: xr.Variable(("parameter", "step"), values) for name, values in known.settings.items()}
    parts = {"square": _nothing(known), "max": _nothing(known), "valid": _nothing(known), "idle": _nothing(known)}
    parts |= {"nonfinite": _nothing(known), "compared": _nothing(known), "fading": _nothing(known)}
    if adam:
        sums = _aligned(adam, known)
        parts |= {name: getattr(sums, name) for name in ("valid", "idle", "nonfinite", "compared", "fading")}
        parts |= {"square": sums.direction_square, "max": sums.direction_max}
    if "momentum" in by_key:
        sums = _aligned([by_key["momentum"]], known)
        plain = settings["nesterov"] != 1
        of_sgd = {
            "square": (sums.m2 + sums.count * sums.mean**2).where(plain),
            "max": np.fmax(abs(sums.min), abs(sums.max)).where(plain),
            "valid": sums.count, "nonfinite": sums.nonfinite,
            "idle": _nothing(known), "compared": _nothing(known), "fading": _nothing(known),
        }  # fmt: skip
        parts = {name: part.where(part.notnull(), of_sgd[name]) for name, part in parts.items()}
    rate = settings["lr"].where(settings["lr"] > 0)  # 0 is what a schedule sets after its last step
    result = _of_parts(Sums(**parts), norm_square, rate)
    totals = _of_parts(Sums(**parts), norm_square, rate, total=True)
    if gradients:
        sums = _aligned(gradients, known)
        sums.numel, sums.sampled = _sizes(gradients, known)
        result |= _of_gradients(sums)
        totals |= _of_gradients(sums, total=True)
    else:
        empty = ("gradient_ratio", "gradient_rms", "gradient_ratio_se", "gradient_rms_se")
        result |= dict.fromkeys(empty, _nothing(known))
        totals |= dict.fromkeys(empty, _nothing(known).isel(parameter=0))
    result |= {f"total_{name}": total for name, total in totals.items()}
    result |= {"learning_rate": settings["lr"], "updates": settings["updates"]}
    result["effective_lr"] = _effective(by_key.get("quantiles"), settings, known)
    labels = {name: coord for name, coord in by_key["weights"].coords.items() if coord.dims == ("parameter",)}
    dataset = xr.Dataset(result, {"step": known.steps, **labels})
    return stride(dataset.assign_coords(quantile=list(known.quantiles)))


def _aligned(tables: list[xr.DataArray], known: Tables) -> Sums:
    """Return the columns of tables of different parameters as variables, (parameter, step) of the result."""
    columns = [columns_of(table) for table in tables]
    names = list(columns[0].data_vars)
    at = {name: place for place, name in enumerate(known.names)}
    aligned = {str(name): np.full((len(known.names), len(known.steps)), np.nan) for name in names}
    for table in columns:
        rows = np.array([at[name] for name in table["parameter"].values], np.int64)
        places = np.searchsorted(known.steps, table["step"].values)
        for name in names:
            aligned[str(name)][np.ix_(rows, places)] = table[name].transpose("parameter", "step").values
    return Sums(**{name: xr.Variable(("parameter", "step"), values) for name, values in aligned.items()})


def _nothing(known: Tables) -> xr.Variable:
    return xr.Variable(("parameter", "step"), np.full((len(known.names), len(known.steps)), np.nan))


def _of_parts(
    sums: Sums, norm_square: xr.Variable, rate: xr.Variable, *, total: bool = False
) -> dict[str, xr.Variable]:
    def over(part: xr.Variable, skipna: bool = False) -> xr.Variable:
        return part.sum("parameter", skipna=skipna, min_count=1 if skipna else None) if total else part

    some = sums.valid > 0
    moved = (rate**2 * sums.square).where(some)
    update, norm = over(moved) ** 0.5, over(norm_square) ** 0.5
    largest = (rate * sums.max).where(some)
    quantities = {
        "weight_norm": norm,
        "update_norm": update,
        "update_max": largest.max("parameter", skipna=False) if total else largest,
        "update_ratio": (update / norm).where(norm > 0),
        "direction_rms": (over(sums.square.where(some)) / over(sums.valid.where(some))) ** 0.5,
        "zero_moments": over(sums.idle, True) / over(sums.valid.where(sums.idle.notnull()), True),
        "fading": over(sums.fading, True) / over(sums.compared, True),
        "nonfinite": over(sums.nonfinite, True),
    }
    if not total:
        quantities["update_share"] = moved / moved.sum("parameter", skipna=False)
    return quantities


def _of_gradients(sums: Sums, *, total: bool = False) -> dict[str, xr.Variable]:
    scale = expansion(sums)

    def over(part: xr.Variable) -> xr.Variable:
        return part.sum("parameter", min_count=1) if total else part

    def error(first: xr.Variable, second: xr.Variable) -> xr.Variable:
        recorded = sums.valid.notnull()
        if total:  # parameters without a gradient are no part of it
            first, second = first.where(recorded, 0.0), second.where(recorded, 0.0)
        return total_error(first, second, sums, total=total)

    squares, seconds, entries = (over(part * scale) for part in (sums.gradient, sums.second, sums.valid))
    ratio, mean = squares / seconds, over(sums.relative * scale) / entries
    of_ratio = error(
        sums.gradient - ratio * sums.second,
        sums.gradient_gradient - 2.0 * ratio * sums.gradient_second + ratio**2 * sums.second_second,
    )
    of_mean = error(
        sums.relative - mean * sums.valid,
        sums.relative_relative - 2.0 * mean * sums.relative + mean**2 * sums.valid,
    )
    ratio_root, mean_root = ratio.where(seconds > 0) ** 0.5, mean**0.5
    return {
        "gradient_ratio": ratio_root,
        "gradient_ratio_se": root_error(of_ratio / seconds, ratio_root).where(ratio_root.notnull()),
        "gradient_rms": mean_root,
        "gradient_rms_se": root_error(of_mean / entries, mean_root).where(mean_root.notnull()),
    }


def _sizes(tables: list[xr.DataArray], known: Tables) -> tuple[xr.Variable, xr.Variable]:
    """Return the entries of each parameter and how many of its gradient were recorded, (parameter)."""
    sizes = {
        str(name): (numel, sampled)
        for table in tables
        for name, numel, sampled in zip(
            table["parameter"].values, table["numel"].values, table["sampled"].values, strict=True
        )
    }
    numel, sampled = zip(*(sizes.get(name, (1, 1)) for name in known.names), strict=True)
    return xr.Variable("parameter", np.array(numel)), xr.Variable("parameter", np.array(sampled))


def _effective(table: xr.DataArray | None, settings: Mapping[str, xr.Variable], known: Tables) -> xr.Variable:
    """Return quantiles of the effective learning rate, (parameter, step, quantile)."""
    rate, momentum, dampening = (settings[name] for name in ("lr", "momentum", "dampening"))
    of_sgd = rate * (1.0 - dampening.fillna(0.0)) / (1.0 - momentum)
    dims = ("parameter", "step", "quantile")
    values = np.repeat(of_sgd.values[..., None], len(known.quantiles), axis=2)
    if table is not None:
        sums = _aligned([table], known)
        second = np.stack([getattr(sums, str(name)).values for name in columns_of(table).data_vars], -1)
        with np.errstate(all="ignore"):
            root = np.sqrt(second * known.corrections[..., None])
            of_adam = rate.values[..., None] / (root + settings["eps"].values[..., None])
        values = np.where(np.isnan(second), values, of_adam)
    return xr.Variable(dims, values)
