"""Head of the report: runs, steps and size of the network."""

from typing import Any

import numpy as np
import xarray as xr

from trajlab.schema import LEFT_OUT, TOTALS_OVER
from trajlab.statistics.studies import LINEAGE, facts, run_names, set_of_studies, shared_facts, telling_facts
from trajlab.statistics.wording import count, listed, number


def heading(opened: dict[str, xr.Dataset], title: str) -> dict[str, Any]:
    """Return the title, the runs and their facts.

    Parameters
    ----------
    opened
        Results by name; what stands before a slash is the study.
    title
        Title of the page.
    """
    widest = _all_runs(list(_by_study(opened).values()))
    runs, telling = run_names(widest), telling_facts(widest)
    values, shared = facts(widest), shared_facts(widest)
    others = [name for name in values if name not in {*telling, *shared, *LINEAGE}]
    columns = {name: _column(name, values[name]) for name in [*telling, *others]}
    rows = [[run, *(cells[i] for cells in columns.values())] for i, run in enumerate(runs)]
    lines = [count(len(runs), "run") if runs else "One run"]
    if telling:
        kinds = [count(len(set(values[name].tolist())), _thing(name)) for name in telling[:3]]
        lines[0] += f", {listed(kinds)}"
    steps = _snapshots(list(opened.values()))
    if len(steps):
        first, last = int(steps.min()), int(steps.max())
        lines.append(f"steps {first:,} to {last:,}" if last > first else f"step {first:,}")
        if last > first > 0:
            lines.append(f"the first snapshot is of step {first:,}: “start” is that, not the initialization")
    sized = [next(filter(_is_sized, results), None) for results in _by_study(opened).values()]
    sized_results = [result for result in sized if result is not None]
    if sized_results:
        sizes = np.unique(np.concatenate([np.ravel(result["numel"].sum("parameter")) for result in sized_results]))
        upto = "up to " if len(sizes) > 1 else ""
        tensors = max(result.sizes["parameter"] for result in sized_results)
        lines.append(f"{upto}{count(float(sizes[-1]), 'entry')} in {upto}{count(tensors, 'tensor')}")
    return {
        "title": title,
        "lines": lines,
        "columns": list(columns),
        "words": [name for name, cells in columns.items() if not all(map(_is_number, filter(None, cells)))],
        "rows": rows,
        "left_out": _left_out(opened),
        "shared": [(name, _cell(value)) for name, value in shared.items() if _cell(value)],
    }


def _snapshots(results: list[xr.Dataset]) -> np.ndarray:
    """Return the steps that results have of snapshots; of gradients or of the log only where none is of snapshots."""
    of_kind: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for result in results:
        if "step" not in result.dims or not result.sizes["step"] or "metric" in result.dims:
            continue
        steps, is_log = result["step"].values, "kind_of" in result.coords
        if "series" in result.dims:  # its steps are those of snapshots, gradients and metrics together
            of_kind[False].append(steps)
            continue
        if is_log:
            is_measured = result["value"].notnull()
            is_measured = is_measured.any([dim for dim in is_measured.dims if dim not in ("step", "check")])
            snapshots = steps[is_measured.sel(check=result["kind_of"].isin(["weight", "layer"])).any("check").values]
            of_kind[True] += [snapshots] if len(snapshots) else []
        of_kind[not is_log and str(result.attrs.get("on", "")) != "gradients"].append(steps)
    return np.concatenate([np.empty(0, np.int64), *(of_kind[True] or of_kind[False])])


def _left_out(opened: dict[str, xr.Dataset]) -> list[str]:
    """Return a sentence for each reason for which tensors are not in the results."""
    by_reason: dict[str, dict[str, None]] = {}
    for result in opened.values():
        for name, reason in dict(result.attrs.get(LEFT_OUT, {})).items():
            by_reason.setdefault(str(reason), {})[str(name)] = None
    tensors = [f"{listed(list(names))} left out of all totals: {reason}." for reason, names in by_reason.items()]
    steps = dict.fromkeys(result.attrs[TOTALS_OVER] for result in opened.values() if TOTALS_OVER in result.attrs)
    return tensors + [f"Totals are over {note}." for note in steps]


def _by_study(opened: dict[str, xr.Dataset]) -> dict[str, list[xr.Dataset]]:
    """Return the results of each study; those of one folder are of one study."""
    studies: dict[str, list[xr.Dataset]] = {}
    for key, result in opened.items():
        studies.setdefault(key.rpartition("/")[0], []).append(result)
    return studies


def _all_runs(studies: list[list[xr.Dataset]]) -> xr.Dataset:
    """Return a Dataset with the runs of all studies and their facts as coords."""
    widest = [max(results, key=lambda result: (result.sizes.get("run", 0), len(facts(result)))) for results in studies]
    if len(widest) == 1:
        return widest[0]
    runs = [run for result in widest for run in run_names(result)]
    coords: dict[str, Any] = {"run": np.array(runs, dtype=object)}
    for name in dict.fromkeys(name for result in widest for name in facts(result)):
        columns = [facts(result).get(name, [""] * len(run_names(result))) for result in widest]
        coords[name] = ("run", np.array([value for column in columns for value in column], dtype=object))
    return xr.Dataset(coords=coords)


def _is_sized(result: xr.Dataset) -> bool:
    return "numel" in result.coords and "parameter" in result.dims


def _column(name: str, values: np.ndarray) -> list[str]:
    """Return the cells of a column; names of studies without what they begin with in common."""
    cells = [_cell(value) for value in values]
    common = set_of_studies(cells) if name == "study" else ""
    return [cell.removeprefix(f"{common}/") for cell in cells] if common else cells


def _thing(name: str) -> str:
    """Return the noun by which the values of a fact are counted."""
    return "learning rate" if name == "lr" else name.removesuffix("s").replace("_", " ")


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return False
    return True


def _cell(value: object) -> str:
    return number(float(value)) if isinstance(value, float | np.floating) else str(value)
