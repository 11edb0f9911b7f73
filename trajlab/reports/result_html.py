"""A result as HTML, for notebooks: what its stage asks, what stands out, its main figure, and its variables."""

import inspect
import re
from html import escape

import xarray as xr
from dask.base import tokenize

from trajlab.figures import panels
from trajlab.figures.inline import inline_svg
from trajlab.figures.marks.colors import CATEGORIES
from trajlab.reports.findings import findings
from trajlab.schema import RESULT_VERSION
from trajlab.stages import stage, stage_names
from trajlab.statistics.prepare import prepare
from trajlab.statistics.wording import count

SHOWN = 3
"""Most findings; the report has all."""

DIMS = ("run", "step", "parameter", "layer")
"""Dims that are counted in the first line."""

_COLORS = ";".join(f"--c{i}:{color}" for i, color in enumerate(CATEGORIES))
STYLE = f"""<style>
.trajlab-result {{ --ink: currentColor; --rule: #8886; --missing: #8884; --paper: transparent; --calm: #56a0dc2b;
  {_COLORS} }}
.trajlab-result svg {{ display: block; width: 100%; max-width: 48em; height: auto; margin: .5em 0; }}
.trajlab-result ul {{ margin: .3em 0; padding-left: 1.4em; }}
.trajlab-result summary {{ cursor: pointer; }}
</style>"""
"""The colors that figures take from their page (`trajlab.figures.inline`), for light and dark notebooks."""


def is_result(data: xr.Dataset) -> bool:
    """Return whether a Dataset is a result with all variables that its stage returned, over runs, steps and tensors."""
    is_whole = all(name in data.data_vars for name in data.attrs.get("variables", ()))
    is_part = any(name in data.coords and data[name].ndim == 0 for name in DIMS)
    return data.attrs.get("Conventions") == RESULT_VERSION and "step" in data.dims and is_whole and not is_part


def result_html(result: xr.Dataset) -> str:
    """Write a result as HTML; nothing is computed, so one that is lazy has neither findings nor a figure.

    Parameters
    ----------
    result
        The result. Any other Dataset is shown as xarray shows it.
    """
    variables = result._repr_html_()
    if not is_result(result):
        return variables
    name = str(result.attrs["stage"])
    lead = (inspect.getdoc(stage(name)) or "").partition("\n")[0] if name in stage_names() else ""
    sizes = ", ".join(count(result.sizes[dim], dim) for dim in DIMS if dim in result.dims)
    head = f"<div><b>{escape(name)}</b> {escape(sizes)}</div><div>{escape(lead)}</div>"
    if any(variable.chunks for variable in result.variables.values()):
        body, is_open = "<div>Not computed yet: <code>.compute()</code> reads the data.</div>", True
    else:
        try:
            body, is_open = _stands_out(result), False
        except Exception as error:  # of what a user made of a result, as a mean over parameters; a repr never fails
            body, is_open = f"<div>No figure: {escape(f'{type(error).__name__}: {error}')}</div>", True
    listed = f"<details{' open' if is_open else ''}><summary>Variables</summary>{variables}</details>"
    return f'{STYLE}<div class="trajlab-result">{head}{body}{listed}</div>'


def tree_html(tree: xr.DataTree) -> str:
    """Write the results of several stages as HTML; any other DataTree is shown as xarray shows it."""
    results = [child.to_dataset() for child in tree.children.values()]
    if not results or not all(map(is_result, results)):
        return tree._repr_html_()
    return "".join(map(result_html, results))


def _stands_out(result: xr.Dataset) -> str:
    """Return the findings and the first figure of a result."""
    prepared = prepare(result)
    sentences = sorted(findings(prepared), key=lambda finding: (not finding.alarm, -finding.surprise))[:SHOWN]
    lines = [re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(finding.text)) for finding in sentences]
    listed = f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else ""
    figures = panels(prepared)[:1]
    drawn = [
        inline_svg(panel.draw, panel.size, name=f"trajlab-{tokenize(result)[:8]}", label=panel.title)
        for panel in figures
    ]
    return listed + "".join(drawn)
