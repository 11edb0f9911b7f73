"""What the runs of a study have in common, and what sets them apart."""

import re

import numpy as np
import xarray as xr

USUAL = ("study", "optimizer", "init", "variant", "perturbation", "lr")
"""Facts that runs are told apart by, the most telling first; others follow in the order they were described."""


def naturally(name: str) -> tuple:
    """Give the key that sorts names by the numbers in them, not by their digits.

    >>> sorted(["squeeze32", "squeeze8", "all2"], key=naturally)
    ['all2', 'squeeze8', 'squeeze32']
    """
    parts = re.split(r"(\d+)", name)
    return *(int(part) if number % 2 else part for number, part in enumerate(parts)), name


def run_names(result: xr.Dataset | xr.DataArray) -> list[str]:
    """Give the names of the runs that are stacked in a result; none if it is of a single run."""
    return [str(name) for name in result["run"].values] if "run" in result.dims else []


def facts(result: xr.Dataset | xr.DataArray) -> dict[str, np.ndarray]:
    """Give what is known of each run by name of the fact, in the order it was described."""
    return {
        str(name): coord.values for name, coord in result.coords.items() if coord.dims == ("run",) and name != "run"
    }


def shared_facts(result: xr.Dataset | xr.DataArray) -> dict[str, object]:
    """Give the facts that all runs have in common."""
    if "run" not in result.dims:
        return {str(name): coord.item() for name, coord in result.coords.items() if not coord.dims}
    return {name: values[0] for name, values in facts(result).items() if len(set(values.tolist())) == 1}


def telling_facts(result: xr.Dataset | xr.DataArray) -> list[str]:
    """Give the facts by which runs differ, the most telling first and the seed last.

    A fact that says the same as one before it, such as a learning rate that goes with the optimizer, is left out.
    """
    known = facts(result)
    ranked = sorted(known, key=lambda name: (name == "seed", USUAL.index(name) if name in USUAL else len(USUAL)))
    telling: list[str] = []
    seen: list[list[int]] = []
    for name in ranked:
        values = known[name].tolist()
        pattern = [values.index(value) for value in values]
        if len(set(pattern)) > 1 and pattern not in seen:
            telling.append(name)
            seen.append(pattern)
    return telling


def groups(result: xr.Dataset | xr.DataArray) -> dict[str, list[int]]:
    """Give the positions of runs that differ in their seed only, by what they have in common.

    Examples
    --------
    >>> study = xr.Dataset(coords={"run": [0, 1, 2], "init": ("run", ["x", "x", "y"]), "seed": ("run", [0, 1, 0])})
    >>> groups(study)
    {'x': [0, 1], 'y': [2]}
    """
    names = [name for name in telling_facts(result) if name != "seed"]
    known = facts(result)
    found: dict[str, list[int]] = {}
    for position in range(result.sizes["run"]):
        key = " · ".join(str(known[name][position]) for name in names) or "all runs"
        found.setdefault(key, []).append(position)
    return found
