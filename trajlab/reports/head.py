"""Head of the report: runs, steps and size of the network."""

from typing import Any

import numpy as np
import xarray as xr

from trajlab.running.left_out import LEFT_OUT
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
    known, shared = facts(widest), shared_facts(widest)
    others = [name for name in known if name not in {*telling, *shared, *LINEAGE}]
    columns = {name: _column(name, known[name]) for name in [*telling, *others]}
    rows = [[run, *(cells[i] for cells in columns.values())] for i, run in enumerate(runs)]
    lines = [count(len(runs), "run") if runs else "One run"]
    if telling:
        kinds = [count(len(set(known[name].tolist())), _thing(name)) for name in telling[:3]]
        lines[0] += f", {listed(kinds)}"
    steps = [result["step"].values for result in opened.values() if "step" in result.dims and result.sizes["step"]]
    if steps:
        first, last = (int(limit) for limit in (min(s.min() for s in steps), max(s.max() for s in steps)))
        lines.append(f"steps {first:,} to {last:,}" if last > first else f"step {first:,}")
    sized = [next((one for one in own if _is_sized(one)), None) for own in _by_study(opened).values()]
    known_sizes = [one for one in sized if one is not None]
    if known_sizes:
        sizes = np.unique(np.concatenate([np.ravel(one["numel"].sum("parameter")) for one in known_sizes]))
        upto = "up to " if len(sizes) > 1 else ""
        tensors = max(one.sizes["parameter"] for one in known_sizes)
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


def _left_out(opened: dict[str, xr.Dataset]) -> list[str]:
    """Return a sentence for each reason for which tensors are not in the results."""
    by_reason: dict[str, dict[str, None]] = {}
    for result in opened.values():
        for name, reason in dict(result.attrs.get(LEFT_OUT, {})).items():
            by_reason.setdefault(str(reason), {})[str(name)] = None
    return [f"{listed(list(names))} left out of all totals: {reason}." for reason, names in by_reason.items()]


def _by_study(opened: dict[str, xr.Dataset]) -> dict[str, list[xr.Dataset]]:
    """Return the results of each study; those of one folder are of one study."""
    studies: dict[str, list[xr.Dataset]] = {}
    for key, result in opened.items():
        studies.setdefault(key.rpartition("/")[0], []).append(result)
    return studies


def _all_runs(studies: list[list[xr.Dataset]]) -> xr.Dataset:
    """Return a Dataset with the runs of all studies and their facts as coords."""
    widest = [max(own, key=lambda result: (result.sizes.get("run", 0), len(facts(result)))) for own in studies]
    if len(widest) == 1:
        return widest[0]
    runs = [run for one in widest for run in run_names(one)]
    coords: dict[str, Any] = {"run": np.array(runs, dtype=object)}
    for name in dict.fromkeys(name for one in widest for name in facts(one)):
        known = [facts(one).get(name, [""] * len(run_names(one))) for one in widest]
        coords[name] = ("run", np.array([value for own in known for value in own], dtype=object))
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
