"""Tensors with only a sample of their entries recorded, for simulations of standard errors."""

import dask.array as da
import numpy as np
import xarray as xr


def sample(values, count, rng, name="w"):
    """Return some entries of a tensor, (step, …), drawn at random without replacement, as a run holds them."""
    flat = values.reshape(len(values), -1)
    index = np.sort(rng.choice(flat.shape[1], count, replace=False))
    labels = {"step": np.arange(len(flat)), "index": ("sample", index)}
    attrs = {"shape": list(values.shape[1:]), "kind": "linear", "module": name}
    return xr.DataArray(da.from_array(flat[:, index], chunks=-1), labels, ("step", "sample"), name, attrs)


def coverage(estimates, errors, truth):
    """Return how often ±1.96 standard errors cover the truth, over a first dim of draws."""
    return (abs(estimates - truth) <= 1.96 * errors).mean(axis=0)
