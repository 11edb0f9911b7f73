"""Inputs made by following a gradient: those that excite a unit most, and those that raise the loss."""

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.replays.observers.observer import INPUT, Layer, Objective
from trajlab.replays.observers.output_gradients import OutputGradients
from trajlab.replays.observers.pooled import Pooled
from trajlab.scan.graph import delayed, map_blocks

Replay = Callable[..., Any]


def own_inputs(values: Any, steps: np.ndarray) -> xr.Dataset:
    """Give a probe whose inputs are other ones at each step.

    Parameters
    ----------
    values
        The inputs, (step, sample, …).
    steps
        The optimizer steps.
    """
    dims = ("step", "sample", *(f"input_{axis}" for axis in range(values.ndim - 2)))
    return xr.Dataset({"inputs": (dims, values)}, {"step": steps})


def against(inputs: Any, gradient: da.Array, epsilon: float) -> da.Array:
    """Give x + ε sign(g), of inputs, (sample, …), and the gradient of their loss, (step, sample, …); lazily.

    It is the fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572).
    """
    whole = inputs if isinstance(inputs, da.Array) else da.from_array(inputs, chunks=-1)
    return map_blocks(
        _against, whole.rechunk(-1)[None], gradient, epsilon=epsilon, dtype=inputs.dtype, meta=gradient._meta
    )


def random_signs(inputs: Any, seed: int) -> da.Array:
    """Give −1 or 1 for each value of inputs, of their type."""
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), inputs.shape)
    return da.from_array(signs.astype(inputs.dtype), chunks=-1)


def _against(inputs: np.ndarray, gradient: np.ndarray, epsilon: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return inputs + inputs.dtype.type(epsilon) * np.sign(gradient).astype(inputs.dtype)


def strongest_inputs(
    replay: Replay,
    layer: Layer,
    units: Sequence[int],
    like: Any,
    at: np.ndarray,
    *,
    ascents: int,
    rate: float,
    norm: float,
    seed: int,
) -> tuple[da.Array, xr.DataArray]:
    """Give the inputs of a norm ρ that excite units most, and how much; lazily.

    Each begins with noise of its own, the same at all steps, and goes up the gradient g of the mean output of its unit:
    x ← ρ y/|y|₂, y = x + rate · ρ g/|g|₂ (Erhan et al. 2009). Where there is no gradient it stays.

    Parameters
    ----------
    replay
        Puts inputs through the network at each step.
    layer, units
        The layer, and which of its units.
    like
        The inputs of the probe, (sample, …).
    at
        Optimizer steps.
    ascents
        How often to go up.
    rate
        How far, in norms of the input.
    norm
        The norm; 0 for the mean norm of the inputs of the probe.
    seed
        Seed of the noise.

    Returns
    -------
    inputs : (step, unit, …)
    values : (step, unit)
    """
    shape = tuple(like.shape[1:])
    noise = np.stack([np.random.default_rng([seed, unit]).standard_normal(shape) for unit in units])
    start = delayed(_scaled)(noise, norm or like, like.dtype)
    inputs = da.stack([da.from_delayed(start, noise.shape, like.dtype)] * len(at))
    objective = Objective("unit", layer.name, tuple(units))
    for _ in range(ascents):
        replayed = replay(layers=[INPUT], probe=own_inputs(inputs, at))
        slope = replayed.observe(OutputGradients(objective))[INPUT].data.reshape(inputs.shape)
        inputs = map_blocks(_up, inputs, slope, rate=rate, dtype=like.dtype, meta=inputs._meta)
    pooled = replay(layers=[layer.name], probe=own_inputs(inputs, at)).observe(Pooled())[layer.name]
    place = np.arange(len(units))
    return inputs, pooled.isel(sample=xr.DataArray(place, dims="own"), unit=xr.DataArray(list(units), dims="own"))


def _scaled(noise: np.ndarray, norm: float | np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Give noise, (unit, …), a norm, or the mean norm of samples, (sample, …)."""
    axes = tuple(range(1, noise.ndim))
    with np.errstate(all="ignore"):
        norm = float(_norm(norm.astype(np.float64), axes).mean()) if isinstance(norm, np.ndarray) else norm
        return (norm * noise / _norm(noise, axes)).astype(dtype)


def _up(inputs: np.ndarray, slope: np.ndarray, rate: float) -> np.ndarray:
    """Take one step up on the sphere, of inputs (step, unit, …)."""
    x, g = inputs.astype(np.float64), slope.astype(np.float64)
    axes = tuple(range(2, x.ndim))
    with np.errstate(all="ignore"):
        norm, length = _norm(x, axes), _norm(g, axes)
        way = np.divide(g, length, where=length != 0, out=np.zeros_like(g))
        moved = x + rate * norm * way
        return (norm * moved / _norm(moved, axes)).astype(inputs.dtype)


def _norm(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.sqrt((values**2).sum(axes, keepdims=True))
