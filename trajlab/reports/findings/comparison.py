"""Findings on the distance between runs, their connection and their matched units."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import CERTAIN, Finding, nonfinite
from trajlab.statistics.extremes import last, total_of
from trajlab.statistics.wording import count, number, share

HEADLINES = (
    "relative_distance",
    "cosine",
    "changed",
    "update_cosine",
    "aligned_distance",
    "barrier",
    "aligned_barrier",
)

CONNECTED = 0.05
"""Runs are linearly connected where the loss rises by at most this share of the loss at the worse end."""

UNRELATED = " (unrelated runs of one norm: 141 %)"
"""Distance of unrelated runs, for comparison."""

SIGMAS = 3.0
"""Standard deviations from chance from which on displacements count as related."""


def comparison(result: xr.Dataset) -> list[Finding]:
    """Report the nearest and farthest runs, linear connection, similar displacements, and matched units."""
    return [
        *nonfinite(result, "distance"),
        *_ends(result),
        *_connected(result),
        *_directions(result),
        *_units(result),
    ]


def _each_two(array: xr.DataArray) -> dict[tuple[str, str], float]:
    """Return the last known value of each pair of runs, each pair once."""
    end = last(array)
    runs = [str(name) for name in end["run"].values] if "run" in end.dims else ["the run"]
    end = end if "run" in end.dims else end.expand_dims(run=runs)
    values: dict[tuple[str, str], float] = {}
    for row, run in zip(end.transpose("run", "other").values, runs, strict=True):
        for value, other in zip(row, map(str, end["other"].values), strict=True):
            if np.isfinite(value) and (other, run) not in values:
                values[run, other] = float(value)
    return values


def _two(pair: tuple[str, str]) -> str:
    return " and ".join(f"`{name}`" if name != "the run" else name for name in pair)


def _ends(result: xr.Dataset) -> list[Finding]:
    distances = total_of(result, "relative_distance")
    distances_of = {} if distances is None else _each_two(distances)
    if distances is None or not distances_of:
        return []
    near, far = min(distances_of, key=distances_of.__getitem__), max(distances_of, key=distances_of.__getitem__)
    same = [pair for pair, value in distances_of.items() if value == 0]
    ended = _ended(result, distances)
    if len(same) == len(distances_of):
        return [Finding(f"All runs {ended} with identical weights.", "distance", surprise=CERTAIN)]
    text = f"{_two(near)} {ended} nearest: {share(distances_of[near])} of the mean of their norms apart"
    text = f"{_two(near)} {ended} with identical weights" if same else text
    if len(distances_of) == 1:
        text = f"{_two(near)} {ended} {share(distances_of[near])} of the mean of their norms apart{UNRELATED}"
    if near != far:
        text += f"; {_two(far)} farthest, {share(distances_of[far])} apart{UNRELATED}"
    figure = "relative_distance" if "run" in result.dims else "distance"
    return [Finding(f"{text[:1].upper()}{text[1:]}.", figure, surprise=CERTAIN if same else 0.0)]


def _ended(result: xr.Dataset, distances: xr.DataArray) -> str:
    """Write "ended", or at which step the runs are compared where some recorded others."""
    if "unshared_steps" not in result or not bool((result["unshared_steps"] > 0).any()):
        return "ended"
    is_measured = distances.notnull().any([dim for dim in distances.dims if dim != "step"])
    return f"were at step {int(is_measured['step'].values[is_measured.values].max()):,}, the last that they share,"


def _connected(result: xr.Dataset) -> list[Finding]:
    findings = []
    for prefix, after in (("", ""), ("aligned_", " after alignment")):
        name, loss = f"{prefix}barrier", f"{prefix}line_loss"
        barriers = _each_two(result[name]) if name in result else {}
        if not barriers:
            continue
        ends = _each_two(xr.apply_ufunc(np.maximum, result[loss].isel(alpha=0), result[loss].isel(alpha=-1)))
        joined = [pair for pair, rise in barriers.items() if rise <= CONNECTED * ends[pair]]
        text = f"{len(joined):,} of {count(len(barriers), 'pair')} of runs are linearly connected{after}"
        if joined and len(joined) <= 3 < len(barriers) or len(joined) == 1:
            text += f" ({', '.join(map(_two, joined))})"
        high = max(barriers, key=barriers.__getitem__)
        if len(barriers) == 1:
            text = f"{_two(high)} are {'' if joined else 'not '}linearly connected{after}"
            text += _at_steps(result)
            text += "" if joined else f": the highest barrier is {number(barriers[high])} above the ends"
            text = f"{text[:1].upper()}{text[1:]}"
        elif high not in joined:
            text += f"; the highest barrier, {number(barriers[high])} above the ends, lies between {_two(high)}"
        text += _at_steps(result) if len(barriers) > 1 else ""
        findings.append(Finding(f"{text}.", name if "run" in result.dims else loss))
    return findings


def _at_steps(result: xr.Dataset) -> str:
    """Write at which steps the lines end."""
    if "line_steps" not in result:
        return ""
    steps = np.unique(result["line_steps"].values)
    steps = steps[np.isfinite(steps)]
    words = (
        " and ".join(f"{int(step):,}" for step in steps) if len(steps) < 3 else f"{steps[0]:,.0f} to {steps[-1]:,.0f}"
    )
    return f" (ends at {'step' if len(steps) == 1 else 'steps'} {words})" if len(steps) else ""


def _directions(result: xr.Dataset) -> list[Finding]:
    cosines, null = total_of(result, "update_cosine"), total_of(result, "update_cosine_null")
    if cosines is None or null is None:
        return []
    cosine_of, chance = _each_two(cosines), _each_two(null)
    related = {pair: value for pair, value in cosine_of.items() if value > SIGMAS * chance[pair]}
    if not cosine_of:
        return []
    most = max(cosine_of, key=cosine_of.__getitem__)
    sigma = number(chance[most])
    if not related:
        text = f"No two runs moved in related directions: the largest cosine is {number(cosine_of[most])}"
        return [Finding(f"{text} (chance: 0 ± {sigma}).", "update_cosine")]
    similar = "in the most similar directions" if len(cosine_of) > 1 else "in similar directions"
    text = f"{_two(most)} moved {similar}: cosine {number(cosine_of[most])} between displacements (chance: 0 ± {sigma})"
    text += (
        f"; {len(related):,} of {count(len(cosine_of), 'pair')} are related beyond chance" if len(cosine_of) > 1 else ""
    )
    figure = "update_cosine" if "run" in result.dims else "distance"
    beyond = cosine_of[most] / (SIGMAS * chance[most])
    return [Finding(f"{text[:1].upper()}{text[1:]}.", figure, surprise=beyond)]


def _units(result: xr.Dataset) -> list[Finding]:
    if "matched_features" not in result or "layer" not in result.dims:
        return []
    over = [dim for dim in ("run", "other") if dim in result.dims]
    alike = last(result["matched_features"]).median(over)
    null = last(result["matched_features_null_95"]).median(over)
    if not bool(alike.notnull().any()):
        return []
    most, least = (str(alike["layer"].values[pick(alike.values)]) for pick in (np.nanargmax, np.nanargmin))
    text = (
        f"Units matched by their activations on the probe correlate by {number(float(alike.sel(layer=most)))} in "
        f"`{most}` (by chance {number(float(null.sel(layer=most)))})"
    )
    if most != least:
        text += (
            f", by {number(float(alike.sel(layer=least)))} in `{least}` "
            f"(by chance {number(float(null.sel(layer=least)))})"
        )
    pairs = " (medians over pairs of runs)" if "run" in result.dims and result.sizes["run"] > 2 else ""
    return [Finding(f"{text}{pairs}.", "matched_features")]
