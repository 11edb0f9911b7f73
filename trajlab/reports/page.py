"""The report of a study: one page."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from html import escape
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import xarray as xr
from markupsafe import Markup

from trajlab.errors import BadSetting, MissingData
from trajlab.reports.claims import UNSTATED, VERDICTS, Claim, measured_text, read_claims
from trajlab.reports.curves import curves
from trajlab.reports.findings import headlines
from trajlab.reports.head import heading
from trajlab.reports.outline import grouped, rank, standing
from trajlab.reports.sections import Section, section, slug
from trajlab.runs.disk.atomic import check_free, write_file
from trajlab.runs.disk.paths import as_path, reaching
from trajlab.runs.disk.reading import reading
from trajlab.schema import STORE_FILE
from trajlab.statistics.prepare import Result, prepare
from trajlab.statistics.read import read
from trajlab.statistics.studies import run_names, set_of_studies, shared_facts

Results = str | Path | Mapping[str, xr.Dataset]

REMEDY = "compute the stage again; if that does not help, it is a bug, so see `trajlab --debug report …`"
"""What to do about a result that cannot be shown."""


def report(
    results: Results, out: str | Path, *, title: str | None = None, metrics: str | Path | None = None,
    plots: str | Path | None = None, claims: str | Path | None = None, overwrite: bool = False,
) -> Path:  # fmt: skip
    """Write the page of a study: what stands out, then findings, figures, a table and the origin of each result.

    Results are grouped by the question that they help to answer. Claims that the study tests come first.
    The page is one HTML file that needs nothing else, and the same results give the same bytes.

    Parameters
    ----------
    results
        Results by name, a folder of them as .zarr, a folder of such folders, one for each study, or a single .zarr.
    out
        The page.
    title
        Its title; by default the name of the study.
    metrics
        Write the numbers of `summary` here too, as JSON.
    plots
        Write the same numbers over the steps to this folder, a CSV for each result; of several runs the median.
    claims
        File of claims that were published, and what became of them here, as `trajlab.reports.claims` writes it.
    overwrite
        Whether files that exist are replaced.

    Raises
    ------
    OutputExists
        A file exists and is not to be overwritten.
    BadSetting
        The page and its numbers are to be the same file.
    MissingData
        There are no results, or not the file of claims.
    DamagedData
        What is there is not a result, or one of another version; or the file holds no claims.
    """
    targets = [as_path(path) for path in (out, metrics, plots) if path is not None]
    if len({path.resolve() for path in targets}) < len(targets):
        raise BadSetting(
            f"cannot write the page and its numbers to the same file {out}; name another one with --metrics."
        )
    for path in targets:
        if not overwrite:
            check_free(path)
    stated = [] if claims is None else read_claims(claims)
    opened = open_results(results)
    with nullcontext() if isinstance(results, Mapping) else reading(results, REMEDY):
        prepared = {key: prepare(result) for key, result in opened.items()}
        sections = [_section(key, result, results) for key, result in prepared.items()]
        numbers = _summary(prepared)
        header = heading(opened, title or _study(results, opened))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["code"] = _code
    first, rest = standing(sections)
    page = environment.get_template("page.html").render(
        groups=grouped(sections), standing=first, others=rest, claims=[_row(claim, sections) for claim in stated],
        verdicts=VERDICTS, unstated=UNSTATED, **header,
    )  # fmt: skip
    write_file(targets[0], page.encode())
    if metrics is not None:
        write_file(targets[1], (json.dumps(numbers, indent=1) + "\n").encode())
    if plots is not None:
        for key, table in curves(prepared).items():
            write_file(targets[-1] / f"{key}.csv", table)
    return targets[0]


def _section(key: str, result: Result, results: Results) -> Section:
    """Write a section; what a damaged result on disk makes its stage's figures and findings raise names the result."""
    with nullcontext() if isinstance(results, Mapping) else reading(results, REMEDY, part=key):
        return section(key, result)


def summary(results: Results) -> dict[str, Any]:
    """Return the finite numbers that sum up each run: {run: {result: {variable: value}}}.

    Results of a single run give {result: {variable: value}}. Each value is the last that is known of the whole
    network; shares near zero are those at the largest absolute threshold.
    """
    return _summary({key: prepare(result) for key, result in open_results(results).items()})


def _summary(results: Mapping[str, Result]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for key, result in results.items():
        for variable, array in headlines(result).items():
            for i, run in enumerate(run_names(result.data)) if "run" in array.dims else [(0, "")]:
                value = float(array[i]) if "run" in array.dims else float(array)
                if np.isfinite(value):
                    of_run = numbers.setdefault(run, {}) if run else numbers
                    of_run.setdefault(key, {})[variable] = value
    return numbers


def open_results(results: Results) -> dict[str, xr.Dataset]:
    """Open results in the order of the page.

    Raises
    ------
    MissingData
        There are none.
    """
    if isinstance(results, Mapping):
        sources: dict[str, Any] = {
            name: result.assign_attrs({"stage": name} | result.attrs) for name, result in results.items()
        }
    else:
        folder = as_path(results)
        with reaching(folder):
            if not folder.is_dir():
                raise MissingData(f"cannot read the results in {folder}: there is no such folder; run a stage first.")
            single = (folder / STORE_FILE).exists()
            inside = [folder] if single else [*sorted(folder.glob("*.zarr")), *sorted(folder.glob("*/*.zarr"))]
            sources = {
                path.stem if path.parent == folder or single else f"{path.parent.name}/{path.stem}": path
                for path in inside
                if single or not path.parent.name.endswith(".zarr")
            }
    if not sources:
        raise MissingData(f"cannot write a report: there are no results{_where(results)}; run a stage first.")
    opened = {name: read(result) for name, result in sources.items()}
    return dict(sorted(opened.items(), key=lambda item: (rank(str(item[1].attrs.get("stage", item[0]))), item[0])))


def _row(claim: Claim, sections: list[Section]) -> dict[str, Any]:
    """Return a claim as the page shows it; it links to a part of the page if that exists."""
    anchors = {section.key for section in sections} | {
        picture.anchor for section in sections for picture in section.pictures
    }
    figure = slug(claim.figure)
    return claim._asdict() | {
        "measured": [(measured.what, measured_text(measured)) for measured in claim.measured],
        "figure": figure if figure in anchors else "",
    }


def _where(results: Results) -> str:
    return "" if isinstance(results, Mapping) else f" in {results}"


def _study(results: Results, opened: dict[str, xr.Dataset]) -> str:
    """Name the study: as all runs say, or of several what their names begin with, else as the folder."""
    studies = dict.fromkeys(str(shared_facts(result).get("study", "")) for result in opened.values())
    named = [name for name in studies if name]
    if len(named) == 1:
        return named[0]
    if common := set_of_studies(named):
        return common
    return (
        "Training trajectories"
        if isinstance(results, Mapping)
        else as_path(results).resolve().name.removesuffix(".zarr")
    )


def _code(text: str) -> Markup:
    """Show names between backticks as code."""
    pieces = escape(text).replace(" %", "\u00a0%").split("`")
    return Markup("".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces)))
