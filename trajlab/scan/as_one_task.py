"""Call a plain function of small arrays as one task."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from dask.base import tokenize

from trajlab.scan.graph import Graph


def as_one_task(function: Callable[..., xr.Dataset], *inputs: xr.DataArray) -> xr.Dataset:
    """Call a function of small arrays lazily, as one task.

    What follows a scan works on a few numbers a step: as xarray expressions on dask arrays it would be hundreds of
    tasks of microseconds each. The function is called once now, on arrays of ones, to learn the dims of its result.

    Parameters
    ----------
    function
        Returns a Dataset whose dims, coords and attrs depend only on the dims, coords and attrs of its inputs.
    inputs
        Arrays, lazy or not, in any chunks.

    Returns
    -------
    Dataset
        The result of the function, lazy; its first dims are `step` and `parameter`, where it has them.
    """
    template = _call(function, [array.copy(data=np.ones(array.shape, array.dtype)) for array in inputs])
    labels = [(array.dims, array.coords.to_dataset(), array.name) for array in inputs]
    graph = Graph(f"as_one_task-{tokenize(function, *inputs)}")
    values = graph.add(("result", 0), _labeled, function, [graph.whole(array.data) for array in inputs], labels)
    variables = {
        name: xr.Variable(
            variable.dims,
            graph.array(str(name), variable.shape, dict.__getitem__, values, name, dtype=variable.dtype),
            variable.attrs,
        )
        for name, variable in template.data_vars.items()
    }
    return xr.Dataset(variables, template.coords, template.attrs)


def _call(function: Callable[..., xr.Dataset], inputs: Sequence[xr.DataArray]) -> xr.Dataset:
    with np.errstate(all="ignore"):
        return function(*inputs).transpose("step", "parameter", ..., missing_dims="ignore")


def _labeled(function: Callable[..., xr.Dataset], values: list[np.ndarray], labels: list[tuple]) -> dict:
    inputs = [
        xr.DataArray(array, coords.coords, dims, name)
        for array, (dims, coords, name) in zip(values, labels, strict=True)
    ]
    return {name: array.values for name, array in _call(function, inputs).data_vars.items()}
