"""Stack the results of several runs; architectures and steps may differ."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.running.step_source import step_attrs
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import TOTALS_OVER


def joined(results: Mapping[str, xr.Dataset], dim: str) -> xr.Dataset:
    """Stack results along a new dim.

    Values missing in a result are NaN. A coord whose values for one label differ between results, such as the number of
    entries of a parameter, gets the new dim.

    Parameters
    ----------
    results
        Results of one stage by name.
    dim
        The new dim, without labels.

    Raises
    ------
    BadSetting
        The results are of different probes.
    """
    _one_probe(results)
    labels = _labels(list(results.values()))
    aligned = [_aligned(result, labels) for result in results.values()]
    stacked = xr.concat(
        aligned, dim=dim, join="exact", coords="minimal", compat="override", combine_attrs="override"
    ).transpose(dim, ...)
    types = {str(name): coord for result in results.values() for name, coord in result.coords.items()}
    indexed = [name for name in labels if name in types]
    stacked = stacked.assign_attrs(_totals_over(results)).assign_coords(
        {name: (name, _array(labels[name], types[name]), types[name].attrs) for name in indexed}
    )
    return stacked.assign_coords({n: _shared(stacked[n], dim, types[n].dtype) for n in types if n not in labels})


def described(stacked: xr.Dataset, trajectories: Mapping[str, Trajectory]) -> xr.Dataset:
    """Label the runs of stacked results, add the facts of each run (init, …) as coords, and say how steps were read."""
    facts = [trajectory.facts.get("describe", {}) for trajectory in trajectories.values()]
    coords: dict[str, Any] = {"run": np.array(list(trajectories), dtype=object)}
    for key in dict.fromkeys(key for of_run in facts for key in of_run):
        values = [of_run.get(key) for of_run in facts]
        if key in stacked.dims or key in stacked.variables:
            continue
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            coords[key] = ("run", values)
        elif all(isinstance(value, str | int | float | None) for value in values):
            coords[key] = ("run", np.array(["" if value is None else str(value) for value in values], dtype=object))
    return stacked.assign_coords(coords).assign_attrs(step_attrs(trajectories))


def _one_probe(results: Mapping[str, xr.Dataset]) -> None:
    probes = sorted({result.attrs["probe_sha256"] for result in results.values() if "probe_sha256" in result.attrs})
    if len(probes) > 1:
        raise BadSetting(
            f"cannot stack {', '.join(results)}: they have {len(probes)} different probes "
            f"({', '.join(probe[:12] for probe in probes)}); compare runs recorded with one probe"
        )


def _totals_over(results: Mapping[str, xr.Dataset]) -> dict[str, str]:
    """Return the attr that names the steps of totals, of those results whose tensors were not recorded together."""
    notes = {name: str(result.attrs[TOTALS_OVER]) for name, result in results.items() if TOTALS_OVER in result.attrs}
    return {TOTALS_OVER: ". ".join(f"{name}: {note}" for name, note in notes.items())} if notes else {}


def _labels(results: Sequence[xr.Dataset]) -> dict[str, list[Any]]:
    """Return the union of the labels of each dim: numbers ascending, names in the order of the largest network."""
    labels = {}
    for dim in dict.fromkeys(str(dim) for result in results for dim in result.dims):
        by_result = [_labels_of(result, dim) for result in results if dim in result.dims]
        union = list(dict.fromkeys(label for some in sorted(by_result, key=len, reverse=True) for label in some))
        labels[dim] = union if all(some == by_result[0] for some in by_result) else _ordered(union)
    return labels


def _ordered(labels: list[Any]) -> list[Any]:
    if all(isinstance(label, int | float) for label in labels):
        return sorted(labels)
    if all(isinstance(label, tuple) for label in labels):
        rank = {first: position for position, first in enumerate(dict.fromkeys(label[0] for label in labels))}
        return sorted(labels, key=lambda label: (rank[label[0]], *label[1:]))
    return labels


def _labels_of(result: xr.Dataset, dim: str) -> list[Hashable]:
    """Return the labels of a dim, else tuples of its other coords if no two are equal, else positions."""
    if dim in result.coords:
        return result[dim].values.tolist()
    coords = [coord.values.tolist() for coord in result.coords.values() if coord.dims == (dim,)]
    labels: list[Hashable] = list(zip(*coords, strict=True))
    return labels if labels and len(set(labels)) == len(labels) else list(range(result.sizes[dim]))


def _aligned(result: xr.Dataset, labels: Mapping[str, list[Any]]) -> xr.Dataset:
    """Reindex a result, coords included, to some labels; NaN where it has none."""
    unlabeled = result.drop_vars([dim for dim in result.dims if dim in result.coords]).reset_coords()
    for dim in map(str, result.dims):
        of_result = _labels_of(result, dim)
        if of_result != labels[dim]:
            positions = {label: position for position, label in enumerate(labels[dim])}
            unlabeled = unlabeled.assign_coords({dim: [positions[label] for label in of_result]})
            unlabeled = unlabeled.reindex({dim: np.arange(len(positions))}).drop_vars(dim)
    return unlabeled


def _array(labels: list[Any], like: xr.DataArray) -> np.ndarray:
    return np.array(labels, dtype=like.dtype if like.dtype.kind != "U" else object)


def _shared(coord: xr.DataArray, dim: str, dtype: np.dtype) -> xr.DataArray:
    """Return a coord without the new dim if all its known values agree."""
    labeled = coord.notnull()
    first = coord.isel({dim: labeled.argmax(dim)}).drop_attrs().assign_attrs(coord.attrs)
    if bool(((coord == first) | ~labeled).all()):
        coord, labeled = first, labeled.any(dim)
    if coord.dtype == dtype or (dtype.kind in "iub" and not bool(labeled.all())):
        return coord if coord.dtype.kind != "O" else coord.where(labeled, "")
    return coord.astype(dtype)
