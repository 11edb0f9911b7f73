"""Runs of a study: their names, the facts that tell them apart, and groups that differ in the seed only."""

import itertools
from collections.abc import Sequence

import numpy as np
import xarray as xr

USUAL = ("study", "optimizer", "init", "variant", "perturbation", "lr")
"""Facts that distinguish runs, the most telling first; others follow in the order they were described."""


LINEAGE = ("parent", "parent_step")
"""Facts of where a run came from."""

LABEL, GROUP = "run_label", "run_group"
"""Coords of runs in a prepared result: their short names, and what runs have in common that differ in seed only."""

OF_ONE_RUN = frozenset(
    "unit unit_other unit_across input_unit filter feature feature_other entry "
    "y x map_y map_x map_query map_key".split()
)
"""Dims whose labels mean something else in each run: unit k of one network is not unit k of another."""


def averages_over_runs(array: xr.DataArray) -> bool:
    """Return whether a mean over runs exists: not of single units or pixels, nor of class numbers and positions.

    >>> averages_over_runs(xr.DataArray(np.ones((2, 3)), dims=("run", "unit")))
    False
    """
    return not OF_ONE_RUN.intersection(map(str, array.dims)) and not array.attrs.get("nominal")


def run_names(result: xr.Dataset | xr.DataArray) -> list[str]:
    """Return the names of the runs in a result; none for a single run."""
    return [str(name) for name in result["run"].values] if "run" in result.dims else []


def facts(result: xr.Dataset | xr.DataArray) -> dict[str, np.ndarray]:
    """Return the values of each fact over the runs, by name, in the order they were described."""
    return {
        str(name): coord.values
        for name, coord in result.coords.items()
        if coord.dims == ("run",) and name not in ("run", LABEL, GROUP)
    }


def shared_facts(result: xr.Dataset | xr.DataArray) -> dict[str, object]:
    """Return the facts that all runs have in common."""
    if "run" not in result.dims:
        return {str(name): coord.item() for name, coord in result.coords.items() if not coord.dims}
    return {name: values[0] for name, values in facts(result).items() if len(set(values.tolist())) == 1}


def telling_facts(result: xr.Dataset | xr.DataArray) -> list[str]:
    """Return the facts by which runs differ, the most telling first and the seed last.

    A fact that follows from one before it, such as a learning rate set for each optimizer, is left out.
    """
    values_of = facts(result)
    ranked = sorted(
        (name for name in values_of if name not in _of_lineage(values_of)),
        key=lambda name: (name == "seed", USUAL.index(name) if name in USUAL else len(USUAL)),
    )
    telling: list[str] = []
    seen: list[list[int]] = []
    for name in ranked:
        values = values_of[name].tolist()
        pattern = [values.index(value) for value in values]
        if len(set(pattern)) > 1 and pattern not in seen:
            telling.append(name)
            seen.append(pattern)
    return telling


def set_of_studies(names: Sequence[str]) -> str:
    """Return the folders that the names of studies share; empty if they share none.

    >>> set_of_studies(["looking/mnist", "looking/spirals"]), set_of_studies(["looking/mnist", "other"])
    ('looking', '')
    """
    pieces = [name.split("/")[:-1] for name in names]
    shared = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*pieces, strict=False))
    return "/".join(level[0] for level in shared)


def _of_lineage(values_of: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Return the facts of lineage that do not distinguish runs: not the step where runs left at several."""
    steps = {step for step in values_of.get("parent_step", np.empty(0)).tolist() if step != ""}
    return LINEAGE if len(steps) < 2 else LINEAGE[:1]


def short_names(names: Sequence[str]) -> list[str]:
    """Return names without the pieces before the last that all share, unless that leaves a bare number.

    Examples
    --------
    >>> short_names(["he-adam-plain-0", "he-adam-flipped-0"]), short_names(["he-adam-0", "he-adam-1"])
    (['plain-0', 'flipped-0'], ['adam-0', 'adam-1'])
    """
    pieces = [name.split("-") for name in names]
    if len(set(names)) < 2 or len({len(parts) for parts in pieces}) > 1:
        return list(names)
    last = len(pieces[0]) - 1
    kept = [
        position for position, parts in enumerate(zip(*pieces, strict=True)) if position == last or len(set(parts)) > 1
    ]
    if kept[0] and any("".join(parts[position] for position in kept).isdigit() for parts in pieces):
        kept.insert(0, kept[0] - 1)
    return ["-".join(parts[position] for position in kept) for parts in pieces]


def groups(result: xr.Dataset | xr.DataArray) -> dict[str, list[int]]:
    """Return the positions of runs that differ in their seed only, by what they have in common.

    Examples
    --------
    >>> study = xr.Dataset(coords={"run": [0, 1, 2], "init": ("run", ["x", "x", "y"]), "seed": ("run", [0, 1, 0])})
    >>> groups(study)
    {'x': [0, 1], 'y': [2]}
    """
    positions: dict[str, list[int]] = {}
    for position, name in enumerate(group_names(result)):
        positions.setdefault(name, []).append(position)
    return positions


def group_names(result: xr.Dataset | xr.DataArray) -> list[str]:
    """Return for each run what it has in common with the runs that differ from it in the seed only."""
    if GROUP in result.coords:
        return [str(name) for name in result[GROUP].values]
    names, values = [name for name in telling_facts(result) if name != "seed"], facts(result)
    rows = [[str(values[name][i]) for name in names] for i in range(result.sizes["run"])]
    return [" · ".join(filter(None, row)) or "all runs" for row in rows]


def run_labels(result: xr.Dataset | xr.DataArray) -> list[str]:
    """Return the names of the runs without the pieces that all of them share; none for a single run."""
    if LABEL in result.coords and result[LABEL].ndim:
        return [str(name) for name in result[LABEL].values]
    return short_names(run_names(result))
