"""Findings: what stands out in a result, in sentences, and the numbers that sum it up."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr

from trajlab.figures.attribution import MAPS
from trajlab.reports.findings.finding import Finding, Headlined, nonfinite
from trajlab.stages import stage_names
from trajlab.statistics.extremes import last, typical
from trajlab.statistics.prepare import Result, prepare
from trajlab.statistics.roles import spoken

MOST = 6
"""Columns of a table of a stage without a choice of its own."""

AVERAGED = ("other", "sample")
"""Dims over which the numbers that sum up a run are averaged; over others they are summed."""


def findings(result: xr.Dataset | Result) -> list[Finding]:
    """Return what stands out in a result; of a stage without findings of its own, only where it has NaN or Inf."""
    stage, data = prepare(result)
    if data.sizes.get("step") == 0:
        return []
    module = _module(stage)
    sentences = getattr(module, stage)(data) if module else nonfinite(data, "")
    return [finding._replace(text=_by_role(finding.text, data)) for finding in sentences]


def _by_role(text: str, data: xr.Dataset) -> str:
    """Return a sentence in which parameters and layers of repeated blocks are named by their role and block."""
    rows = {dim: [str(name) for name in data[dim].values] for dim in ("parameter", "layer") if dim in data.coords}

    def said(quoted: re.Match[str]) -> str:
        return next((spoken(quoted[1], names) for names in rows.values() if quoted[1] in names), quoted[0])

    return re.sub(r"`([^`]+)`", said, text)


def headlines(result: xr.Dataset | Result) -> dict[str, xr.DataArray]:
    """Return the numbers that sum up each run, () or (run) each, by variable: the last that are known."""
    return {name: last(array).assign_attrs(array.attrs) for name, array in headline_series(result).items()}


def headline_series(result: xr.Dataset | Result) -> dict[str, xr.DataArray]:
    """Return the numbers that sum up each run by variable, over the steps where they have any, ([run], [step]) each."""
    stage, data = prepare(result)
    if data.sizes.get("step") == 0:
        return {}
    module = _module(stage)
    data = module.headline_data(data) if isinstance(module, Headlined) else data
    names = [name for name in getattr(module, "HEADLINES", ()) if _name(data, name)]
    if not names:
        names = [str(name) for name, array in data.data_vars.items() if _sums_up(array)][:MOST]
    numbers: dict[str, xr.DataArray] = {}
    for name in names:
        array = data[_name(data, name)]
        if "component" in array.dims:
            title = f"{array.attrs.get('long_name', name)}, component 1"
            array = array.isel(component=0).assign_attrs(long_name=title)
        if "epsilon" in array.dims:
            title = f"{array.attrs.get('long_name', name)}, ε = {array['epsilon'].values[-1]:g}"
            array = array.isel(epsilon=-1).assign_attrs(long_name=title)
        if "map" in array.dims:
            title = f"{array.attrs.get('long_name', name)}, {MAPS.get(str(array['map'].values[-1]), 'map')}"
            array = array.isel(map=-1).assign_attrs(long_name=title)
        for dim in [str(dim) for dim in array.dims if dim not in ("run", "step")]:
            if dim == "input":
                array = array.isel(input=0)
            elif dim == "tau":
                array = array.isel({dim: _usual(array, dim)})
            else:
                array = array.mean(dim, keep_attrs=True) if dim in AVERAGED else array.sum(dim, keep_attrs=True)
        numbers[name] = array
    return numbers


def layer_numbers(result: xr.Dataset | Result) -> dict[str, xr.DataArray]:
    """Return the last known values of each parameter, or layer, by variable, the median of several runs.

    The variables are those that sum up a run, as far as each row has a number of its own: (parameter) or (layer) each.
    """
    stage, data = prepare(result)
    if data.sizes.get("step") == 0:
        return {}
    module = _module(stage)
    data = module.headline_data(data) if isinstance(module, Headlined) else data
    numbers = {}
    for name in [name for name in getattr(module, "HEADLINES", ()) if name in data]:
        array = data[name]
        rows = [dim for dim in ("parameter", "layer") if dim in array.dims]
        if len(rows) == 1 and _numeric(array) and set(array.dims) <= {"run", "step", *rows}:
            numbers[name] = typical(last(array)).assign_attrs(array.attrs)
    return dict(list(numbers.items())[:MOST])


def _numeric(array: xr.DataArray) -> bool:
    return array.dtype.kind in "fiub"


def _usual(array: xr.DataArray, dim: str) -> int:
    kinds = array["tau_kind"].values if "tau_kind" in array.coords else np.empty(0, object)
    absolute = np.flatnonzero(kinds == "absolute")
    return int(absolute[-1]) if absolute.size else array.sizes[dim] - 1


def _name(result: xr.Dataset, name: str) -> str:
    """Return the name under which a result has a variable of the whole network; empty if it has not."""
    total = f"total_{name}"
    variable = total if total in result else name
    return variable if variable in result and not {"parameter", "layer", "unit"} & set(result[variable].dims) else ""


def _sums_up(array: xr.DataArray) -> bool:
    return _numeric(array) and set(array.dims) <= {"run", "step"}


def _module(stage: str) -> ModuleType | None:
    """Return the module of findings of a stage; None if it has none."""
    if stage in stage_names() and (Path(__file__).parent / f"{stage}.py").exists():
        return import_module(f"trajlab.reports.findings.{stage}")
    return None
