"""The result of a comparison, from the tables of one pair of runs, or of many along the dim `pair`."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.alignment import Chain
from trajlab.replays.interpolation import ENDS
from trajlab.runs.tensors import common_steps
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.scan import position_of
from trajlab.stages.comparison.quantities import MEANINGS, quantities_of
from trajlab.stages.comparison.unit_matching import MATCHES
from trajlab.statistics.result import annotate, columns_of, stride
from trajlab.statistics.samples import with_products
from trajlab.statistics.scores import along

_SUFFIXES = dict(zip(MATCHES[:-1], ("", "_greedy", "_null", "_null_95", "_units"), strict=True))


def result_of(tables: Mapping[str, xr.DataArray], shared: np.ndarray) -> xr.Dataset:
    """Return the quantities of a comparison, as one lazy task.

    Parameters
    ----------
    tables
        Tables by name: sums, products, weights, aligned, features, matrix, line, aligned_line, as far as there are.
    shared
        Steps that both runs recorded.
    """
    return as_one_task(partial(_result, shared=shared, names=tuple(tables)), *tables.values())


def check_settings(shuffles: int, max_units: int, ends: str) -> None:
    """Raise BadSetting if a setting of the comparison is out of range."""
    if shuffles < 0 or max_units < 1:
        raise BadSetting(f"cannot use shuffles={shuffles} and max_units={max_units}: choose 0 or more, and 1 or more")
    if ends not in ENDS:
        raise BadSetting(f"cannot use ends={ends!r}: choose {' or '.join(ENDS)}")


def alignable(chain: Chain, max_units: int) -> tuple[str, Chain]:
    """Return the attr `alignment`, which names the aligned units or says why none are, and the chain of layers."""
    if not chain.reason and max(layer.units for layer in chain.hidden) > max_units:
        chain = Chain((), f"a layer has more than {max_units} units")
    return chain.reason or f"units of {', '.join(layer.rows[0] for layer in chain.hidden)}", chain


def too_wide(layers: Sequence[str], max_units: int) -> str:
    """Return the attr `not_matched`, which names layers with too many units."""
    return f"{', '.join(dict.fromkeys(layers))}: more than {max_units} units"


def annotated(
    result: xr.Dataset, unshared: int, line_metrics: xr.Dataset | None, attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Return the result with the variables that need no computation, and with attrs.

    Parameters
    ----------
    result
        What `result_of` returned.
    unshared
        Number of steps that only one of the runs recorded.
    line_metrics
        Metrics of the line between both runs, with the steps of its ends as coord `ends`; None without a line.
    attrs
        Settings and other attrs of the result.
    """
    result["unshared_steps"] = xr.Variable((), unshared)
    if line_metrics is not None:
        line_steps = ("end", line_metrics["ends"].values.astype(np.float64))
        result = result.assign(line_steps=line_steps).assign_coords(end=("end", [0.0, 1.0], {"long_name": "α"}))
    return annotate(result, MEANINGS, **attrs)


def steps_of_both(ours: Mapping[str, xr.DataArray], theirs: Mapping[str, xr.DataArray]) -> tuple[np.ndarray, int]:
    """Return the steps at which both runs recorded all tensors, and the number of steps of only one run."""
    our_steps, their_steps = _recorded(ours), _recorded(theirs)
    shared = common_steps([our_steps, their_steps])
    if not len(shared):
        ranges = [f"{steps[0]} to {steps[-1]}" if len(steps) else "none" for steps in (our_steps, their_steps)]
        raise MissingData(
            f"cannot compare runs without a shared step: one has {ranges[0]}, the other {ranges[1]}; compare runs that "
            "were recorded at the same steps"
        )
    return shared, len(np.union1d(our_steps, their_steps)) - len(shared)


def _recorded(tensors: Mapping[str, xr.DataArray]) -> np.ndarray:
    """Return the steps at which all tensors were recorded."""
    return common_steps(array["step"].values for array in tensors.values())


def chosen_steps(shared: np.ndarray, steps: Sequence[int]) -> list[int]:
    """Return the optimizer steps that a setting chooses among those of both runs, rising."""
    both = xr.DataArray(shared, {"step": shared}, ("step",), "both runs")
    return sorted({int(shared[position_of(both, step)]) for step in steps})


def _result(*tables: xr.DataArray, shared: np.ndarray, names: tuple[str, ...]) -> xr.Dataset:
    by_name = dict(zip(names, tables, strict=True))
    result = _of_weights(by_name, shared) if "sums" in by_name else xr.Dataset(coords={"step": shared})
    everywhere = {"parameter": result["parameter"]} if "parameter" in result.dims else {}
    if everywhere:
        squares = by_name.get("aligned", xr.full_like(result["distance"], np.nan)).reindex(
            {"step": shared} | everywhere
        )
        result["aligned_distance"] = np.sqrt(squares)
        result["total_aligned_distance"] = np.sqrt(squares.sum("parameter", skipna=False))
    for by in ("weights", "features"):
        if by in by_name:
            whole = by_name[by].reindex({"step": shared} | (everywhere if by == "weights" else {}))
            coords = whole.isel(column=0, drop=True).coords
            columns = dict(zip(MATCHES, np.moveaxis(whole.values, -1, 0), strict=True))
            of = {f"matched_{by}{suffix}": (whole.dims[:-1], columns[name]) for name, suffix in _SUFFIXES.items()}
            of |= {"feature_cka": (whole.dims[:-1], columns["cka"])} if by == "features" else {}
            result = result.assign(xr.Dataset(of, coords))
    if "matrix" in by_name:
        correlation, covariance, match, greedy_match = by_name["matrix"].values
        for name, values in (("correlation", correlation), ("covariance", covariance)):
            result[f"feature_{name}"] = (("unit", "unit_other"), values)
        result["feature_match"] = ("unit", match[:, 0])
        result["feature_match_greedy"] = ("unit", greedy_match[:, 0])
    for name in ("line", "aligned_line"):
        if name in by_name:
            loss, barrier = _along(by_name[name])
            result = result.assign({f"{name}_loss": loss, name.replace("line", "barrier"): barrier})
    return stride(result)


def _along(table: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the loss along the line of each pair, and its barrier."""
    if "pair" not in table.dims:
        return along(table)
    lines, barriers = zip(*(along(table.isel(pair=pair)) for pair in range(table.sizes["pair"])), strict=True)
    return xr.concat(lines, "pair"), xr.concat(barriers, "pair")


def _of_weights(by_name: dict[str, xr.DataArray], shared: np.ndarray) -> xr.Dataset:
    """Return distances of each parameter and of all together."""
    products = columns_of(by_name["products"].sel(step=shared)) if "products" in by_name else None
    sums = with_products(columns_of(by_name["sums"].sel(step=shared)), products)
    result = xr.Dataset(quantities_of(sums), sums.coords).drop_vars("sampled")
    if "parameter" in sums.dims:
        totals = quantities_of(sums, total=True)
        result = result.assign({f"total_{name}": total for name, total in totals.items()})
    return result
