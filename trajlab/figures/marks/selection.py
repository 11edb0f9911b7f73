"""Selection of the part of a result that a figure shows: by label, with defaults for the other dims."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.figures.marks.labels import power_of_ten
from trajlab.statistics.studies import averages_over_runs


class Chosen(NamedTuple):
    """Part of a variable, and its title: which part it is."""

    array: xr.DataArray
    title: str


def choose(result: xr.Dataset, variable: str, *, keep: Collection[str] = (), **select: Any) -> Chosen:
    """Select from a variable what two or three dims can show.

    Parameters
    ----------
    result
        A result.
    variable
        Which of its variables.
    keep
        Dims that stay. Of others, runs are averaged, or the first is taken where a mean of them means nothing; the
        largest absolute threshold is taken of `tau`, and the first of the rest.
    select
        Labels by dim, as in ``run="adam-0"`` or ``parameter="fc1.weight"``.

    Raises
    ------
    BadSetting
        There is no such variable, dim or label.
    """
    if variable not in result.data_vars:
        raise BadSetting(
            f"cannot draw the variable {variable!r}: the result has {', '.join(map(str, result.data_vars))}; "
            "choose one of these."
        )
    array, words = result[variable], []
    for dim, label in select.items():
        if label is None:
            continue
        array = array.isel({dim: position(array, dim, label)})
        words.append(describe(dim, label, array))
    for dim in [str(dim) for dim in array.dims if dim not in keep]:
        if dim == "run":
            count, mean = array.sizes["run"], averages_over_runs(result[variable])
            words.append(f"mean of {count} runs" if count > 1 and mean else str(array["run"].values[0]))
            array = array.mean("run", keep_attrs=True) if count > 1 and mean else array.isel(run=0)
            continue
        array = array.isel({dim: usual(array, dim)})
        words.append(describe(dim, array[dim].item() if dim in array.coords else 0, array))
    return Chosen(array.drop_vars(_of_one_label(result[variable], array)), ", ".join(words))


def _of_one_label(whole: xr.DataArray, array: xr.DataArray) -> list[str]:
    """Name coords that only tell runs apart since one label was chosen, such as the size of a parameter."""
    return [
        str(name) for name, coord in array.coords.items() if coord.dims == ("run",) and whole[name].dims != ("run",)
    ]


def parameter_of(result: xr.Dataset, requested: str | None) -> str:
    """Return the parameter that a result of a single one is about.

    Raises
    ------
    BadSetting
        It is not the one requested.
    """
    parameter = str(result.attrs.get("parameter", ""))
    if requested not in (None, parameter):
        raise BadSetting(
            f"cannot draw parameter={requested!r}: the result is of {parameter}; compute the stage with "
            f"--parameter {requested}."
        )
    return parameter


def moment(result: xr.Dataset, **select: Any) -> tuple[xr.Dataset, str]:
    """Return one step of one run of a result, by default the last step of the first run, and its title.

    Raises
    ------
    BadSetting
        There is no such dim or label.
    """
    usual = {"run": 0, "step": -1}
    asked = {dim: label for dim, label in select.items() if label is not None}
    at = {dim: position(result, dim, label) for dim, label in asked.items()}
    chosen = result.isel({dim: i for dim, i in usual.items() if dim in result.dims} | at)
    words = [
        f"step {chosen[dim].item():,}" if dim == "step" else str(chosen[dim].item())
        for dim in usual
        if dim in result.dims
    ]
    return chosen, ", ".join(words)


def between(result: xr.Dataset, steps: str | None) -> xr.Dataset:
    """Return the steps of a result between two, both included, or a single one.

    Parameters
    ----------
    result
        A result.
    steps
        ``100:200``, ``100:``, ``:200`` or ``100``; all if None.

    Raises
    ------
    BadSetting
        The steps are not written so, or the result has no dim `step`.
    MissingData
        It has none of the steps.
    """
    if steps is None:
        return result
    match = re.fullmatch(r"(\d*)(:?)(\d*)", steps.strip())
    if match is None or not (match[1] or match[3]) or "step" not in result.dims:
        has = "steps" if "step" in result.dims else "no steps"
        raise BadSetting(f"cannot select steps={steps!r} of a result with {has}; write 100:200, 100:, :200 or 100.")
    first = int(match[1] or 0)
    chosen = result.sel(step=slice(first, int(match[3]) if match[3] else None if match[2] else first))
    if result.sizes["step"] and not chosen.sizes["step"]:
        recorded_steps = result["step"].values
        raise MissingData(
            f"cannot select steps {steps}: the result has {len(recorded_steps)} from {recorded_steps[0]} to "
            f"{recorded_steps[-1]}; change --steps."
        )
    return chosen


def position(array: xr.DataArray | xr.Dataset, dim: str, label: Any) -> int:
    """Return the position of a label, or of a text that names it; floats may differ in their last digits."""
    if dim not in array.dims:
        name = array.name if isinstance(array, xr.DataArray) else "the result"
        dims = ", ".join(map(str, array.dims))
        raise BadSetting(f"cannot select {dim}={label!r}: {name} has the dims {dims}; leave {dim} out.")
    labels = array[dim].values
    try:
        number = float(label)
    except (TypeError, ValueError):
        number = np.nan
    if labels.dtype.kind == "f":
        same = np.isclose(labels.astype(float), number, rtol=1e-9, atol=0)
    elif labels.dtype.kind in "iu":
        same = labels == number
    else:
        same = np.array([str(each) == str(label) for each in labels], bool)
    if not np.any(same):
        some = ", ".join(map(str, labels[:12])) + (", …" if len(labels) > 12 else "")
        if len(labels) == 1:
            raise BadSetting(f"cannot select {dim}={label!r}: the only label is {some}; leave {dim} out.")
        raise BadSetting(f"cannot select {dim}={label!r}: the labels are {some}; choose one of these.")
    return int(np.argmax(same))


def narrowed(result: xr.Dataset, select: Mapping[str, Any]) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return a result at some labels, with dims of one label each, and these labels as the result has them.

    Labels of what is no dim of the result stay as they are, so that what draws the variable refuses them.
    """
    labels: dict[str, Any] = {}
    for dim, label in select.items():
        if dim in result.dims and label is not None:
            result = result.isel({dim: [position(result, dim, label)]})
            label = result[dim].values[0]
        labels[dim] = label
    return result, labels


def usual(array: xr.DataArray, dim: str) -> int:
    """Return the position of a dim that is shown by default."""
    if dim == "tau" and "tau_kind" in array.coords:
        absolute = np.flatnonzero(array["tau_kind"].values == "absolute")
        return int(absolute[-1]) if absolute.size else array.sizes["tau"] - 1
    return 0


def describe(dim: str, label: Any, array: xr.DataArray) -> str:
    """Return a selection in words."""
    if dim == "tau":
        relative = "tau_kind" in array.coords and array["tau_kind"].ndim == 0 and array["tau_kind"].item() == "relative"
        return f"|g| ≤ {power_of_ten(label)}" + (" RMS" if relative else "")
    return str(label) if dim in ("run", "parameter", "layer") else f"{dim} {label}"


def recorded(array: xr.DataArray) -> xr.DataArray:
    """Drop the steps without any known value, unless that leaves none."""
    if "step" not in array.dims:
        return array
    is_known = array.notnull().any([dim for dim in array.dims if dim != "step"]).values
    return array.isel(step=np.flatnonzero(is_known)) if is_known.any() else array
