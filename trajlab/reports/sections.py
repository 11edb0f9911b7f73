"""What the report says about each result: its question, figures, a table by run, and where it comes from."""

import inspect
import json
import re
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.figures import panels
from trajlab.figures.inline import inline_svg
from trajlab.figures.marks.labels import title_of
from trajlab.figures.marks.multiples import MOST, counted
from trajlab.figures.marks.scale import is_share
from trajlab.reports.findings import findings, headlines
from trajlab.reports.findings.finding import Finding
from trajlab.stages import stage, stage_names
from trajlab.statistics.extremes import with_reference
from trajlab.statistics.studies import groups, run_names
from trajlab.statistics.wording import number, share

ORDINALS = ("second", "third", "last")
"""Layers that a result may be of by its name, as `filters_second`, in place of the first."""


class Picture(NamedTuple):
    """A figure in the page."""

    anchor: str
    title: str
    caption: str
    svg: str


class Table(NamedTuple):
    """A table in the page; cells are text. Where runs are many, it sums up those that differ in their seed, too."""

    header: list[str]
    hints: list[str]
    rows: list[list[str]]
    groups: list[list[str]]


class Section(NamedTuple):
    """All that the page says about a result."""

    key: str
    stage: str
    title: str
    lead: str
    question: str
    findings: list[Finding]
    pictures: list[Picture]
    table: Table
    meanings: list[tuple[str, str, str, str]]
    provenance: list[tuple[str, str]]


def section(key: str, result: xr.Dataset) -> Section:
    """Write the section of a result.

    Parameters
    ----------
    key
        Name of the result, unique in the page.
    result
        The result of a stage.
    """
    name, result = str(result.attrs.get("stage", key)), with_reference(result)
    lead, question = _words(name)
    study, _, own = key.rpartition("/")
    which = own.removeprefix(f"{name}_")
    if which in ORDINALS:
        own, question = f"{which} {name}", question.replace("first", which)
    title = (f"{own} of {study}" if study else own).replace("_", " ")
    if result.attrs.get("on"):
        title += f" of {result.attrs['on']}" if result.attrs["on"] not in title else ""
    pictures = []
    for panel in panels(result):
        anchor = slug(f"{key}-{panel.key}")
        svg = inline_svg(panel.draw, panel.size, name=anchor, label=f"{panel.title}. {panel.caption}")
        pictures.append(Picture(anchor, panel.title, panel.caption, svg))
    anchors = {picture.anchor for picture in pictures}
    said = []
    for finding in findings(result):
        anchor = slug(f"{key}-{finding.figure}")
        said.append(finding._replace(figure=anchor if anchor in anchors else slug(key)))
    return Section(
        slug(key), name, title, lead, question, said, pictures, _table(result), _meanings(result), _provenance(result)
    )


def slug(name: str) -> str:
    """Give a name that may stand in the address of a part of the page."""
    return re.sub(r"[^\w-]", "-", name)


def written(array: xr.DataArray, value: float) -> str:
    """Write a value of a variable, a share in per cent."""
    return share(value) if is_share(array) and np.isfinite(value) else number(value)


def _words(name: str) -> tuple[str, str]:
    """Give the first sentence of a stage's docstring and the question it answers."""
    if name not in stage_names():
        return "", ""
    text = inspect.getdoc(stage(name)) or ""
    found = re.search(r"Answers: (.*?)(?:\n\n|$)", text, re.DOTALL)
    question = " ".join(found[1].split()) if found else ""
    asked = question[: question.rfind("?") + 1] or question
    return text.partition("\n")[0], asked[:1].upper() + asked[1:]


def _table(result: xr.Dataset) -> Table:
    """Give the last values of each run, without columns of which nothing is known."""
    found = {name: array for name, array in headlines(result).items() if np.isfinite(array.values.astype(float)).any()}
    header = [title_of(array).removeprefix("whole network: ") for array in found.values()]
    hints = [str(array.attrs.get("definition", "")) for array in found.values()]
    runs = run_names(result) or [""]
    values = {name: np.broadcast_to(array.values.astype(float), len(runs)).tolist() for name, array in found.items()}
    together = groups(result) if len(runs) > MOST else {}
    ordered = [i for own in together.values() for i in own] or range(len(runs))
    rows = [[runs[i], *(written(found[name], values[name][i]) for name in found)] for i in ordered]
    summed = [
        [counted(name, own), *(_spread(array, [values[n][i] for i in own]) for n, array in found.items())]
        for name, own in together.items()
    ]
    return Table(header, hints, rows if found else [], summed if found and len(summed) < len(rows) else [])


def _spread(array: xr.DataArray, values: list[float]) -> str:
    """Write the median of values, and on a second line the least and the largest of them where they differ."""
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return written(array, np.nan)
    least, middle, largest = (written(array, float(f(known))) for f in (np.min, np.median, np.max))
    return middle if least == largest else f"{middle}\n{least} to {largest}"


def _meanings(result: xr.Dataset) -> list[tuple[str, str, str, str]]:
    return [
        (
            str(name),
            str(a.attrs.get("long_name", "")),
            str(a.attrs.get("units", "")),
            str(a.attrs.get("definition", "")),
        )
        for name, a in result.data_vars.items()
        if not str(name).startswith("total_")
    ]


def _provenance(result: xr.Dataset) -> list[tuple[str, str]]:
    """Give the attributes of a result as text, the settings that were given first."""
    given = dict(result.attrs)
    first = ("stage", "settings", "on", "trajlab", "Conventions")
    ordered = [name for name in first if name in given] + sorted(set(map(str, given)) - set(first))
    return [(name, _setting_text(given[name])) for name in ordered]


def _setting_text(value: object) -> str:
    if isinstance(value, str):
        return value
    values = np.asarray(value)
    return json.dumps(values.tolist()) if values.dtype.kind in "fiub" else str(value)
