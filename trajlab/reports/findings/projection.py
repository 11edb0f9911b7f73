"""Findings on the dimension of the path, compared with a random walk."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import ENOUGH, extreme, in_run, large, total_of
from trajlab.statistics.wording import count, share

HEADLINES = ("explained_variance_ratio", "explained_variance_ratio_walk")

PLANE = 0.999
"""Share of a random walk in a plane from which on a plane says nothing: three snapshots always lie in one."""

ALIKE = 0.05
"""Shares of the variance that differ by no more than this are called alike."""


def projection(result: xr.Dataset) -> list[Finding]:
    """Report whether the path keeps to a plane more than a random walk does, and in which layers."""
    return [*nonfinite(result, "scores"), *_left_out(result), *_network(result), *_layers(result)]


def _plane(ratio: xr.DataArray) -> xr.DataArray:
    """Return what the first two components hold."""
    return ratio.isel(component=slice(2)).sum("component", skipna=False)


def _left_out(result: xr.Dataset) -> list[Finding]:
    point = extreme(result["left_out"])
    if point is None or point.value == 0:
        return []
    name = f" of `{point.at['parameter']}`" if "parameter" in point.at else ""
    text = f"Left out at all steps, as NaN or Inf at one: {count(point.value, 'entry')}{name}{in_run(point)}."
    return [Finding(text, "layers" if name else "scores")]


def _network(result: xr.Dataset) -> list[Finding]:
    ratio, null = (total_of(result, f"explained_variance_ratio{end}") for end in ("", "_walk"))
    if ratio is None or null is None:
        return []
    plane, walk = _plane(ratio), _plane(null)
    is_known = np.isfinite(plane.values) & np.isfinite(walk.values)
    if not is_known.any():
        return []
    held, chance = plane.values[is_known], walk.values[is_known]
    if (chance > PLANE).all():
        return []
    low, high = share(float(held.min())), share(float(held.max()))
    text = "Two directions hold " + (f"{low} to {high}" if low != high else low) + " of the variance of the "
    text += "whole network over the steps" if "parameter" in result.dims else "tensor over the steps"
    text += f"; a random walk seen at the same steps has {share(float(np.median(chance)))} in two"
    excess = held - chance
    if (excess > ALIKE).all():
        verdict = "the path is of lower dimension than that"
    elif (excess < -ALIKE).all():
        verdict = "the path is of higher dimension than that"
    elif (abs(excess) <= ALIKE).all():
        verdict = "no sign of a path of lower dimension than that"
    else:
        verdict = f"{int((excess > ALIKE).sum())} of {len(excess)} runs keep to a plane more than that"
    return [Finding(f"{text}: {verdict}.", "explained", surprise=float(abs(excess).min()) / ALIKE / 2.0)]


def _layers(result: xr.Dataset) -> list[Finding]:
    if "parameter" not in result.dims:
        return []
    plane, walk = (_plane(result[f"explained_variance_ratio{end}"]) for end in ("", "_walk"))
    plane, walk = (array.median("run") if "run" in array.dims else array for array in (plane, walk))
    excess = large(plane - walk)
    most, least = extreme(excess), extreme(excess, least=True)
    if most is None or least is None or most.at == least.at or float(walk.sel(most.at)) > PLANE:
        return []
    high, low = (float(plane.sel(point.at)) for point in (most, least))
    few = f" Among tensors of at least {ENOUGH} entries," if large(plane).count() < plane.count() else ""
    if share(high) == share(low):
        text = f"{few or ' Of all tensors,'} each keeps to a plane with {share(low)} of its variance"
    else:
        text = f"{few} `{most.at['parameter']}` keeps to a plane most, with {share(high)} of its variance, and "
        text += f"`{least.at['parameter']}` least, with {share(low)}"
    text += f"; a random walk has {share(float(walk.sel(most.at)))}."
    return [Finding(text.strip(), "layers")]
