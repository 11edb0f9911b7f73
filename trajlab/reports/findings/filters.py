"""Findings on the filters of a layer."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import extreme, last
from trajlab.statistics.wording import listed, share

FEW = 3
"""Runs up to which each has its number."""

HEADLINES = ("limit",)


def filters(result: xr.Dataset) -> list[Finding]:
    """Report which filter changed most, and which least."""
    findings = nonfinite(result, "kernel")
    if result.sizes["step"] < 2:
        return findings
    end, name = last(result["relative"]), result.attrs.get("parameter", "")
    since = f"of its norm at step {int(result['step'][0]):,}"
    if end.sizes.get("run", 1) > 1:
        return [*findings, *_of_runs(end, name, since)]
    most, least = extreme(end), extreme(end, least=True)
    if most is None or least is None:
        return findings
    if most.value == 0:
        return [*findings, Finding(f"No filter of `{name}` ever changed.", "relative")]
    text = f"Filter {most.at['filter']} of `{name}` changed most: by {share(most.value)} {since}"
    if least.at != most.at:
        text += f"; filter {least.at['filter']} least, by {share(least.value)}"
    return [*findings, Finding(f"{text}.", "relative")]


def _of_runs(end: xr.DataArray, name: str, since: str) -> list[Finding]:
    """Report the largest and smallest change of a filter within each run: indices do not correspond across runs."""
    far, near = (_each(end.where(np.isfinite(end)), reduce) for reduce in ("max", "min"))
    if not far:
        return []
    text = f"Within each run, the filter of `{name}` that changed most changed by {far} {since}, the least by {near}"
    return [Finding(f"{text}.", "relative")]


def _each(end: xr.DataArray, reduce: str) -> str:
    """Write the largest or the least of each run, or of many runs from where to where these go."""
    values = getattr(end, reduce)("filter").dropna("run").values
    if len(values) <= FEW:
        return listed([share(float(value)) for value in values]) if len(values) else ""
    return f"{share(float(values.min()))} to {share(float(values.max()))}"
