"""Quantities of attribution, from outputs, gradients, maps and scores."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.stages.attribution.attributes import between_attributes
from trajlab.statistics.attention_iou import attention_iou, resized, scaled
from trajlab.statistics.logits import predicted_classes
from trajlab.statistics.result import Meaning

_CLASS = "argmax of the outputs, of a single output whether its logit is above 0; NaN where one is NaN or Inf"
_IOU = "Σ PQ / Σ((P + Q)/2)², P and Q scaled to sum 1, P |gradient| summed over channels or Grad-CAM"
_SCALED = "scaled to min 0 and max 1 first"
MEANINGS = {
    "sample_index": Meaning("position of the sample in the probe", "1", "counted from 0", nominal=True),
    "image": Meaning("input", "input", "x"),
    "target": Meaning("target of the sample", "1", "as recorded", nominal=True),
    "predicted": Meaning("predicted class", "class", _CLASS, nominal=True),
    "input_gradient": Meaning(
        "gradient with respect to the input", "1 / input", "∂objective/∂x, of each sample's own objective"
    ),
    "token_gradient": Meaning(
        "gradient with respect to the tokens", "1", "|∂objective/∂e|₂, e the embedding of the token"
    ),
    "grad_cam": Meaning("Grad-CAM", "1", "max(0, Σ_k α_k A_k), α_k the mean over positions of ∂logit/∂A_k"),
    "activation_map": Meaning("activation of the unit", "1", "A_k of one sample"),
    "adversarial": Meaning("adversarial input", "input", "x + ε sign(∂loss/∂x)"),
    "adversarial_predicted": Meaning("predicted class of the adversarial input", "class", _CLASS, nominal=True),
    "adversarial_accuracy": Meaning(
        "accuracy under attack", "1", "accuracy on x + ε sign(∂loss/∂x) over the probe", share=True
    ),
    "noise_accuracy": Meaning(
        "accuracy under noise", "1", "accuracy on x + ε s over the probe, s random signs", share=True
    ),
    "noise_loss": Meaning("loss under noise", "1", "mean loss on x + ε s, s random signs, over the probe"),
    "adversarial_loss": Meaning("loss under attack", "1", "mean loss on x + ε sign(∂loss/∂x) over the probe"),
    "maximum_response": Meaning(
        "input that maximizes the unit", "input", "argmax of the mean of A_k over |x|₂ = ρ, by gradient ascent"
    ),
    "maximum_response_value": Meaning("maximum response of the unit", "1", "mean of A_k at maximum_response"),
    "top_samples": Meaning(
        "samples that excite the unit most", "1", "positions in the probe; -1 where a response is NaN", nominal=True
    ),
    "top_response": Meaning("responses to the samples that excite the unit most", "1", "mean of A_k, descending"),
    "attention_iou": Meaning("attention IoU with the mask", "1", f"{_IOU}, {_SCALED}, Q the mask of the sample"),
    "attention_iou_unscaled": Meaning(
        "attention IoU of unscaled maps with the mask", "1", f"{_IOU}, Q the mask of the sample"
    ),
    "attention_iou_prev": Meaning(
        "attention IoU with the previous step", "1", f"{_IOU}, {_SCALED}, Q the same at the previous step shown"
    ),
    "attention_iou_prev_unscaled": Meaning(
        "attention IoU of unscaled maps with the previous step", "1", f"{_IOU}, Q the same at the previous step shown"
    ),
    "attribute_iou": Meaning(
        "attention IoU of two outputs", "1", f"{_IOU}, {_SCALED}, Grad-CAM of one output and of another"
    ),
    "attribute_iou_group": Meaning(
        "mean attention IoU of two outputs by group", "1", "mean of attribute_iou over samples by their labels"
    ),
    "nonfinite": Meaning("values that are NaN or Inf", "values", "count over outputs and gradients of the samples"),
}

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
