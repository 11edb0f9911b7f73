"""Section of a result: its question, findings, figures, a table by run, and its origin."""

import inspect
import json
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.figures import panels
from trajlab.figures.inline import inline_svg
from trajlab.figures.marks.labels import name_of
from trajlab.figures.marks.multiples import MOST, counted
from trajlab.figures.marks.scale import is_share
from trajlab.reports.findings import findings, headlines, layer_numbers
from trajlab.reports.findings.finding import Finding
from trajlab.stages import stage, stage_names
from trajlab.statistics.prepare import Result
from trajlab.statistics.studies import groups, run_names
from trajlab.statistics.wording import number, share


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
    """Content of the section of a result."""

    key: str
    stage: str
    title: str
    lead: str
    question: str
    findings: list[Finding]
    pictures: list[Picture]
    table: Table
    layers: Table
    meanings: list[tuple[str, str, str, str]]
    provenance: list[tuple[str, str]]
    of_weights: bool = False
    """Whether a stage of gradients and weights had weights only."""


def section(key: str, result: Result) -> Section:
    """Write the section of a result.

    Parameters
    ----------
    key
        Name of the result, unique in the page.
    result
        The result of a stage.
    """
    lead, question = _words(result.stage)
    pictures = []
    for panel in panels(result):
        anchor = slug(f"{key}-{panel.key}")
        svg = inline_svg(panel.draw, panel.size, name=anchor, label=f"{panel.title}. {panel.caption}")
        pictures.append(Picture(anchor, panel.title, panel.caption, svg))
    anchors = {picture.anchor for picture in pictures}
    linked = []
    for finding in findings(result):
        anchor = slug(f"{key}-{finding.figure}")
        linked.append(finding._replace(figure=anchor if anchor in anchors else slug(key)))
    return Section(
        slug(key), result.stage, _title(key, result), lead, question, linked, pictures,
        _table(result), _layers(result), _meanings(result.data), _provenance(result.data),
        "weight_flip_rate" in result.data and "flip_rate" not in result.data,
    )  # fmt: skip


def _title(key: str, result: Result) -> str:
    """Return the title of a result: its name, and the parameter, kind of tensor and study that it is of."""
    study, _, name = key.rpartition("/")
    attrs = result.data.attrs
    name = f"{result.stage} of {attrs['parameter']}" if attrs.get("parameter") else name.replace("_", " ")
    name += f" of {attrs['on']}" if attrs.get("on") and attrs["on"] not in name else ""
    return f"{name} of {study}" if study else name


def slug(name: str) -> str:
    """Return a name as an anchor of the page."""
    return re.sub(r"[^\w-]", "-", name)


def written(array: xr.DataArray, value: float) -> str:
    """Write a value of a variable, a share in per cent."""
    return share(value) if is_share(array) and np.isfinite(value) else number(value)


def _words(name: str) -> tuple[str, str]:
    """Return the first sentence of a stage's docstring and the question it answers."""
    if name not in stage_names():
        return "", ""
    text = inspect.getdoc(stage(name)) or ""
    match = re.search(r"Answers: (.*?)(?:\n\n|$)", text, re.DOTALL)
    question = " ".join(match[1].split()) if match else ""
    asked = question[: question.rfind("?") + 1] or question
    return text.partition("\n")[0], asked[:1].upper() + asked[1:]


def _table(result: Result) -> Table:
    """Return the last values of each run, without columns that are unknown in all."""
    numbers = {
        name: array for name, array in headlines(result).items() if np.isfinite(array.values.astype(float)).any()
    }
    header = [name_of(array) for array in numbers.values()]
    hints = [str(array.attrs.get("definition", "")) for array in numbers.values()]
    runs = run_names(result.data) or [""]
    values = {name: np.broadcast_to(array.values.astype(float), len(runs)).tolist() for name, array in numbers.items()}
    together = groups(result.data) if len(runs) > MOST else {}
    ordered = [i for members in together.values() for i in members] or range(len(runs))
    rows = [[runs[i], *(written(numbers[name], values[name][i]) for name in numbers)] for i in ordered]
    summed = [
        [counted(name, members), *(_spread(array, [values[n][i] for i in members]) for n, array in numbers.items())]
        for name, members in together.items()
    ]
    return Table(header, hints, rows if numbers else [], summed if numbers and len(summed) < len(rows) else [])


def _layers(result: Result) -> Table:
    """Return the last values of each parameter, or layer, in network order, without those that have none."""
    numbers = {name: array for name, array in layer_numbers(result).items() if bool(array.notnull().any())}
    if not numbers:
        return Table([], [], [], [])
    first = next(iter(numbers.values()))
    (dim,) = first.dims
    numbers = {name: array for name, array in numbers.items() if array.dims == (dim,)}
    header = [str(dim), *(name_of(array) for array in numbers.values())]
    hints = ["", *(str(array.attrs.get("definition", "")) for array in numbers.values())]
    values = {name: array.values.astype(float) for name, array in numbers.items()}
    rows = [
        [str(label), *(written(numbers[name], float(values[name][i])) for name in numbers)]
        for i, label in enumerate(first[dim].values)
        if any(np.isfinite(values[name][i]) for name in numbers)
    ]
    return Table(header, hints, rows, [])


def _spread(array: xr.DataArray, values: list[float]) -> str:
    """Write the median of values, and on a second line the least and the largest of them where they differ."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return written(array, np.nan)
    least, middle, largest = (written(array, float(f(finite))) for f in (np.min, np.median, np.max))
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
    """Return the attributes of a result as text, its settings first."""
    attrs = dict(result.attrs)
    first = ("stage", "settings", "on", "trajlab", "Conventions")
    ordered = [name for name in first if name in attrs] + sorted(set(map(str, attrs)) - {*first, "variables"})
    return [(name, _setting_text(attrs[name])) for name in ordered]


def _setting_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {item}" for key, item in value.items())
    values = np.asarray(value)
    return json.dumps(values.tolist()) if values.dtype.kind in "fiub" else str(value)
