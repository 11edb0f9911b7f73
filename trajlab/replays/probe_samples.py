"""Some samples of a probe: which, their inputs and targets, and masks of the objects that they show."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.keywords import KEYWORDS
from trajlab.replays.probe_kinds import MASK, remade
from trajlab.scan.graph import delayed


def select_samples(probe: xr.Dataset, samples: Sequence[int], most: int) -> da.Array:
    """Return the positions of a few samples of a probe, (sample); lazily.

    Parameters
    ----------
    probe
        The probe.
    samples
        The positions, if they are known.
    most
        Largest number of samples otherwise: the first of each class, in the order of the classes, then the first of
        the others. Where targets are no labels, one for each sample, the first ones.

    Raises
    ------
    BadSetting
        The probe has no such sample, or none is selected.
    """
    count = probe["inputs"].shape[0]
    if any(not 0 <= sample < count for sample in samples) or most < 1 or not count:
        raise BadSetting(
            f"cannot show samples={list(samples)}, at most {most}: the probe has {count}, counted from 0; choose among "
            "these"
        )
    if len(samples):
        return da.from_array(np.array(samples, np.int64), chunks=-1)
    most = min(most, count)
    targets = probe["targets"] if "targets" in probe else None
    if targets is None or targets.dtype.kind not in "iu" or targets.ndim > 1:
        return da.from_array(np.arange(most), chunks=-1)
    positions = delayed(first_of_each_class)(targets.data, most)
    return da.from_delayed(positions, (most,), np.int64)


def first_of_each_class(labels: np.ndarray, count: int, *, by_position: bool = False) -> np.ndarray:
    """Return the positions of the first sample of each class, then of the first others, (sample).

    Parameters
    ----------
    labels
        The class of each sample.
    count
        Number of samples.
    by_position
        Prefer the classes that occur first, and sort the result; by default classes are taken in ascending order.

    Examples
    --------
    >>> labels = np.array([5, 5, 1, 0])
    >>> first_of_each_class(labels, 2), first_of_each_class(labels, 2, by_position=True)
    (array([3, 2]), array([0, 2]))
    """
    _, first = np.unique(labels, return_index=True)
    first = np.sort(first) if by_position else first
    others = np.setdiff1d(np.arange(len(labels)), first)
    positions = np.concatenate([first, others])[:count].astype(np.int64)
    return np.sort(positions) if by_position else positions


def samples_of(probe: xr.Dataset, samples: da.Array) -> xr.Dataset:
    """Return some samples of a probe by their positions: inputs, targets and keyword arguments; lazily."""
    names = [name for name in ("inputs", "targets", *KEYWORDS) if name in probe]
    return xr.Dataset({name: (probe[name].dims, take_samples(probe[name].data, samples)) for name in names})


def masks_of(probe: xr.Dataset, dims: Sequence[str]) -> Any:
    """Return the masks of what samples show, (sample, …); None if the probe has none.

    Parameters
    ----------
    probe
        The probe, perhaps with `mask`, or with `mask_inputs` as a recorder keeps them.
    dims
        Names of the axes of an input. A mask has those that are no channels.

    Raises
    ------
    BadSetting
        There is not a mask of its shape for each sample.
    """
    masks = next((probe[name].data for name in (MASK, f"{MASK}_inputs") if name in probe), None)
    if masks is None:
        return None
    count, *sizes = probe["inputs"].shape
    shape = (count, *(size for size, dim in zip(sizes, dims, strict=True) if dim != "channel"))
    if masks.shape == (count, 1, *shape[1:]):
        masks = masks.reshape(shape)
    if masks.shape != shape:
        raise BadSetting(
            f"cannot use masks of shape {list(masks.shape)}; pass a mask for each sample as large as the input without "
            f"channels, {list(shape)}"
        )
    return masks


def take_samples(values: Any, samples: da.Array) -> da.Array:
    """Return some rows of an array; lazily."""
    return remade(values, (*samples.shape, *values.shape[1:]), _rows, samples)


def _rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return values[rows]
