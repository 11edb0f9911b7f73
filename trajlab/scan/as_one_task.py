"""A plain function of small arrays as one task of a graph."""

from collections.abc import Callable, Sequence

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import List, Task, TaskRef


def as_one_task(function: Callable[..., xr.Dataset], *inputs: xr.DataArray) -> xr.Dataset:
    """Call a function of small arrays when its result is asked for, as one task.

    What follows a scan works on a few numbers a step: as xarray expressions on dask arrays it would be hundreds of
    tasks of microseconds each. The function is called once now, on arrays of ones, to learn what it gives.

    Parameters
    ----------
    function
        Gives a Dataset whose dims, coords and attrs depend only on the dims, coords and attrs of its inputs.
    inputs
        Lazy arrays of one chunk each.

    Returns
    -------
    Dataset
        What the function gives, lazy; its first dims are `step` and `parameter`, where it has them.
    """
    result = _call(function, [array.copy(data=np.ones(array.shape, array.dtype)) for array in inputs])
    name = f"lazily-{tokenize(function, *inputs)}"
    tables = List(*(TaskRef((array.data.name, *(0,) * array.ndim)) for array in inputs))
    labels = [(array.dims, array.coords.to_dataset(), array.name) for array in inputs]
    call = (name, 0)
    whole = HighLevelGraph.from_collections(
        name, {call: Task(call, _labeled, function, tables, labels)}, dependencies=[array.data for array in inputs]
    )
    arrays = {}
    for variable, template in result.data_vars.items():
        own = f"{name}-{variable}"
        key = (own, *(0,) * template.ndim)
        pick = MaterializedLayer({key: Task(key, _pick, TaskRef(call), variable)})
        graph = HighLevelGraph({**whole.layers, own: pick}, {**whole.dependencies, own: {name}})
        values = da.Array(graph, own, tuple((n,) for n in template.shape), dtype=template.dtype)
        arrays[variable] = xr.Variable(template.dims, values, template.attrs)
    return xr.Dataset(arrays, result.coords, result.attrs)


def _call(function: Callable[..., xr.Dataset], inputs: Sequence[xr.DataArray]) -> xr.Dataset:
    with np.errstate(all="ignore"):
        return function(*inputs).transpose("step", "parameter", ..., missing_dims="ignore")


def _labeled(function: Callable[..., xr.Dataset], tables: list[np.ndarray], labels: list[tuple]) -> dict:
    inputs = [
        xr.DataArray(table, coords.coords, dims, name)
        for table, (dims, coords, name) in zip(tables, labels, strict=True)
    ]
    return {name: array.values for name, array in _call(function, inputs).data_vars.items()}


def _pick(arrays: dict, name: str) -> np.ndarray:
    return arrays[name]
