"""Findings on the similarity, redundancy and settling of layers."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import extreme, in_run, last, typical
from trajlab.statistics.wording import count, listed, number

HEADLINES = ("signed_off_diagonal", "absolute_off_diagonal", "constant")

SETTLED = 0.95
"""A layer whose CKA with itself at the last step stays above this has settled."""


def correlation(result: xr.Dataset) -> list[Finding]:
    """Report which layers are alike and which redundant, when they settled, and which features do not vary."""
    findings = nonfinite(result, "cka", "activations")
    return [*findings, *_alike(result), *_redundant(result), *_settled(result), *_constant(result)]


def _alike(result: xr.Dataset) -> list[Finding]:
    """Name the two layers that are most alike at the end."""
    end = typical(last(result["cka"]))
    apart = end.where(~np.eye(end.sizes["layer"], dtype=bool))
    best, worst = extreme(apart), extreme(apart, least=True)
    if best is None or worst is None:
        return []
    runs = " (median of the runs)" if "run" in result.dims else ""
    names = listed([f"`{best.at[dim]}`" for dim in ("layer", "layer_other")])
    if end.sizes["layer"] == 2:
        return [Finding(f"The CKA of {names} is {number(best.value)} at the end{runs}.", "cka")]
    text = f"At the end {names} are the two layers that are most alike: their CKA is {number(best.value)}{runs}"
    others = listed([f"`{worst.at[dim]}`" for dim in ("layer", "layer_other")])
    return [Finding(f"{text}, that of {others}, which are least alike, {number(worst.value)}.", "cka")]


def _redundant(result: xr.Dataset) -> list[Finding]:
    """Name the layer whose features are most alike, and say how that changed."""
    array = typical(result["absolute_off_diagonal"])
    positions = xr.DataArray(np.arange(array.sizes["layer"]), dims="layer")
    within = array.isel(layer=positions, layer_other=positions).assign_coords(layer=array["layer"])
    most = extreme(last(within))
    if most is None:
        return []
    runs = " (median of the runs)" if "run" in result.dims else ""
    several = within.sizes["layer"] > 1
    text = (
        f"`{most.at['layer']}` is the most redundant layer" if several else f"Features of `{most.at['layer']}` overlap"
    )
    text += f" at the end: the mean |ρ| of two of its features is {number(most.value)}{runs}"
    before = float(within.sel(layer=most.at["layer"]).isel(step=0))
    if within.sizes["step"] > 1 and np.isfinite(before):
        text += f", at step {int(within['step'][0]):,} it is {number(before)}"
    return [Finding(f"{text}.", "absolute_off_diagonal")]


def _settled(result: xr.Dataset) -> list[Finding]:
    """Report which layer became first what it is at the end, and which last."""
    alike = typical(result["cka_end"]).transpose("step", "layer")
    steps = alike["step"].values
    is_known = alike.notnull().all("step").values
    if len(steps) < 3 or not is_known.any():
        return []
    below = (alike.values < SETTLED)[:, is_known]
    since = np.where(below.any(0), len(steps) - below[::-1].argmax(0), 0)
    names = alike["layer"].values[is_known]
    runs = " (median of the runs)" if "run" in result.dims else ""
    first, latest = int(since.argmin()), int(since.argmax())
    criterion = f"its CKA with itself at the last step stays above {SETTLED} from step"
    if len(names) == 1 or since[first] == since[latest]:
        whole = f"`{names[0]}` has" if len(names) == 1 else "All layers have"
        text = f"{whole} settled by step {steps[since[first]]:,}: from then on the CKA with the last step is above "
        return [Finding(f"{text}{SETTLED}{runs}.", "cka_end")]
    text = f"`{names[first]}` settles first and `{names[latest]}` last: {criterion} {steps[since[first]]:,} and"
    return [Finding(f"{text} {steps[since[latest]]:,} on, respectively{runs}.", "cka_end")]


def _constant(result: xr.Dataset) -> list[Finding]:
    end = last(result["constant"])
    most = extreme(end)
    if most is None or not most.value:
        return []
    of = last(result["features"] + result["constant"]).sel(most.at)
    more = " the most of all layers" + (" and runs" if "run" in result.dims else "") if end.size > 1 else ""
    text = f"{count(most.value, 'feature')} of the {int(of)} of `{most.at['layer']}`{in_run(most)}"
    verb = "does" if most.value == 1 else "do"
    return [Finding(f"{text} {verb} not vary over the probe at the end{',' if more else ''}{more}.", "cka")]
