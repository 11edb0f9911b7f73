"""Lines of Python that make the array behind a view."""

from trajlab.explorer.context import Context
from trajlab.explorer.quantity import chosen, row_dim
from trajlab.explorer.selection import BEFORE, CHANGES, LAYER, MOMENTS, OVERVIEW, RUNS, SAMPLES


def coded_quantity(context: Context) -> tuple[str, str]:
    """Return the result and the variable that the open view is drawn from; empty if no single one, or none yet."""
    view = context.selection.view
    if view == BEFORE:
        return (CHANGES, "value") if "value" in context.results.get(CHANGES, ()) else ("", "")
    return ("", "") if view in (RUNS, SAMPLES) else context.quantity


def code_of(context: Context) -> str:
    """Return code that makes the array that the view is drawn from, as `array`; empty if there is no single one.

    Parameters
    ----------
    context
        What is selected. Overview: the heat map. Layer: the row over all chosen runs. Two moments: the variable at
        both. Before a step: the series that are searched for what is unusual.
    """
    result, variable = coded_quantity(context)
    if not result:
        return ""
    array, selection = context.results[result][variable], context.selection
    lines = [*_opening(context, result), f"array = result[{variable!r}]"]
    if "run" in array.dims:
        runs: str | list[str] = context.chosen_runs if selection.view == LAYER else context.run
        if selection.view == MOMENTS and context.run_before != context.run:
            runs = [context.run_before, context.run]
        lines.append(f"array = array.sel(run={runs!r})")
    if selection.view == MOMENTS:
        lines.append(f"array = array.sel(step=[{context.before}, {context.step}], method='nearest')")
    if selection.view == LAYER and context.row:
        lines.append(f"array = array.sel({row_dim(array)}={context.row!r})")
    positions = chosen(array, selection.at)
    if positions:
        lines.append(f"array = array.isel({', '.join(f'{dim}={i}' for dim, i in positions.items())})")
    if selection.window is not None and selection.view in (OVERVIEW, LAYER):
        first, last = selection.window
        lines.append(f"array = array.sel(step=slice({first}, {last}))")
    return "\n".join(lines)


def _opening(context: Context, result: str) -> list[str]:
    """Return the lines that open a stored result, or compute one."""
    stored = context.collection.path_of(result)
    if stored is not None:
        return ["import xarray as xr", "", f"result = xr.open_zarr({str(stored)!r}, chunks=None)"]
    return ["# `results` holds what you passed to trajlab.explore", f"result = results[{result!r}]"]


def computing_code(context: Context, result: str) -> str:
    """Return code that computes a result anew; empty if its runs are not known by their paths."""
    source = context.collection.source
    if result not in context.collection.computed or not source.paths:
        return ""
    opened = {name: f"trajlab.open({str(path)!r})" for name, path in source.paths.items() if name in source.runs}
    runs = next(iter(opened.values())) if source.alone else (
        "{" + ", ".join(f"{name!r}: {text}" for name, text in opened.items()) + "}"
    )  # fmt: skip
    return f"import trajlab\n\nresult = trajlab.run({result!r}, {runs}).compute()"
