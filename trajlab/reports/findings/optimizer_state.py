"""Findings on the optimizer's state."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import extreme, in_run, last, of_weights, total_of, typical
from trajlab.statistics.wording import number, share

HEADLINES = ("update_ratio", "update_norm", "direction_rms", "gradient_rms", "zero_moments", "fading")

UNEVEN = 10.0
"""Factor between the largest and the smallest relative update from which on it is a surprise."""

STALE = 2.0
"""Gradient in units of the second moment above which updates are too large (Wortsman et al. 2023)."""

EMPTY = 0.05
"""Share of entries without any gradient from which on it is a surprise."""


def optimizer_state(result: xr.Dataset) -> list[Finding]:
    """Report which layers the optimizer moves most, whether second moments are out of date, and moments at zero."""
    return [*nonfinite(result, "update", "moments"), *_updates(result), *_stale(result), *_empty(result)]


def _updates(result: xr.Dataset) -> list[Finding]:
    usual = typical(of_weights(last(result["update_ratio"])))
    most, least = extreme(usual), extreme(usual, least=True)
    if most is None or least is None:
        return []
    runs = f" (median of {result.sizes['run']} runs)" if result.sizes.get("run", 1) > 1 else ""
    at = _step_of_last(result["update_ratio"])
    text = f"The last update{at} is {share(most.value)} of the weights' norm in `{most.at['parameter']}`{runs}"
    if least.at == most.at:
        return [Finding(f"{text}.", "update")]
    text += f", the most of all, and {share(least.value)} in `{least.at['parameter']}`, the least"
    factor = most.value / least.value if least.value > 0 else np.inf
    return [Finding(f"{text}.", "update", surprise=min(np.log(max(factor, 1.0)) / np.log(UNEVEN), 10.0))]


def _step_of_last(array: xr.DataArray) -> str:
    """Return the last step with an update in words, if the state at later ones tells none."""
    known = array.dropna("step", how="all")["step"].values
    return f" that is known, at step {known[-1]:,}," if known[-1] != array["step"].values[-1] else ""


def _stale(result: xr.Dataset) -> list[Finding]:
    if not bool(result["gradient_rms"].notnull().any()):
        return []
    most = extreme(result["gradient_rms"])
    total = total_of(result, "gradient_rms")
    whole = None if total is None else extreme(total)
    if most is None or whole is None:
        return []
    if most.value <= STALE:
        text = f"Second moments keep up: gradients are at most {number(round(most.value, 2))} times as large"
        return [Finding(f"{text} (RMS of a tensor).", "gradient")]
    text = (
        f"Second moments are out of date at step {most.at['step']:,} in `{most.at['parameter']}`{in_run(most)}: its "
        f"gradient is {number(round(most.value, 2))} times as large as they say (RMS); that of the whole network is at "
        f"most {number(round(whole.value, 2))} times"
    )
    return [Finding(f"{text}.", "gradient", surprise=most.value / STALE)]


def _empty(result: xr.Dataset) -> list[Finding]:
    findings = []
    total = total_of(result, "zero_moments")
    point = None if total is None else extreme(last(total))
    if point is not None and point.value > 0:
        rows = last(result["zero_moments"])
        row = extreme(rows.sel(run=point.at["run"]) if "run" in point.at else rows)
        text = f"{share(point.value)} of the entries never had a gradient: their moments are exactly 0{in_run(point)}"
        where = f"; the largest share is in `{row.at['parameter']}`, {share(row.value)}" if row is not None else ""
        findings.append(Finding(f"{text}{where}.", "zero", surprise=point.value / EMPTY))
    fading = total_of(result, "fading")
    point = None if fading is None else extreme(last(fading))
    if point is not None and point.value > 0:
        text = (
            f"{share(point.value)} of the entries with a second moment had no gradient between the last two snapshots"
        )
        findings.append(Finding(f"{text}{in_run(point)}: it only faded.", "fading", surprise=point.value / EMPTY))
    return findings
