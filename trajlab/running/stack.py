"""Results of several runs as one; the runs need not be of one architecture or have the same steps."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.runs.trajectory import Trajectory


def joined(results: Mapping[str, xr.Dataset], dim: str) -> xr.Dataset:
    """Stack results along a new dim.

    What one lacks is NaN. A coord that says different things of the same label in different results, such as the number
    of entries of a parameter, gets the new dim.

    Parameters
    ----------
    results
        Results of one stage by name.
    dim
        The new dim; it gets no labels.

    Raises
    ------
    BadSetting
        The results are on different probes.
    """
    _one_probe(results)
    labels = _labels(list(results.values()))
    aligned = [_aligned(result, labels) for result in results.values()]
    stacked = xr.concat(
        aligned, dim=dim, join="exact", coords="minimal", compat="override", combine_attrs="override"
    ).transpose(dim, ...)
    types = {str(name): coord for result in results.values() for name, coord in result.coords.items()}
    indexed = [name for name in labels if name in types]
    stacked = stacked.assign_coords(
        {name: (name, _array(labels[name], types[name]), types[name].attrs) for name in indexed}
    )
    return stacked.assign_coords({n: _shared(stacked[n], dim, types[n].dtype) for n in types if n not in labels})


def described(stacked: xr.Dataset, trajectories: Mapping[str, Trajectory]) -> xr.Dataset:
    """Name the runs of results that are stacked on `run`, and add what made each as coords."""
    facts = [trajectory.facts.get("describe", {}) for trajectory in trajectories.values()]
    coords: dict[str, Any] = {"run": np.array(list(trajectories), dtype=object)}
    for key in dict.fromkeys(key for one in facts for key in one):
        values = [one.get(key) for one in facts]
        if key in stacked.dims or key in stacked.variables:
            continue
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            coords[key] = ("run", values)
        elif all(isinstance(value, str | int | float | None) for value in values):
            coords[key] = ("run", np.array(["" if value is None else str(value) for value in values], dtype=object))
    return stacked.assign_coords(coords)


def _one_probe(results: Mapping[str, xr.Dataset]) -> None:
    probes = sorted({result.attrs["probe_sha256"] for result in results.values() if "probe_sha256" in result.attrs})
    if len(probes) > 1:
        raise BadSetting(
            f"runs on one probe were expected; {', '.join(results)} were recorded with {len(probes)} different ones "
            f"({', '.join(probe[:12] for probe in probes)}). Compare runs that were recorded with the same probe."
        )


def _labels(results: Sequence[xr.Dataset]) -> dict[str, list[Any]]:
    """Give the labels of each dim in any of the results: numbers rising, names in the order of the largest network."""
    labels = {}
    for dim in dict.fromkeys(str(dim) for result in results for dim in result.dims):
        found = [_own(result, dim) for result in results if dim in result.dims]
        joined = list(dict.fromkeys(label for own in sorted(found, key=len, reverse=True) for label in own))
        if any(own != found[0] for own in found):
            joined = _ordered(joined)
        labels[dim] = joined
    return labels


def _ordered(labels: list[Any]) -> list[Any]:
    if all(isinstance(label, int | float) for label in labels):
        return sorted(labels)
    if all(isinstance(label, tuple) for label in labels):
        rank = {first: position for position, first in enumerate(dict.fromkeys(label[0] for label in labels))}
        return sorted(labels, key=lambda label: (rank[label[0]], *label[1:]))
    return labels


def _own(result: xr.Dataset, dim: str) -> list[Hashable]:
    """Give what tells the places of a dim apart: its labels, else what other coords say of them, else their number."""
    if dim in result.coords:
        return result[dim].values.tolist()
    beside = [coord.values.tolist() for coord in result.coords.values() if coord.dims == (dim,)]
    return list(zip(*beside, strict=True)) if beside else list(range(result.sizes[dim]))


def _aligned(result: xr.Dataset, labels: Mapping[str, list[Any]]) -> xr.Dataset:
    """Give all of a result, coords too, at some labels; NaN where it has none."""
    plain = result.drop_vars([dim for dim in result.dims if dim in result.coords]).reset_coords()
    for dim in map(str, result.dims):
        own = _own(result, dim)
        if own != labels[dim]:
            place = {label: position for position, label in enumerate(labels[dim])}
            plain = plain.assign_coords({dim: [place[label] for label in own]})
            plain = plain.reindex({dim: np.arange(len(place))}).drop_vars(dim)
    return plain


def _array(labels: list[Any], like: xr.DataArray) -> np.ndarray:
    return np.array(labels, dtype=like.dtype if like.dtype.kind != "U" else object)


def _shared(coord: xr.DataArray, dim: str, dtype: np.dtype) -> xr.DataArray:
    """Give a coord without the new dim if all that know it say the same."""
    known = coord.notnull()
    first = coord.isel({dim: known.argmax(dim)}).drop_attrs().assign_attrs(coord.attrs)
    if bool(((coord == first) | ~known).all()):
        coord, known = first, known.any(dim)
    if coord.dtype == dtype or (dtype.kind in "iub" and not bool(known.all())):
        return coord if coord.dtype.kind != "O" else coord.where(known, "")
    return coord.astype(dtype)
