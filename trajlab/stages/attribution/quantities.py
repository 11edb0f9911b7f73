"""Quantities of attribution, from outputs, gradients, maps and scores."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.stages.attribution.attributes import between_attributes
from trajlab.statistics.attention_iou import attention_iou, resized, scaled
from trajlab.statistics.logits import predicted_classes

SLOPES = ("input_gradient", "token_gradient")
"""Gradients with respect to inputs; a result has at most one of them."""


Scale = Callable[[np.ndarray, Sequence[int]], np.ndarray]

SCALES: dict[str, Scale] = {"": scaled, "_unscaled": lambda maps, axes: maps}
"""How maps are scaled before they are compared, by the suffix of the quantity: as published, and not at all."""


def quantities(
    *arrays: xr.DataArray,
    names: tuple[str | tuple[str, float], ...],
    classes: bool,
    units: tuple[int, ...],
    top_k: int,
    ends_in: str = "",
) -> xr.Dataset:
    """Return the quantities that need a few numbers only.

    Parameters
    ----------
    arrays
        Outputs, gradients, Grad-CAM, pooled activations, masks and tables of scores.
    names
        Name of each; of tables of scores the kind of perturbation, adversarial or noise, and its size ε; of Grad-CAM of
        an output "attribute" and its number.
    classes
        Whether the outputs are logits of one label a sample.
    units
        Numbers of the units shown.
    top_k
        Number of samples in `top_samples`.
    ends_in
        The activation that the network ends in.
    """
    by_name = dict(zip(names, arrays, strict=True))
    output = by_name["output"]
    result = {"sample_index": by_name["index"].variable}
    for name, source in (("predicted", "output"), ("adversarial_predicted", "adversarial_output")):
        if classes and source in by_name:
            result[name] = xr.Variable(("step", "sample"), predicted_classes(by_name[source].values, ends_in))
    order = np.argsort(-by_name["pooled"].values, axis=1, kind="stable")[:, :top_k]
    top = np.take_along_axis(by_name["pooled"].values, order, axis=1)
    result["top_samples"] = xr.Variable(("step", "rank", "unit"), np.where(np.isnan(top), -1, order))
    result["top_response"] = xr.Variable(("step", "rank", "unit"), top)
    result = {name: variable.transpose(..., "rank", missing_dims="ignore") for name, variable in result.items()}
    if "response" in by_name:
        result["maximum_response_value"] = xr.Variable(("step", "unit"), by_name["response"].values)
    coords: dict[str, Any] = {"step": output["step"].variable, "unit": list(units)}
    for kind in ("adversarial", "noise"):
        tables = {name[1]: by_name[name] for name in names if isinstance(name, tuple) and name[0] == kind}
        if not tables:
            continue
        scores = xr.concat(list(tables.values()), dim="epsilon").transpose("step", "epsilon", "column")
        coords["epsilon"] = ("epsilon", list(tables), {"long_name": "size of the attack", "units": "input"})
        scored = scores.sel(column="scored")
        result[f"{kind}_loss"] = (scores.sel(column="loss") / scored).variable
        if classes:
            result[f"{kind}_accuracy"] = (scores.sel(column="right") / scored).variable
    slopes = {name: by_name[name] for name in SLOPES if name in by_name}
    nonfinite = [(~np.isfinite(array.values)).reshape(len(array), -1).sum(1) for array in (output, *slopes.values())]
    result["nonfinite"] = xr.Variable("step", np.sum(nonfinite, axis=0))
    maps = {
        name: abs(slope).sum("channel", skipna=False) if "channel" in slope.dims else abs(slope)
        for name, slope in slopes.items()
    }
    maps |= {"grad_cam": by_name["grad_cam"]} if "grad_cam" in by_name else {}
    if maps:
        coords["map"] = np.array(list(maps), dtype=object)
        result |= _overlaps([array.values for array in maps.values()], by_name.get("mask"))
    attributes = {int(name[1]): by_name[name] for name in names if isinstance(name, tuple) and name[0] == "attribute"}
    if attributes:
        targets = by_name["targets"].values if "targets" in by_name else None
        pairs, labels = between_attributes(attributes, targets)
        result, coords = result | pairs, coords | labels
    return xr.Dataset(result, coords)


def _overlaps(maps: list[np.ndarray], mask: xr.DataArray | None) -> dict[str, xr.Variable]:
    """Compare maps, (step, sample, …), with those of the previous step, and with masks, (sample, …)."""
    dims = ("step", "sample", "map")
    overlaps = {
        f"attention_iou_prev{suffix}": xr.Variable(dims, np.stack([_with_previous(array, how) for array in maps], -1))
        for suffix, how in SCALES.items()
    }
    if mask is not None:
        if (mask.values < 0).any():
            raise BadSetting("cannot compare maps with masks: a mask has negative values; use 0 outside of the object")
        for suffix, how in SCALES.items():
            with_mask = [_with_mask(array, mask.values, how) for array in maps]
            overlaps[f"attention_iou{suffix}"] = xr.Variable(dims, np.stack(with_mask, axis=-1))
    return overlaps


def _with_previous(maps: np.ndarray, how: Scale) -> np.ndarray:
    """Compare maps, (step, sample, …), with those of the previous step; NaN at the first."""
    axes = range(2 - maps.ndim, 0)
    overlap, scaled_maps = np.full(maps.shape[:2], np.nan), how(maps, axes)
    overlap[1:] = attention_iou(scaled_maps[1:], scaled_maps[:-1], axes)
    return overlap


def _with_mask(maps: np.ndarray, masks: np.ndarray, how: Scale) -> np.ndarray:
    """Compare maps, (step, sample, …), at the resolution of the masks, (sample, …); NaN if they have other axes."""
    shape = masks.shape[1:]
    if maps.ndim != 2 + len(shape):
        return np.full(maps.shape[:2], np.nan)
    axes = range(-len(shape), 0)
    return attention_iou(how(resized(maps, shape), axes), masks, axes)
