"""One call of a stage with the inputs of one run, or once for each tensor, and the attributes of its result."""

import inspect
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, get_args

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.running.inputs import TENSORS, Inputs, needs_of, stage_name, without_prefix
from trajlab.running.step_source import step_attrs
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import RESULT_VERSION
from trajlab.statistics.result import with_default_attrs
from trajlab.statistics.units import on_one_probe


def call_stage(
    function: Callable, inputs: Inputs, runs: dict[str, Trajectory | None], settings: dict[str, Any]
) -> xr.Dataset:
    """Call a stage with the inputs that it asks for.

    Parameters
    ----------
    function
        The stage.
    inputs
        What looks its inputs up in the runs.
    runs
        Runs by the prefix of the parameters that ask for them.
    settings
        Values of its settings.
    """
    arguments, singles = {}, []
    for name, parameter in needs_of(function).items():
        arguments[name] = inputs.get(name, runs, required=parameter.default is parameter.empty)
        if without_prefix(name) in TENSORS and arguments[name] is not None and not _takes_mapping(parameter):
            singles.append(name)
    result = _per_tensor(function, arguments, singles, settings) if singles else _dataset(function, arguments, settings)
    return with_provenance(result, function, inputs, runs, arguments, settings)


def with_provenance(
    result: xr.Dataset,
    function: Callable,
    inputs: Inputs,
    runs: Mapping[str, Trajectory | None],
    arguments: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> xr.Dataset:
    """Return the result of a stage with attrs that say what it was computed by, of what, and with which settings.

    Parameters
    ----------
    result
        What the stage returned.
    function, inputs, runs, settings
        As `call_stage` takes them.
    arguments
        What the stage was called with.
    """
    result = with_default_attrs(result, (inspect.getdoc(function) or "").partition("\n")[0])
    provenance: dict[str, Any] = {
        "Conventions": RESULT_VERSION,
        "stage": stage_name(function),
        "settings": json.dumps(getattr(function, "keywords", {}) | dict(settings), default=_jsonable),
        "trajlab": version("trajlab"),
        "variables": [str(name) for name in result.data_vars],
    }
    provenance |= step_attrs(run) if (run := runs[""]) is not None else {}
    if inputs.on == "activations":
        tensors = next(arguments[name] for name in arguments if without_prefix(name) in ("weight", "weights"))
        provenance |= on_one_probe(tensors.values())
    if inputs.on is not None:
        result = _in_units_of(result, inputs.on.removesuffix("s"))
        provenance["on"] = inputs.on
    return result.assign_attrs(provenance)


def _in_units_of(result: xr.Dataset, unit: str) -> xr.Dataset:
    """Return a result of a stage of weights with the units of what took their place."""
    units = {name: str(variable.attrs["units"]) for name, variable in result.items() if "units" in variable.attrs}
    return result.assign(
        {name: result[name].assign_attrs(units=text.replace("weight", unit)) for name, text in units.items()}
    )


def _jsonable(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _takes_mapping(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter takes a mapping of tensors as well as one: its annotation is `scan.Tensor`."""
    return Mapping[str, xr.DataArray] in get_args(parameter.annotation)


def _per_tensor(
    function: Callable, arguments: dict[str, Any], singles: list[str], settings: dict[str, Any]
) -> xr.Dataset:
    """Call a stage once for each tensor, and stack the results on `parameter` or `layer`."""
    first = arguments[singles[0]]
    names = [name for name in first if all(name in arguments[single] for single in singles)]
    dim = "layer" if singles[0].endswith("activation") else "parameter"
    results = []
    for name in names:
        of_tensor = {single: arguments[single][name] for single in singles}
        result = _without_attrs_of(_dataset(function, arguments | of_tensor, settings), of_tensor)
        results.append(result.expand_dims({dim: np.array([name], dtype=object)}))
    result = xr.concat(results, dim=dim, join="outer", coords="minimal", compat="override", combine_attrs="override")
    kinds = {key: [first[name].attrs.get(key, "") for name in names] for key in ("module", "kind")}
    numel = [int(np.prod(first[name].attrs.get("shape", first[name].shape[1:]), dtype=np.int64)) for name in names]
    coords = {key: (dim, np.array(values, dtype=object)) for key, values in kinds.items()} | {"numel": (dim, numel)}
    return result.assign_coords({key: value for key, value in coords.items() if key not in result.coords})


def _without_attrs_of(result: xr.Dataset, tensors: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Drop what arithmetic of xarray carried over from tensors to variables, such as their shape."""
    inherited = [item for array in tensors.values() for item in array.attrs.items()]
    for variable in result.data_vars.values():
        variable.attrs = {key: value for key, value in variable.attrs.items() if (key, value) not in inherited}
    return result


def _dataset(function: Callable, arguments: dict[str, Any], settings: dict[str, Any]) -> xr.Dataset:
    result = function(**arguments, **settings)
    if isinstance(result, xr.DataArray):
        return result.to_dataset(name=stage_name(function))
    if not isinstance(result, xr.Dataset):
        raise BadSetting(
            f"cannot use the result of {stage_name(function)}: it is a {type(result).__name__}; "
            "return a Dataset or a DataArray"
        )
    return result
