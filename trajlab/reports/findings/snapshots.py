"""Findings on single snapshots and runs that are the same, or that do not fit between their neighbors."""

from itertools import combinations

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import CERTAIN, Finding
from trajlab.statistics.extremes import total_of
from trajlab.statistics.studies import run_names
from trajlab.statistics.wording import count, listed

FAR = 10.0
"""Typical updates that a snapshot is away from both neighbors if it jumps."""

BACK = 0.2
"""Share of such a jump within which the two neighbors are at the same distance from the start."""

NAMED = 3
"""Steps, tensors or pairs of runs that a finding names."""


def unusual_snapshots(result: xr.Dataset) -> list[Finding]:
    """Report tensors that never moved, snapshots that are equal or jump and come back, and runs that are one.

    Parameters
    ----------
    result
        Result of `drift`, prepared.
    """
    return [*_equal(result), *_jumping(result), *_still(result), *_one(result)]


def _of_runs(array: xr.DataArray, result: xr.Dataset) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return the known values of each run, with its name in words and their steps."""
    rows = [(f" in run `{run}`", array.sel(run=run)) for run in run_names(result)] or [("", array)]
    series = [(words, row["step"].values, row.values) for words, row in rows]
    return [(words, steps[np.isfinite(values)], values[np.isfinite(values)]) for words, steps, values in series]


def _equal(result: xr.Dataset) -> list[Finding]:
    """Report snapshots that hold the same weights as the one before, of runs that move at other steps."""
    update, norm = total_of(result, "update_l2"), total_of(result, "norm")
    if update is None or norm is None:
        return []
    findings = []
    for (where, steps, moves), (_, every, _) in zip(_of_runs(update, result), _of_runs(norm, result), strict=True):
        still = steps[moves == 0]
        if 0 < still.size < moves.size:
            before = [int(every[np.searchsorted(every, step) - 1]) for step in still[:NAMED]]
            pairs = listed([f"{a:,} and {int(b):,}" for a, b in zip(before, still, strict=False)])
            text = f"The snapshots at steps {pairs}{where} are equal to the bit"
            more = f"; {count(still.size, 'pair')} in all" if still.size > NAMED else ""
            findings.append(Finding(f"{text}{more}.", "relative", surprise=CERTAIN))
    return findings


def _jumping(result: xr.Dataset) -> list[Finding]:
    update, distance = total_of(result, "update_l2"), total_of(result, "distance_l2")
    if update is None or distance is None:
        return []
    findings = []
    for (where, steps, moves), (_, every, far) in zip(
        _of_runs(update, result), _of_runs(distance, result), strict=True
    ):
        if len(moves) < 4 or len(every) != len(steps) + 1:
            continue
        usual = np.median(moves)
        for i in range(len(moves) - 1):
            away = min(moves[i], moves[i + 1])
            if usual > 0 and away > FAR * usual and abs(far[i + 2] - far[i]) < BACK * away:
                text = f"The snapshot at step {int(steps[i]):,}{where} jumps away from both neighbors and comes back"
                text += f": by {away / usual:,.0f} times the usual update. It may belong to another run."
                findings.append(Finding(text, "relative", surprise=away / usual / FAR))
    return findings


def _still(result: xr.Dataset) -> list[Finding]:
    """Report tensors without any changed entry, in networks where others moved."""
    if "parameter" not in result.dims or "changed" not in result:
        return []
    changed = result["changed"].transpose("parameter", ...).values.reshape(result.sizes["parameter"], -1)
    known = np.isfinite(changed)
    still = (known.sum(1) > 1) & ~np.where(known, changed > 0, False).any(1)
    names = [f"`{name}`" for name in result["parameter"].values[still]]
    if not names or len(names) == known.any(1).sum():
        return []
    which = (
        listed(names) if len(names) <= NAMED else f"{listed(names[:NAMED])} and {count(len(names) - NAMED, 'other')}"
    )
    runs = " in any run" if "run" in result.dims else ""
    return [Finding(f"{which} moved 0 %{runs}: no entry ever changed.", "unchanged", surprise=CERTAIN / 2.0)]


def _one(result: xr.Dataset) -> list[Finding]:
    """Report runs that hold the same weights at their first snapshots, and at which step they part."""
    if "run" not in result.dims or "norm" not in result:
        return []
    names, steps = run_names(result), result["step"].values
    marks = [result[name] for name in ("norm", "distance_l1", "distance_l2") if name in result]
    tables = np.stack([mark.transpose("run", "step", ...).values.reshape(len(names), len(steps), -1) for mark in marks])
    found: list[tuple[int, str]] = []
    for a, b in combinations(range(len(names)), 2):
        shared = np.isfinite(tables[0, a]).any(1) & np.isfinite(tables[0, b]).any(1)
        same = (np.isclose(tables[:, a], tables[:, b], rtol=0, atol=0, equal_nan=True)).all((0, 2))[shared]
        length = int(np.argmin(same)) if not same.all() else len(same)
        if length < 2:
            continue
        two = f"`{names[a]}` and `{names[b]}`"
        at = steps[shared]
        words = (
            f"part at step {int(at[length]):,} and are one before" if length < len(same) else "are one at every step"
        )
        found.append((length, f"{two} {words}"))
    found.sort(key=lambda item: -item[0])
    more = f"; {count(len(found), 'pair')} of runs in all" if len(found) > NAMED else ""
    text = "; ".join(words for _, words in found[:NAMED])
    return [Finding(f"{text}{more}.", "total", surprise=CERTAIN)] if found else []
