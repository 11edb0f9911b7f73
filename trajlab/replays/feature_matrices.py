"""Layers whose features are to be correlated, and matrices of correlations at a few steps."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.observers.observer import Observable
from trajlab.scan.graph import map_blocks
from trajlab.scan.scan import position_of
from trajlab.statistics.shown_steps import shown_steps

MOST_SAMPLES = 512
"""Samples that are correlated with each other at most."""

Replay = Callable[..., Mapping[str, xr.DataArray]]


def replay_layers(replay: Replay, layers: Sequence[str], **options: Any) -> Mapping[str, xr.DataArray]:
    """Replay some layers, or all activations; of a network without any that are modules its output.

    Parameters
    ----------
    replay
        Puts the snapshots through the network, as `trajlab.replay` does.
    layers
        Names or patterns; none for all activations.
    options
        What else it is given, such as a probe.
    """
    activations = replay(**({"layers": list(layers)} if layers else {}), **options)
    return activations if len(activations) else replay(layers=[""], **options)


def units_of(activations: Mapping[str, xr.DataArray]) -> dict[str, int]:
    """Return the number of units of each layer, by its name in results."""
    if isinstance(activations, Observable):
        return {layer.name or "output": layer.units for layer in activations.layers}
    return {name or "output": array.sizes["unit"] for name, array in activations.items()}


def units_slice(units: Mapping[str, int], layer: str) -> slice:
    """Return where the units of a layer are among those of all.

    Raises
    ------
    BadSetting
        There is no such layer.
    """
    if layer not in units:
        raise BadSetting(
            f"cannot show matrix_layer={layer!r}: the layers are {', '.join(units)}; choose one of these, or add it to "
            "layers"
        )
    first = sum(list(units.values())[: list(units).index(layer)])
    return slice(first, first + units[layer])


def chosen_steps(array: xr.DataArray, max_steps: int, matrix_steps: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the positions of evenly spaced steps and of the matrix steps together, and those of the matrix steps."""
    kept = sorted({position_of(array.rename("the layers"), step) for step in matrix_steps})
    return sorted({*shown_steps(array, (), max_steps), *kept}), kept


def matrices(
    values: da.Array, chosen: Sequence[int], kept: Sequence[int], shape: tuple[int, int],
    matrix: Callable[[np.ndarray], np.ndarray],
) -> da.Array:  # fmt: skip
    """Return a matrix at some steps that are kept, of all that are chosen, and NaN at the others; lazily.

    Parameters
    ----------
    values
        What they are made of, (step, …), a chunk a step.
    chosen, kept
        Positions of steps.
    shape
        Rows and columns of a matrix.
    matrix
        Makes it of the values of a step.
    """
    work = partial(_at_step, matrix=matrix)
    blocks = [
        map_blocks(work, values[[row]], chunks=(1, *shape), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
        if row in kept
        else da.full((1, *shape), np.nan, dtype=np.float32, chunks=-1)
        for row in chosen
    ]
    return da.concatenate(blocks)


def _at_step(values: np.ndarray, *, matrix: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return matrix(values[0])[None]
