"""What every result carries: what its variables mean, and network-wide figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from trajlab.schema import RESULT_VERSION

EXTREMES = {"max": "max", "min": "min", "linf": "max"}
"""Columns, by the last word of their name, that are joined by their extreme; all others are sums."""


class Meaning(NamedTuple):
    """What a variable is: a title for axes, its unit, and the formula."""

    long_name: str
    units: str
    definition: str


def annotate(result: xr.Dataset, meanings: Mapping[str, Meaning], **attrs: Any) -> xr.Dataset:
    """Write down what each variable means, and the settings that the result was made with.

    Variables named `total_<name>` are described as the same of the whole network.
    """
    result = result.assign_attrs({"Conventions": RESULT_VERSION} | attrs)
    result = result.transpose("step", "parameter", ..., missing_dims="ignore")
    for name, variable in result.data_vars.items():
        meaning = meanings[str(name).removeprefix("total_")]
        whole = "whole network: " if str(name).startswith("total_") else ""
        variable.attrs = {
            "long_name": whole + meaning.long_name,
            "units": meaning.units,
            "definition": meaning.definition,
        }
    return result


def with_totals(
    quantities: Callable[[xr.Dataset], xr.Dataset], sums: xr.Dataset, *, sampled: bool = False
) -> xr.Dataset:
    """Turn sums into quantities of each parameter, and of the whole network under names with `total_`.

    Parameters
    ----------
    quantities
        Gives the quantities of sums, whatever dims these have.
    sums
        Sums over the entries of each parameter, (parameter, step), or of one, (step).
    sampled
        Whether the sums are over samples of entries, which count for the whole of their parameter, and a parameter
        that lacks a step has no entries there; otherwise it leaves the total unknown.
    """
    result = quantities(sums)
    if "parameter" not in sums.dims:
        return result
    totals = quantities(pool(sums, sampled=sampled))
    return result.assign({f"total_{name}": total for name, total in totals.data_vars.items()})


def pool(sums: xr.Dataset, *, sampled: bool = False) -> xr.Dataset:
    """Join the sums of all parameters into those of the whole network, (step)."""
    pooled = {}
    for name, column in sums.data_vars.items():
        word = str(name).rpartition("_")[2]
        if word in EXTREMES:
            pooled[name] = getattr(column, EXTREMES[word])("parameter", skipna=sampled)
        elif sampled:
            pooled[name] = (column * sums.numel / sums.sampled).sum("parameter", min_count=1)
        else:
            pooled[name] = column.sum("parameter", skipna=False)
    return xr.Dataset(pooled)


def share_error(part: xr.DataArray, whole: xr.DataArray, *, total: bool = False) -> xr.DataArray:
    """Give the standard error of part/whole where both count entries of a random sample without replacement.

    It is the linearized variance of a ratio over strata (Cochran 1977, Sampling Techniques, eq. 6.13): each
    parameter is a stratum with sampling rate f = sampled/numel, and an error of 0 where all entries are there.

    Parameters
    ----------
    part, whole
        Counts of sampled entries, with the coords `numel` and `sampled`; `part` is a subset of `whole`.
    total
        Whether to give the error of the share over all parameters.
    """
    scale = part.numel / part.sampled
    over = (lambda x: x.sum("parameter", min_count=1)) if total else (lambda x: x)
    estimate = over(scale * whole)
    share = over(scale * part) / estimate
    residual = part * (1.0 - share) ** 2 + (whole - part) * share**2
    variance = over(scale**2 * (1.0 - part.sampled / part.numel) * residual)
    return np.sqrt(variance) / estimate


def stride(result: xr.Dataset) -> xr.Dataset:
    """Add the coord `stride`: how many optimizer steps lie between each recorded step and the one before."""
    step = result["step"]
    gap = step.diff("step").reindex(step=step, fill_value=0)
    return result.assign_coords(
        stride=gap.assign_attrs(long_name="optimizer steps since the recorded step before", units="1")
    )


def along(arrays: Sequence[xr.DataArray], dim: str, labels: Sequence[str] | None = None) -> xr.DataArray:
    """Join arrays along a new last dim."""
    joined = xr.concat(arrays, dim=dim, coords="minimal", compat="override")
    if labels is not None:
        joined = joined.assign_coords({dim: np.array(labels, dtype=object)})
    return joined.transpose(..., dim)
