"""Attention IoU between the Grad-CAM maps of two outputs, and its means over groups of samples by their labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.statistics.attention_iou import attention_iou, scaled

GROUPS = ("both", "first", "second", "neither", "same", "different")
"""Samples that have both attributes, the first or the second only, neither, both or neither, or one of the two."""


def check(attributes: Sequence[int], outputs: int) -> None:
    """Raise if an output does not exist, is named twice, or is the only one named."""
    wrong = [number for number in attributes if not 0 <= number < outputs]
    if wrong or len(set(attributes)) != len(attributes) or len(attributes) == 1:
        raise BadSetting(
            f"cannot compare the maps of attributes={list(attributes)}: name two or more different outputs of 0 to "
            f"{outputs - 1}"
        )


def between_attributes(
    maps: Mapping[int, xr.DataArray], targets: np.ndarray | None
) -> tuple[dict[str, xr.Variable], dict[str, Any]]:
    """Return the quantities of pairs of outputs, and their coords.

    Parameters
    ----------
    maps
        Grad-CAM of each output, (step, sample, …).
    targets
        Labels, (sample,), where an output is the attribute of its class; or whether a sample has each attribute,
        (sample, output); None if neither is known.
    """
    arrays = [array.values for array in maps.values()]
    axes = range(2 - arrays[0].ndim, 0)
    flat = [scaled(array, axes) for array in arrays]
    overlap = np.stack([np.stack([attention_iou(a, b, axes) for b in flat], -1) for a in flat], -2)
    dims = ("step", "sample", "attribute", "attribute_other")
    variables = {"attribute_iou": xr.Variable(dims, overlap)}
    coords: dict[str, Any] = {"attribute": list(maps), "attribute_other": list(maps)}
    if targets is not None:
        has = has_attributes(targets, list(maps))
        means = np.stack([_mean(overlap, members) for members in _members(has)], -1)
        variables["attribute_iou_group"] = xr.Variable(("step", "attribute", "attribute_other", "group"), means)
        coords["group"] = np.array(GROUPS, dtype=object)
    return variables, coords


def has_attributes(targets: np.ndarray, attributes: Sequence[int]) -> np.ndarray:
    """Return whether each sample has each attribute, (sample, attribute).

    >>> has_attributes(np.array([1, 2]), [1, 2]).tolist(), has_attributes(np.array([[0, 1, 1]]), [0, 2]).tolist()
    ([[True, False], [False, True]], [[False, True]])
    """
    if targets.ndim == 1:
        return targets[:, None] == np.asarray(attributes)
    return targets[:, list(attributes)] > 0


def _members(has: np.ndarray) -> list[np.ndarray]:
    """Return for each of `GROUPS` which samples are in it, for each pair, (sample, attribute, attribute)."""
    first, second = has[:, :, None], has[:, None, :]
    parts = [first & second, first & ~second, ~first & second, ~first & ~second]
    return [*parts, parts[0] | parts[3], parts[1] | parts[2]]


def _mean(overlap: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return the mean over the samples of a group, of those whose maps are not constant; NaN without any."""
    is_known = members[None] & ~np.isnan(overlap)
    with np.errstate(invalid="ignore"):
        return np.where(is_known, overlap, 0.0).sum(1) / is_known.sum(1)
