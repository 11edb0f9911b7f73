"""Findings on how far each tensor moved."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import CERTAIN, Finding, most_in, nonfinite
from trajlab.reports.findings.snapshots import unusual_snapshots
from trajlab.statistics.extremes import extreme, in_run, last, most_unmoved, of_weights, size_in, total_of, typical
from trajlab.statistics.result import is_from_start, reference_name
from trajlab.statistics.roles import block_parameter, grid_of, spoken
from trajlab.statistics.studies import facts, telling_facts
from trajlab.statistics.wording import count, listed, number, share

HEADLINES = ("relative", "distance_l2", "path_length", "straightness", "changed", "changed_tol", "sign_changed",
             "unchanged_cause")  # fmt: skip

OF_THE_PATH = ("path_length", "straightness")
"""Headlines of the path, which begins at the start of the run: they do not fit distances from elsewhere."""

DEEP = 4
"""Blocks from which on a sentence compares them."""

NOTABLE = 1.25
"""Factor between the medians of groups of runs from which on a finding compares them."""

UNMOVED = 0.2
"""Share of entries that never change from which on it is a surprise: some pixels are always dark."""


def headline_data(result: xr.Dataset) -> xr.Dataset:
    """Leave out the path where distances are not measured from its start, and a tolerance of 0."""
    if not result.attrs.get("rtol") and not result.attrs.get("atol"):
        result = result.drop_vars(["changed_tol", "total_changed_tol"], errors="ignore")
    if is_from_start(result.attrs):
        return result
    return result.drop_vars([*OF_THE_PATH, *(f"total_{name}" for name in OF_THE_PATH)], errors="ignore")


def drift(result: xr.Dataset) -> list[Finding]:
    """Report the layers that moved most and least, runs that moved farther, straightness, and what never changed.

    Of distances from another run, report which run ended farthest from it, and which nearest.
    """
    findings = nonfinite(result, "relative")
    if result.attrs.get("reference_of") == "parent":
        return [*findings, *_ends(result)]
    snapshots = _snapshots(result)
    if (snapshots <= 1).all():
        each = " in each run" if "run" in result.dims else ""
        return [*findings, Finding(f"Only one snapshot was recorded{each}, so nothing is known about change.")]
    same = _same(result)
    findings += _frozen(same, snapshots)
    if bool((same | (snapshots <= 1)).all()):
        return findings
    findings += unusual_snapshots(result)
    if is_from_start(result.attrs):
        findings += [*_layers(result), *_runs(result), *_path(result)]
    return [*findings, *_unmoved(result)]


def _snapshots(result: xr.Dataset) -> xr.DataArray:
    """Count the snapshots of each run."""
    recorded = result["nonfinite"].notnull()
    return recorded.any([dim for dim in recorded.dims if dim not in ("run", "step")]).sum("step")


def _same(result: xr.Dataset) -> xr.DataArray:
    """Return whether no entry of any tensor of a run ever changed, (run)."""
    counts = result["unchanged_cause"].sum("cause", min_count=1)
    entries = result.get("sampled", result.get("numel"))
    same = xr.zeros_like(counts, bool) if entries is None else (counts == entries) | counts.isnull()
    over = [dim for dim in same.dims if dim != "run"]
    return same.all(over) & counts.notnull().any(over)


def _frozen(same: xr.DataArray, snapshots: xr.DataArray) -> list[Finding]:
    """Report the runs whose snapshots all hold the same weights."""
    if not bool(same.any()):
        return []
    if "run" not in same.dims:
        text = f"All {int(snapshots)} snapshots hold the same weights: no entry of any tensor ever changed."
        return [Finding(text, surprise=CERTAIN)]
    runs = [f"`{run}`" for run in same["run"].values[same.values]]
    which = "every run" if bool(same.all()) else f"{count(len(runs), 'run')} ({listed(runs)})"
    text = f"All snapshots of {which} hold the same weights: no entry of any tensor ever changed."
    return [Finding(text, surprise=CERTAIN)]


def _layers(result: xr.Dataset) -> list[Finding]:
    if "parameter" not in result.dims:
        return []
    end = of_weights(last(result["relative"]).where(~_is_frozen(result)))
    usual = typical(end)
    names = [str(name) for name in result["parameter"].values]
    most, least = extreme(usual), extreme(usual, least=True)
    if most is None or least is None:
        return []
    runs_known = int(np.isfinite(end.sel(most.at).values).sum())
    runs = f" (median of {count(runs_known, 'run')})" if end.sizes.get("run", 1) > 1 else ""
    text = f"`{most.at['parameter']}` moved most: {share(most.value)} of its initial norm{runs}"
    if least.at != most.at:
        text += f"; `{least.at['parameter']}` moved least: {share(least.value)}"
    findings = [Finding(f"{text}.", "relative"), *_across_blocks(usual, str(most.at["parameter"]), names)]
    top = extreme(end)
    if runs and top is not None:
        text = f"The largest distance of a tensor in any run is that of `{top.at['parameter']}`{in_run(top)}"
        findings.append(Finding(f"{text}: {share(top.value)} of its initial norm.", "relative"))
    return findings


def _is_frozen(result: xr.Dataset) -> xr.DataArray:
    """Return whether all entries of each tensor are unchanged as it was frozen, ([run], parameter)."""
    counts, entries = result["unchanged_cause"], result.get("sampled", result.get("numel"))
    if entries is None or "frozen" not in counts["cause"].values:
        return xr.zeros_like(counts.isel(cause=0, drop=True), bool)
    return counts.sel(cause="frozen", drop=True) >= entries


def _across_blocks(usual: xr.DataArray, name: str, names: list[str]) -> list[Finding]:
    """Report where along the blocks of a deep network the role of a parameter moved least."""
    parameter, grid = block_parameter(name), grid_of(names)
    if parameter is None or grid is None or parameter.role not in grid.roles or len(grid.blocks) < DEEP:
        return []
    if "." not in parameter.role:  # plain layers of a sequence: the sentence before names each
        return []
    members = grid.members[grid.roles.index(parameter.role)]
    of_role = usual.isel(parameter=members[members >= 0])
    most, least = extreme(of_role), extreme(of_role, least=True)
    if most is None or least is None or most.at == least.at:
        return []
    role = parameter.role.removesuffix(".weight")
    blocks = [spoken(point.at["parameter"], names).partition(" in ")[2] for point in (most, least)]
    text = f"Over the blocks, `{role}` moved most in {blocks[0]}, {share(most.value)}, and least in {blocks[1]}"
    return [Finding(f"{text}, {share(least.value)}.", "relative")]


def _ends(result: xr.Dataset) -> list[Finding]:
    total = total_of(result, "relative")
    if total is None:
        return []
    far, near = extreme(last(total)), extreme(last(total), least=True)
    if far is None or near is None:
        return []
    reference = reference_name(result.attrs)
    if "run" not in far.at or far.at == near.at:
        return [Finding(f"The run ended {share(far.value)} of the norm away from {reference}.", "total")]
    text = (
        f"`{far.at['run']}` ended farthest from {reference}, {share(far.value)} of the norm away; `{near.at['run']}` "
    )
    return [Finding(f"{text}nearest, {share(near.value)} away.", "total")]


def _runs(result: xr.Dataset) -> list[Finding]:
    total = total_of(result, "relative")
    if total is None or "run" not in total.dims:
        return []
    end, findings = last(total).values, []
    for fact in [name for name in telling_facts(result) if name != "seed"][:2]:
        values = facts(result)[fact]
        levels = [level for level in dict.fromkeys(values.tolist()) if np.isfinite(end[values == level]).any()]
        medians = {level: float(np.nanmedian(end[values == level])) for level in levels}
        if len(medians) < 2:
            continue
        far, near = max(medians, key=medians.__getitem__), min(medians, key=medians.__getitem__)
        if medians[near] > 0 and medians[far] / medians[near] >= NOTABLE:
            text = (
                f"Runs with {fact} `{far}` moved {number(round(medians[far] / medians[near], 1))} times as far as "
                f"those with `{near}`: {share(medians[far])} and {share(medians[near])} of the initial norm (medians, "
                "whole network)."
            )
            findings.append(Finding(text, "total", surprise=np.log(medians[far] / medians[near]) / np.log(NOTABLE)))
    return findings


def _path(result: xr.Dataset) -> list[Finding]:
    straight = total_of(result, "straightness")
    point = None if straight is None else extreme(last(straight), least=True)
    if point is None or point.value > 0.9 or point.value <= 0:
        return []
    path = "The path of the whole network" if "parameter" in result.dims else "The path"
    path += f" is least straight{in_run(point)}:" if "run" in point.at else " is"
    times = number(round(1 / point.value, 1))
    return [Finding(f"{path} {times} times as long as the distance from start to end.", "straightness")]


def _unmoved(result: xr.Dataset) -> list[Finding]:
    if "parameter" not in result.dims or "numel" not in result.coords:
        return []
    counts, point = result["unchanged_cause"], most_unmoved(result)
    if counts.isnull().all():
        return []
    if point is None:
        runs = ", in every run" if "run" in result.dims else ""
        return [Finding(f"Every entry of every tensor changed at some step{runs}.", "relative")]
    here = counts.sel(point.at)
    row, cause = extreme(here.sum("cause")), extreme(here.sum("parameter"))
    total = size_in(result.coords.get("sampled", result["numel"]), point)
    text = f"{count(point.value, 'entry')} ({share(point.value / total)}) never changed{in_run(point)}"
    if row and cause:
        words = str(cause.at["cause"]).replace("_", " ")
        text += f", {most_in(row, point)}; the main cause is “{words}”"
    ratio = total_of(result, "changed_norm_ratio")
    if ratio is not None and np.isfinite(norm := float(last(ratio).sel(point.at))):
        text += f". The entries that changed have {share(norm)} of the norm of all"
    return [Finding(f"{text}.", "unchanged", surprise=point.value / total / UNMOVED)]
