"""Build a trajectory from arrays in memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.runs.disk.element_types import widened
from trajlab.runs.measured import with_marks
from trajlab.runs.optimizer import OptimizerState, moment_attributes, moment_name, split_name
from trajlab.runs.tensors import Series, Tensors, attributes_of
from trajlab.runs.trajectory import Trajectory


def from_arrays(
    weights: Mapping[str, Any],
    gradients: Mapping[str, Any] | None = None,
    *,
    steps: Any = None,
    buffers: Mapping[str, Any] | None = None,
    metrics: xr.Dataset | Mapping[str, Any] | None = None,
    moments: Mapping[str, Mapping[str, Any]] | None = None,
    hyperparameters: xr.Dataset | Mapping[str, Any] | None = None,
) -> Trajectory:
    """Build a trajectory from arrays in memory, or from dask arrays.

    Parameters
    ----------
    weights, gradients, buffers
        Arrays by name, each (step, ...). Gradients may have fewer steps than weights: the closing snapshot has none.
    steps
        Optimizer steps of the rows, rising; 0, 1, 2, … by default.
    metrics
        Values logged at each step, (step) each. None, or a masked entry, is a step without a value; NaN is one that was
        logged, or, of an array of numbers, lies between the steps of a metric logged at intervals. A Dataset may say
        which with a coord `<metric>_measured`, (step) bool.
    moments
        Moments of the optimizer by entry and parameter, such as ``{"exp_avg": {"fc.weight": array}}``, (step, ...)
        each.
    hyperparameters
        Hyperparameters of the optimizer under torch's names, and `updates`, the number of updates that the moments have
        seen: a number, or one for each step, (step); or a Dataset of them, (step, parameter). `betas` are `beta1` and
        `beta2`.

    Raises
    ------
    BadSetting
        A value is not an array of numbers, or the number of steps is not that of the rows.

    Examples
    --------
    >>> run = from_arrays({"w": np.zeros((3, 2, 2))}, steps=[0, 10, 20])
    >>> run.weights["w"].dims
    ('step', 'out', 'in')
    """
    named = {moment_name(name, entry): array for entry, of in (moments or {}).items() for name, array in of.items()}
    groups = [_arrays(group) for group in (weights, gradients, buffers, named)]
    measured = _columns(metrics)
    longest = max([array.shape[0] for group in groups for array in group.values()] + [measured.sizes.get("step", 0)])
    numbers = np.arange(longest) if steps is None else _steps(steps, longest)
    series = [{name: _series(numbers[: len(array)], array) for name, array in group.items()} for group in groups]
    if "step" not in measured.coords and "step" in measured.dims:
        measured = measured.assign_coords(step=numbers[: measured.sizes["step"]])
    return Trajectory(
        Tensors(series[0], attributes_of({}, series[0])),
        Tensors(series[1], attributes_of({}, series[1], series[0])),
        Tensors(series[2]),
        metrics=measured,
        optimizer=OptimizerState(
            Tensors(series[3], moment_attributes({}, series[0])),
            _hyperparameters(hyperparameters, series[3]),
        ),
    )


def _hyperparameters(values: xr.Dataset | Mapping[str, Any] | None, moments: Mapping[str, Series]) -> xr.Dataset:
    """Return hyperparameters by step and parameter, those of all parameters repeated for each."""
    if values is None or isinstance(values, xr.Dataset):
        return xr.Dataset() if values is None else values
    parameters = np.array(list(dict.fromkeys(split_name(name)[0] for name in moments)), object)
    steps = np.unique(np.concatenate([series.steps for series in moments.values()] or [np.empty(0, np.int64)]))
    dims = ("step", "parameter")
    try:
        columns = {
            name: np.broadcast_to(np.asarray(value, np.float64).reshape(-1, 1), (len(steps), len(parameters)))
            for name, value in values.items()
        }
    except (ValueError, TypeError) as error:
        raise BadSetting(
            f"cannot use the hyperparameters: {' '.join(str(error).split())[:200]}; pass a number, or one for each of "
            f"the {len(steps)} steps, by name"
        ) from error
    return xr.Dataset(
        {name: (dims, column) for name, column in columns.items()}, dict(zip(dims, (steps, parameters), strict=True))
    )


def _series(steps: np.ndarray, array: Any) -> Series:
    """Return a tensor over some steps; short floats are widened exactly, as those of files are."""
    dtype = widened(array.dtype)
    values, origin = (array, None) if dtype == array.dtype else (array.astype(dtype), array.dtype)
    return Series(steps, values, tuple(array.shape[1:]), origin=origin)


def _arrays(group: Mapping[str, Any] | None) -> dict[str, Any]:
    if not isinstance(group, Mapping | None):
        raise BadSetting(f"cannot use a {type(group).__name__} as arrays by name; pass {{name: array}}")
    for name in group or {}:
        if not isinstance(name, str):
            raise BadSetting(f"cannot name a tensor {name!r}: names are strings; rename it")
    return {name: _array(name, values) for name, values in (group or {}).items()}


def _array(name: str, values: Any) -> Any:
    """Return the values of one tensor as an array of numpy or dask."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        array = values if hasattr(values, "dask") or isinstance(values, np.ndarray) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise BadSetting(f"cannot make one array of {name}: {error}; pass rows of one shape") from error
    if array.ndim == 0:
        raise BadSetting(f"cannot find the steps of {name}: it has no dim; stack the steps along a first dim")
    if array.dtype.kind not in "fiubcV":
        raise BadSetting(f"cannot use {name}: it holds {array.dtype}, not numbers; omit it, or pass rows of one shape")
    if np.isnan(array.shape).any():
        raise BadSetting(f"cannot use {name}: its shape {array.shape} is unknown; call its compute_chunk_sizes() first")
    return array


def _steps(steps: Any, rows: int) -> np.ndarray:
    """Return the steps of some rows as integers."""
    try:
        values = np.asarray(steps)
        numbers = values.astype(np.int64)
        fit = numbers.shape == (rows,) and bool((numbers == values).all()) and bool((np.diff(numbers) > 0).all())
    except (ValueError, TypeError, OverflowError):
        fit = False
    if not fit:
        raise BadSetting(
            f"cannot use the steps {steps!r:.200}: they are not {rows} rising steps; pass an integer for each row"
        )
    return numbers


def _columns(metrics: xr.Dataset | Mapping[str, Any] | None) -> xr.Dataset:
    """Return metrics as a dataset, (step) each."""
    if metrics is None or isinstance(metrics, xr.Dataset):
        return xr.Dataset() if metrics is None else metrics
    try:
        columns = {name: _column(values) for name, values in metrics.items()}
        dataset = xr.Dataset({name: ("step", values) for name, (values, _) in columns.items()})
        return with_marks(dataset, {name: mark for name, (_, mark) in columns.items() if mark is not None})
    except (ValueError, TypeError, AttributeError) as error:
        raise BadSetting(
            f"cannot use the metrics: {' '.join(str(error).split())[:200]}; pass one number for each step, by name"
        ) from error


def _column(values: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values of a metric, and at which steps it was measured if there are marks of missing ones."""
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        return np.where(mask, np.nan, np.ma.getdata(values).astype(np.float64)), ~mask
    array = np.asarray(values)
    if array.dtype != object:
        return array, None
    measured = np.array([value is not None for value in array], bool)
    return np.array([np.nan if value is None else float(value) for value in array]), measured
