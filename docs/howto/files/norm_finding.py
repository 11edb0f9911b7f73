"""Findings on norms."""

import xarray as xr

from trajlab.reports.findings.finding import Finding
from trajlab.statistics.extremes import extreme, in_run

HEADLINES: tuple[str, ...] = ()


def norm(data: xr.Dataset) -> list[Finding]:
    """Report which tensor grew most."""
    growth = data["norm"].isel(step=-1) / data["norm"].isel(step=0)
    most = extreme(growth)
    if most is None:
        return []
    text = f"`{most.at['parameter']}` grew most: to {most.value:.3g} times its initial norm{in_run(most)}."
    return [Finding(text, "norm")]
