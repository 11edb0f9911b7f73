"""A finding, the one that all stages share, and what a module of findings holds.

A module `trajlab.reports.findings.<stage>` says what stands out in the results of a stage. It holds

- `<stage>(data) -> list[Finding]`: the findings, the most telling first; each names the `key` of the panel of
  `trajlab.figures.<stage>` that shows it;
- `HEADLINES`: names of the variables that sum up a run, in the table and in `summary`; of each the total of the whole
  network is taken where there is one (`Summed`);
- optionally `headline_data(data) -> xr.Dataset`: the Dataset that these are taken from (`Headlined`).

`data` is the Dataset of a prepared result (`trajlab.statistics.prepare`). A stage without a module has no findings.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import xarray as xr

from trajlab.statistics.extremes import Extreme, extreme, in_run, last

CERTAIN = 100.0
"""Surprise of what no training does by itself."""


class Finding(NamedTuple):
    """A sentence about a result, in which names stand between backticks.

    Attributes
    ----------
    text
        The sentence.
    figure
        Key of the figure that shows it; empty for none.
    alarm
        Whether something is broken.
    surprise
        Distance of a number from its expectation, in units of the smallest distance worth a sentence. The expectation
        is a null, other runs, or the run's own past. `CERTAIN` for what no training does, 0 without an expectation.
    """

    text: str
    figure: str = ""
    alarm: bool = False
    surprise: float = 0.0


@runtime_checkable
class Summed(Protocol):
    """A module that names the numbers that sum up a run."""

    HEADLINES: Sequence[str]


@runtime_checkable
class Headlined(Protocol):
    """A module that derives these numbers, or leaves some of them out."""

    def headline_data(self, data: xr.Dataset, /) -> xr.Dataset:
        """Return a result with the variables that `HEADLINES` may name."""


def unknown(result: xr.Dataset, variable: str) -> list[Finding]:
    """Report that a variable is not known at any step, and what must be recorded so that it is."""
    if variable not in result or bool(result[variable].notnull().any()) or not result[variable].attrs.get("needs"):
        return []
    called = str(result[variable].attrs.get("long_name", variable))
    return [Finding(f"{called[:1].upper()}{called[1:]}: not known; it needs {result[variable].attrs['needs']}.")]


def nonfinite(result: xr.Dataset, figure: str, thing: str = "weights") -> list[Finding]:
    """Report where NaN and Inf first appear."""
    if "nonfinite" not in result or "step" not in result["nonfinite"].dims:
        return []
    bad = result["nonfinite"] > 0
    if not bool(bad.any()):
        return []
    on_step = bad.any([dim for dim in bad.dims if dim != "step"])
    step = on_step["step"].values[int(on_step.argmax("step"))]
    point = extreme(result["nonfinite"].sel(step=step))
    row = (
        next((f" in `{label}`" for dim, label in point.at.items() if dim in ("parameter", "layer")), "")
        if point
        else ""
    )
    runs = int(bad.any([d for d in bad.dims if d != "run"]).sum()) if "run" in bad.dims else 0
    more = f"; {runs} runs are affected" if runs > 1 else ""
    where = f"{row}{in_run(point) if point else ''}"
    text = f"NaN or Inf among the {thing} from step {step:,} on{f', first{where}' if where else ''}{more}."
    return [Finding(text, figure, alarm=True, surprise=CERTAIN)]


def most_in(row: Extreme, whole: Extreme) -> str:
    """Write in which parameter entries lie that are counted over all: one, all or most of them.

    >>> most_in(Extreme(1.0, {"parameter": "w"}), Extreme(1.0, {}))
    'in `w`'
    """
    here = f"in `{row.at['parameter']}`"
    if row.value == whole.value:
        return here if whole.value == 1 else f"all of them {here}"
    return f"most of them {here}" if row.value > whole.value / 2 else f"more of them {here} than elsewhere"


def largest_changes(array: xr.DataArray, smallest: float) -> Iterator[tuple[str, Extreme, float, float]]:
    """Yield where a variable rose most and fell most since the first step: verb, place, values before and after.

    Changes smaller than `smallest` are left out.
    """
    start, end = array.isel(step=0, drop=True), last(array)
    for verb, least in (("rose", False), ("fell", True)):
        point = extreme(end - start, least=least)
        if point is not None and (-point.value if least else point.value) >= smallest:
            yield verb, point, float(start.sel(point.at)), float(end.sel(point.at))
