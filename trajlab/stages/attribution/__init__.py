"""What in the inputs decides, and what the units look for."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.observers.observer import Objective
from trajlab.replays.observers.pooled import Pooled
from trajlab.replays.probe_samples import masks_of, samples_of, select_samples, take_samples
from trajlab.scan.as_one_task import as_one_task
from trajlab.stages.attribution.ascent import own_inputs, strongest_inputs
from trajlab.stages.attribution.look import Attack, Look, has_labels, input_dims, layer_at, units_of
from trajlab.statistics.attention_iou import attention_iou, resized
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.shown_steps import shown_steps

SLOPES = ("input_gradient", "token_gradient")
OBJECTIVES = ("loss", "logit", "p_logit", "predicted_logit")

_CLASS = "argmax of the outputs; NaN where one is NaN or Inf"
_IOU = "Σ PQ / Σ((P + Q)/2)², P and Q scaled to sum 1, P |gradient| summed over channels or Grad-CAM"
MEANINGS = {
    "sample_index": Meaning("place of the sample in the probe", "1", "from 0 on"),
    "image": Meaning("input", "input", "x"),
    "target": Meaning("target of the sample", "1", "as recorded"),
    "predicted": Meaning("class that the network tells", "class", _CLASS),
    "input_gradient": Meaning("gradient by the input", "1 / input", "∂objective/∂x, of the sample's own objective"),
    "token_gradient": Meaning("gradient by the tokens", "1", "|∂objective/∂e|₂, e the embedding of the token"),
    "grad_cam": Meaning("Grad-CAM", "1", "max(0, Σ_k α_k A_k), α_k the mean over positions of ∂logit/∂A_k"),
    "activation_map": Meaning("activation of the unit", "1", "A_k of one sample"),
    "adversarial": Meaning("adversarial input", "input", "x + ε sign(∂loss/∂x)"),
    "adversarial_predicted": Meaning("class told of the adversarial input", "class", _CLASS),
    "adversarial_accuracy": Meaning(
        "share of adversarial inputs answered right", "1", "accuracy on x + ε sign(∂loss/∂x) over the probe", share=True
    ),
    "noise_accuracy": Meaning(
        "share of inputs in noise answered right", "1", "accuracy on x + ε s, s random signs", share=True
    ),
    "noise_loss": Meaning("loss on inputs in noise", "1", "mean loss on x + ε s, s random signs, over the probe"),
    "adversarial_loss": Meaning("loss on adversarial inputs", "1", "mean loss on x + ε sign(∂loss/∂x) over the probe"),
    "maximum_response": Meaning("input that excites the unit most", "input", "argmax of the mean of A_k over |x|₂ = ρ"),
    "maximum_response_value": Meaning("largest response of the unit", "1", "mean of A_k at maximum_response"),
    "top_samples": Meaning("samples that excite the unit most", "1", "places in the probe; -1 where a response is NaN"),
    "top_response": Meaning("responses to the samples that excite the unit most", "1", "mean of A_k, falling"),
    "attention_iou": Meaning("attention IoU with the mask", "1", f"{_IOU}, Q the mask of the sample"),
    "attention_iou_prev": Meaning("attention IoU with the step before", "1", f"{_IOU}, Q the same a shown step before"),
    "nonfinite": Meaning("values that are NaN or Inf", "values", "count over outputs and gradients of the samples"),
}


def attribution(
    replay: Callable[..., Any],
    probe: xr.Dataset,
    *,
    layer: str = "",
    objective: str = "loss",
    steps: Sequence[int] = (),
    max_steps: int = 5,
    samples: Sequence[int] = (),
    max_samples: int = 10,
    map_sample: int = 0,
    units: Sequence[int] = (),
    max_units: int = 8,
    epsilon: float = 0.2,
    epsilons: Sequence[float] = (0.0, 0.05, 0.1, 0.2, 0.4),
    ascent_steps: int = 20,
    ascent_rate: float = 0.2,
    norm: float = 0.0,
    top_k: int = 5,
    seed: int = 0,
) -> xr.Dataset:
    """Show what in the inputs decides, and what units look for: gradients, Grad-CAM, adversarial and strongest inputs.

    Answers: where does the network look, does it keep looking there, how little fools it, and what do its units want?

    Parameters
    ----------
    replay
        Puts inputs through the network at each step, as `trajlab.replay` does.
    probe
        The batch, with its `targets`, and perhaps masks of what the samples show, `mask` or `mask_inputs`, of the
        shape of the inputs without channels.
    layer
        The layer of Grad-CAM, activation maps and units; by default the last convolution, else the last module before
        the output that has units, else the output.
    objective
        What the input gradient is of: the loss, the logit of the label, p_logit, that times its probability, or
        predicted_logit, the logit of the class that the network tells, of which Grad-CAM is then, too.
    steps
        Recorded steps to show; by default evenly spaced ones.
    max_steps
        Number of evenly spaced steps at most.
    samples
        Samples of the probe to show, by their place; by default the first of each class.
    max_samples
        Number of these at most.
    map_sample
        Whose activation maps are shown, by its place among the shown samples.
    units
        Units of the layer to show; by default the first.
    max_units
        Number of these at most.
    epsilon
        How far each value of the adversarial inputs shown is moved, in the units of the inputs.
    epsilons
        How far, for the accuracy under attack.
    ascent_steps
        Steps of gradient ascent to the inputs that excite units most; with 0 there are none.
    ascent_rate
        Length of these steps, in norms of the input.
    norm
        Norm of these inputs; 0 for the mean norm of the probe's. Inputs much smaller than the probe's may leave units
        without a gradient, where biases outweigh them.
    top_k
        Samples of the probe that are told of each unit.
    seed
        Seed of the noise that the ascent begins with, and of the random signs.

    Returns
    -------
    sample_index, image, target : (sample, …)
        Which samples of the probe are shown, and what they are. Images have dims channel, y and x, other inputs feature
        or position.
    predicted : (step, sample)
        The class that the network tells; of networks that give one label for each sample.
    input_gradient : (step, sample, channel, y, x)
        Gradient of the sample's objective by the input. Inputs that are integers have none.
    token_gradient : (step, sample, position)
        Of tokens instead: the norm of the gradient by their embedding.
    grad_cam : (step, sample, map_y, map_x)
        At the layer's own resolution; of labels, where the layer is one of maps.
    activation_map : (step, unit, map_y, map_x)
        Of one sample. Of a layer of attention, such as ``attention[1]``, the units are heads, and the maps are by query
        and key.
    adversarial : (step, sample, channel, y, x), adversarial_predicted : (step, sample)
        The input after one step against it by the fast gradient sign method, not clipped, and what it is taken for.
    adversarial_accuracy, adversarial_loss : (step, epsilon)
        Of the whole probe, moved so; the accuracy of labels only.
    noise_accuracy, noise_loss : (step, epsilon)
        The same of inputs that are moved as far in random directions: what is left of an attack without its aim.
    maximum_response : (step, unit, channel, y, x), maximum_response_value : (step, unit)
        The input of the norm that gradient ascent on the unit's mean output found, from noise of its own that is the
        same at all steps, and that output. Where a unit has no gradient it remains noise.
    top_samples, top_response : (step, unit, rank)
        The samples of the probe with the largest mean output of the unit, by their place, and these outputs.
    attention_iou : (step, sample, map)
        Overlap of the maps `input_gradient` (or `token_gradient`) and `grad_cam`, enlarged to the size of the input,
        with the mask of the sample, if the probe has masks. NaN for a map or a mask that is 0 everywhere.
    attention_iou_prev : (step, sample, map)
        Overlap of these maps with those at the step shown before; NaN at the first.
    nonfinite : (step)
        Outputs and gradients of the samples shown that are NaN or Inf.

    Without targets there are no gradients by the inputs, and so nothing adversarial and no Grad-CAM.

    Raises
    ------
    BadSetting
        A setting is out of range, the layer, a unit or a sample is not there, the objective does not fit the targets,
        or masks do not fit the inputs.
    MissingData
        A step was not recorded.

    References
    ----------
    Input gradient: Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034. Grad-CAM: Selvaraju et al. 2017,
    arXiv:1610.02391. Fast gradient sign method: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572. Maximum response:
    Erhan, Bengio, Courville and Vincent 2009. Attention IoU: Serianni et al. 2025, arXiv:2503.19846.
    """
    _check(objective, epsilon, epsilons, ascent_steps, ascent_rate, norm, top_k)
    place = layer_at(replay, layer)
    shown = units_of(place, units, max_units)
    whole = replay(layers=[""])[""]
    at = whole["step"].values[shown_steps(whole, steps, max_steps)]
    labels, one_label = has_labels(probe, whole, objective), whole.dims == ("step", "sample", "unit")
    index = select_samples(
        probe, samples, min(max_samples, whole.sizes["unit"]) if labels and one_label else max_samples
    )
    part, dims = samples_of(probe, index), input_dims(probe["inputs"], place)
    look = Look(replay, probe, part, at, dims, place)
    found: dict[Any, xr.DataArray] = {"index": xr.DataArray(index, dims="sample"), **look.output("output", part)}
    large = {"image": xr.DataArray(part["inputs"].data, dims=("sample", *dims))}
    if "targets" in probe:
        shape = ("sample", *(f"target_{axis}" for axis in range(probe["targets"].ndim - 1)))
        large["target"] = xr.DataArray(part["targets"].data, dims=shape)
        found |= look.gradient(Objective(objective))
        if labels:
            found |= look.grad_cam(Objective("predicted_logit" if objective == "predicted_logit" else "logit"))
    if "targets" in probe and probe["inputs"].dtype.kind == "f":
        large |= (attack := look.attack(epsilon))
        found |= look.output("adversarial_output", own_inputs(attack["adversarial"].data, at))
        found |= look.attacks(sorted({float(one) for one in epsilons}), seed)
    large |= {name: found[name] for name in (*SLOPES, "grad_cam") if name in found}
    large |= look.activation_map(shown, map_sample, len(index))
    pooled = replay(layers=[place.name]).observe(Pooled())[place.name]
    found["pooled"] = pooled.sel(step=at).isel(unit=shown)
    if ascent_steps and probe["inputs"].dtype.kind == "f":
        own = probe["inputs"].data
        strongest, response = strongest_inputs(
            replay, place, shown, own, at, ascents=ascent_steps, rate=ascent_rate, norm=norm, seed=seed
        )
        large["maximum_response"] = xr.DataArray(strongest, dims=("step", "unit", *dims))
        found["response"] = response
    if (masks := masks_of(probe, dims)) is not None:
        found["mask"] = xr.DataArray(
            take_samples(masks, index), dims=("sample", *(dim for dim in dims if dim != "channel"))
        )
    told = one_label and whole.sizes["unit"] > 1 and (labels or "targets" not in probe)
    work = partial(_result, names=tuple(found), told=told, units=tuple(shown), top_k=top_k)
    result = as_one_task(work, *found.values())
    result = result.assign({name: array.drop_vars("unit", errors="ignore").variable for name, array in large.items()})
    about = {"layer": place.name, "objective": objective, "epsilon": epsilon, "norm": norm, "map_sample": map_sample}
    return annotate(result, MEANINGS, **about, probe_sha256=whole.attrs.get("probe_sha256", ""))


def _check(
    objective: str,
    epsilon: float,
    epsilons: Sequence[float],
    ascent_steps: int,
    ascent_rate: float,
    norm: float,
    top_k: int,
) -> None:
    if objective not in OBJECTIVES:
        raise BadSetting(
            f"the gradient of {objective!r} was asked for; there are {', '.join(OBJECTIVES)}. Choose one of these."
        )
    sizes = (epsilon, *epsilons, ascent_steps, norm)
    if not all(0 <= size < np.inf for size in sizes) or not 0 < ascent_rate < np.inf or top_k < 1:
        raise BadSetting(
            f"epsilon={epsilon}, epsilons={list(epsilons)}, ascent_steps={ascent_steps}, ascent_rate={ascent_rate}, "
            f"norm={norm} and top_k={top_k} were asked for; ascent_rate is above 0, top_k at least 1 and the others at "
            "least 0. Change the setting."
        )


def _result(
    *arrays: xr.DataArray, names: tuple[str | Attack, ...], told: bool, units: tuple[int, ...], top_k: int
) -> xr.Dataset:
    found = dict(zip(names, arrays, strict=True))
    output = found["output"]
    result = {"sample_index": found["index"].variable}
    for name, source in (("predicted", "output"), ("adversarial_predicted", "adversarial_output")):
        if told and source in found:
            result[name] = xr.Variable(("step", "sample"), _classes(found[source].values))
    order = np.argsort(-found["pooled"].values, axis=1, kind="stable")[:, :top_k]
    top = np.take_along_axis(found["pooled"].values, order, axis=1)
    result["top_samples"] = xr.Variable(("step", "rank", "unit"), np.where(np.isnan(top), -1, order))
    result["top_response"] = xr.Variable(("step", "rank", "unit"), top)
    result = {name: variable.transpose(..., "rank", missing_dims="ignore") for name, variable in result.items()}
    if "response" in found:
        result["maximum_response_value"] = xr.Variable(("step", "unit"), found["response"].values)
    coords: dict[str, Any] = {"step": output["step"].variable, "unit": list(units)}
    for kind in ("adversarial", "noise"):
        tables = {key.epsilon: found[key] for key in names if isinstance(key, Attack) and key.kind == kind}
        if not tables:
            continue
        scores = xr.concat(list(tables.values()), dim="epsilon").transpose("step", "epsilon", "column")
        coords["epsilon"] = ("epsilon", list(tables), {"long_name": "size of the attack", "units": "input"})
        scored = scores.sel(column="scored")
        result[f"{kind}_loss"] = (scores.sel(column="loss") / scored).variable
        if told:
            result[f"{kind}_accuracy"] = (scores.sel(column="right") / scored).variable
    slopes = {name: found[name] for name in SLOPES if name in found}
    broken = [(~np.isfinite(one.values)).reshape(len(one), -1).sum(1) for one in (output, *slopes.values())]
    result["nonfinite"] = xr.Variable("step", np.sum(broken, axis=0))
    maps = {
        name: abs(one).sum("channel", skipna=False) if "channel" in one.dims else abs(one)
        for name, one in slopes.items()
    }
    maps |= {"grad_cam": found["grad_cam"]} if "grad_cam" in found else {}
    if maps:
        coords["map"] = np.array(list(maps), dtype=object)
        result |= _overlaps({name: one.values for name, one in maps.items()}, found.get("mask"))
    return xr.Dataset(result, coords)


def _classes(outputs: np.ndarray) -> np.ndarray:
    """Give the class of each output, (…, unit) to (…)."""
    return np.where(np.isfinite(outputs).all(-1), outputs.argmax(-1), np.nan)


def _overlaps(maps: dict[str, np.ndarray], mask: xr.DataArray | None) -> dict[str, xr.Variable]:
    """Hold maps, (step, sample, …), against those of the step before, and against masks, (sample, …)."""
    dims, found = ("step", "sample", "map"), {}
    before = [np.full(one.shape[:2], np.nan) for one in maps.values()]
    for out, one in zip(before, maps.values(), strict=True):
        out[1:] = attention_iou(one[1:], one[:-1], range(2 - one.ndim, 0))
    found["attention_iou_prev"] = xr.Variable(dims, np.stack(before, axis=-1))
    if mask is not None:
        if (mask.values < 0).any():
            raise BadSetting(
                "masks without negative values were expected; there are some. Give 0 where nothing is shown."
            )
        shape = mask.shape[1:]
        overlap = [
            attention_iou(resized(one, shape), mask.values, range(-len(shape), 0))
            if one.ndim == 2 + len(shape)
            else np.full(one.shape[:2], np.nan)
            for one in maps.values()
        ]
        found["attention_iou"] = xr.Variable(dims, np.stack(overlap, axis=-1))
    return found
