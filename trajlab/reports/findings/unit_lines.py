"""Findings on the lines of units in the plane."""

import xarray as xr

from trajlab.reports.findings.finding import Finding
from trajlab.statistics.extremes import extreme, in_run, typical
from trajlab.statistics.wording import share

HEADLINES = ("fraction_crossing",)


def unit_lines(result: xr.Dataset) -> list[Finding]:
    """Report how many units switch anywhere in the picture, at first and at last."""
    crossing = typical(result["fraction_crossing"]).dropna("step")
    if not crossing.size:
        return []
    name = result.attrs.get("parameter", "")
    runs = f" (median of {result.sizes['run']} runs)" if result.sizes.get("run", 1) > 1 else ""
    least = extreme(result["fraction_crossing"], least=True)
    if least is not None and least.value == 1:
        return [Finding(f"The lines of all units of `{name}` cross the picture at every step shown{runs}.", "ends")]
    steps, shares = crossing["step"].values, [share(float(value)) for value in crossing.values]
    if bool((crossing == 1).all()):
        text = f"In the median run the lines of all units of `{name}` cross the picture at every step shown"
    else:
        text = f"The lines of {shares[0]} of the units of `{name}` cross the picture at step {steps[0]:,}"
        text += (f", of {shares[-1]} at step {steps[-1]:,}" if len(steps) > 1 else "") + runs
    if least is not None and "run" in least.at and least.value < float(crossing.min()):
        text += f"; the fewest do{in_run(least)} at step {least.at['step']:,}: {share(least.value)}"
    return [Finding(f"{text}; the others are on, or off, on all of it.", "ends")]
