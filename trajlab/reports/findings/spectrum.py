"""Findings on singular values beyond noise, effective ranks and heavy tails."""

import numpy as np
import xarray as xr
from scipy.special import bdtrc

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import Extreme, extreme, in_run, last
from trajlab.statistics.wording import count, number

HEADLINES = ("spectral_norm", "stable_rank", "effective_rank", "mp_spikes", "alpha")

FALLEN = 0.9
"""Effective rank, in shares of that of the shuffled entries, from which down it is worth a sentence."""

BEYOND = 0.01
"""Share of noise matrices whose largest singular value is beyond `mp_threshold`."""

CHANCE = 0.01
"""Probability under noise from which up matrices with a singular value beyond it are no news."""

ENOUGH = 50
"""Singular values from which on an exponent of the tail is worth a sentence."""


def spectrum(result: xr.Dataset) -> list[Finding]:
    """Report singular values beyond noise, effective ranks below those of noise, and heavy tails."""
    return [*nonfinite(result, "singular_values"), *_spikes(result), *_rank(result), *_tail(result)]


def _name(point: Extreme) -> str:
    return f"`{point.at['parameter']}`" if "parameter" in point.at else "the matrix"


def _at(array: xr.DataArray, point: Extreme) -> float:
    return float(array.sel({dim: label for dim, label in point.at.items() if dim in array.dims}))


def _start(array: xr.DataArray) -> xr.DataArray:
    return array.isel(step=0, drop=True)


def _spikes(result: xr.Dataset) -> list[Finding]:
    end = last(result["mp_spikes"])
    point = extreme(end)
    if point is None:
        return []
    if point.value == 0:
        text = "No matrix ends with a singular value beyond noise: by their spectra they could be random."
        return [Finding(text, "mp_spikes" if "parameter" in end.dims else "singular_values")]
    before = _at(_start(result["mp_spikes"]), point)
    spiked, known = int((end > 0).sum()), int(end.notnull().sum())
    if point.value == before == 1 and _or_more(spiked, known) > CHANCE:
        text = f"{spiked} of {number(known)} matrices {'ends' if spiked == 1 else 'end'} with one singular value "
        text += f"beyond noise, no more than chance gives: noise has one in {100 * BEYOND:.0f} of 100 matrices."
        return [Finding(text, "mp_spikes" if "parameter" in end.dims else "singular_values")]
    text = f"{_name(point)} ends with {count(point.value, 'singular value')} beyond noise{in_run(point)}"
    text += f"{', the most of all' if point.at else ''}; {number(before)} at the start"
    if "mp_spikes_null" in result:
        text += f", {number(_at(last(result['mp_spikes_null']), point))} once its entries are shuffled"
    findings = [Finding(f"{text[0].upper()}{text[1:]}.", "singular_values", surprise=point.value - before)]
    if "parameter" in end.dims:
        quiet = (end.max("run") if "run" in end.dims else end) == 0
        if int(quiet.sum()):
            names = [f"`{name}`" for name in end["parameter"].values[quiet.values]]
            some = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
            show = "shows" if len(names) == 1 else "show"
            text = f"{len(names)} of {quiet.size} matrices {show} nothing beyond noise at the end: {some}."
            findings.append(Finding(text, "mp_spikes"))
    return findings


def _or_more(some: int, known: int) -> float:
    """Return the probability that as many noise matrices or more have a singular value beyond the threshold.

    >>> round(_or_more(1, 15), 3)
    0.14
    """
    return float(bdtrc(some - 1, known, BEYOND))


def _rank(result: xr.Dataset) -> list[Finding]:
    if "effective_rank_null" not in result:
        return []
    end, null = last(result["effective_rank"]), last(result["effective_rank_null"])
    enough = np.minimum(result["rows"], result["columns"]) > 2
    point = extreme((end / null).where(enough), least=True)
    if point is None:
        return []
    if point.value > FALLEN:
        text = "No matrix uses clearly fewer directions than its entries shuffled: "
        text += f"effective ranks are at least {100 * point.value:.1f} % of those."
        return [Finding(text, "effective_rank")]
    rank, shuffled, start = (_at(array, point) for array in (end, null, _start(result["effective_rank"])))
    text = (
        f"{_name(point)} has the lowest effective rank against noise{in_run(point)}: {number(rank)}, where its "
        f"shuffled entries have {number(shuffled)}; it was {number(start)} at the start."
    )
    return [Finding(text[0].upper() + text[1:], "effective_rank", surprise=(1.0 - point.value) / (1.0 - FALLEN))]


def _tail(result: xr.Dataset) -> list[Finding]:
    enough = np.minimum(result["rows"], result["columns"]) >= ENOUGH
    point = extreme(last(result["alpha"]).where(enough), least=True)
    if point is None:
        return []
    sigma = _at(last(result["alpha_sigma"]), point)
    text = (
        f"{_name(point)} ends with the heaviest tail{in_run(point)}: exponent {point.value:.1f} (σ {sigma:.1f} for the "
    )
    text += "fitted start of the tail)"
    text += f", {_at(_start(result['alpha']), point):.1f} at the start"
    if "alpha_null" in result:
        text += f", {_at(last(result['alpha_null']), point):.1f} of its shuffled entries"
    return [Finding(f"{text[0].upper()}{text[1:]}.", "alpha")]
