"""Inputs made by following a gradient: those that maximize a unit, and adversarial ones."""

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


def inputs_by_step(values: Any, steps: np.ndarray) -> xr.Dataset:
    """Return a probe with other inputs at each step.

    Parameters
    ----------
    values
        The inputs, (step, sample, …).
    steps
        The optimizer steps.
    """
    dims = ("step", "sample", *(f"input_{axis}" for axis in range(values.ndim - 2)))
    return xr.Dataset({"inputs": (dims, values)}, {"step": steps})


def fgsm(inputs: Any, gradient: da.Array, epsilon: float) -> da.Array:
    """Return x + ε sign(g) of inputs x, (sample, …), and the gradient g of their loss, (step, sample, …); lazily.

    This is the fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572).
    """
    whole = inputs if isinstance(inputs, da.Array) else da.from_array(inputs, chunks=-1)
    return map_blocks(
        _fgsm, whole.rechunk(-1)[None], gradient, epsilon=epsilon, dtype=inputs.dtype, meta=gradient._meta
    )


def random_signs(inputs: Any, seed: int) -> da.Array:
    """Return −1 or 1 for each value of the inputs, in their dtype."""
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), inputs.shape)
    return da.from_array(signs.astype(inputs.dtype), chunks=-1)


def _fgsm(inputs: np.ndarray, gradient: np.ndarray, epsilon: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return inputs + inputs.dtype.type(epsilon) * np.sign(gradient).astype(inputs.dtype)


def maximal_inputs(
    replay: Replay,
    layer: Layer,
    units: Sequence[int],
    examples: Any,
    at: np.ndarray,
    *,
    ascents: int,
    rate: float,
    norm: float,
    seed: int,
) -> tuple[da.Array, xr.DataArray]:
    """Return the inputs of norm ρ that maximize units, and the maxima; lazily.

    Each starts from its own noise, the same at all steps, and ascends the gradient g of the mean output of its unit:
    x ← ρ y/|y|₂, y = x + rate · ρ g/|g|₂ (Erhan et al. 2009). Without a gradient it stays.

    Parameters
    ----------
    replay
        Runs the snapshots on inputs.
    layer, units
        The layer, and the numbers of its units.
    examples
        Inputs of the probe, (sample, …).
    at
        Optimizer steps.
    ascents
        Number of ascent steps.
    rate
        Length of a step, relative to the norm of the input.
    norm
        ρ; 0 for the mean norm of the inputs of the probe.
    seed
        Seed of the noise.

    Returns
    -------
    inputs : (step, unit, …)
    values : (step, unit)
    """
    shape = tuple(examples.shape[1:])
    noise = np.stack([np.random.default_rng([seed, unit]).standard_normal(shape) for unit in units])
    start = delayed(_scaled)(noise, norm or examples, examples.dtype)
    inputs = da.stack([da.from_delayed(start, noise.shape, examples.dtype)] * len(at))
    objective = Objective("unit", layer.name, tuple(units))
    for _ in range(ascents):
        replayed = replay(layers=[INPUT], probe=inputs_by_step(inputs, at))
        slope = replayed.observe(OutputGradients(objective))[INPUT].data.reshape(inputs.shape)
        inputs = map_blocks(_up, inputs, slope, rate=rate, dtype=examples.dtype, meta=inputs._meta)
    pooled = replay(layers=[layer.name], probe=inputs_by_step(inputs, at)).observe(Pooled())[layer.name]
    samples, numbers = (xr.DataArray(index, dims="own") for index in (np.arange(len(units)), list(units)))
    return inputs, pooled.isel(sample=samples, unit=numbers)


def _scaled(noise: np.ndarray, norm: float | np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Scale noise, (unit, …), to a norm, or to the mean norm of samples, (sample, …)."""
    axes = tuple(range(1, noise.ndim))
    with np.errstate(all="ignore"):
        norm = float(_norm(norm.astype(np.float64), axes).mean()) if isinstance(norm, np.ndarray) else norm
        return (norm * noise / _norm(noise, axes)).astype(dtype)


def _up(inputs: np.ndarray, slope: np.ndarray, rate: float) -> np.ndarray:
    """Take one ascent step on the sphere of a norm, of inputs (step, unit, …)."""
    x, g = inputs.astype(np.float64), slope.astype(np.float64)
    axes = tuple(range(2, x.ndim))
    with np.errstate(all="ignore"):
        norm, length = _norm(x, axes), _norm(g, axes)
        direction = np.divide(g, length, where=length != 0, out=np.zeros_like(g))
        moved = x + rate * norm * direction
        return (norm * moved / _norm(moved, axes)).astype(inputs.dtype)


def _norm(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.sqrt((values**2).sum(axes, keepdims=True))
