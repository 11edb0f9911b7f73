"""Attribution: which parts of the inputs decide, and which inputs excite units."""

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
from trajlab.stages.attribution.ascent import inputs_by_step, maximal_inputs
from trajlab.stages.attribution.attributes import check
from trajlab.stages.attribution.quantities import MEANINGS, SLOPES, quantities
from trajlab.stages.attribution.request import Request, input_dims, layer_at, task_asked, units_of
from trajlab.statistics.logits import ENDS_IN
from trajlab.statistics.result import annotate
from trajlab.statistics.shown_steps import shown_steps
from trajlab.statistics.tasks import TASKS

OBJECTIVES = ("loss", "logit", "p_logit", "predicted_logit", *TASKS)


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
    attributes: Sequence[int] = (),
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
    """Attribute outputs to inputs: gradients, Grad-CAM, adversarial inputs, and the inputs that maximize units.

    Answers: where does the network look, does it keep looking there, how small a perturbation fools it, and which
    inputs maximize its units?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    probe
        The batch with its `targets`, and optionally masks of the objects in the samples, `mask` or `mask_inputs`, with
        the shape of the inputs without channels.
    layer
        Layer of Grad-CAM, activation maps and units; by default the last convolution, or else the last module with
        units before the output, or else the output.
    objective
        What is differentiated: loss, which the targets tell, as in `evaluation`; cross_entropy, binary, multilabel or
        mse, that loss; logit, the logit of the label; p_logit, that logit times its probability, which counts as a
        constant; or predicted_logit, the logit of the predicted class; Grad-CAM then uses it, too. A single output z is
        the logit of the positive label, and −z that of the negative one.
    steps
        Recorded steps to show; by default evenly spaced ones.
    max_steps
        Largest number of evenly spaced steps.
    samples
        Positions in the probe of the samples to show; by default the first of each class.
    max_samples
        Largest number of samples chosen by default.
    map_sample
        Position, among the samples shown, of the one whose activation maps are shown.
    attributes
        Outputs whose Grad-CAM maps are compared pair by pair, such as those of the attributes of a face; by default
        none.
    units
        Units of the layer to show; by default the first.
    max_units
        Largest number of units chosen by default.
    epsilon
        Size ε of the attack for the adversarial inputs shown, in units of the inputs.
    epsilons
        Sizes ε for the accuracy under attack.
    ascent_steps
        Number of gradient ascent steps to the inputs that maximize units; 0 to skip these.
    ascent_rate
        Length of an ascent step, relative to the norm of the input.
    norm
        Norm of the inputs that maximize units; 0 for the mean norm of the probe's inputs. Much smaller inputs may leave
        units without a gradient, where biases dominate.
    top_k
        Number of samples in `top_samples`.
    seed
        Seed of the noise from which the ascent starts, and of the random signs.

    Returns
    -------
    sample_index, image, target : (sample, …)
        The samples shown: their positions in the probe, inputs and targets. Images have dims channel, y and x; other
        inputs feature or position.
    predicted : (step, sample)
        Predicted class, for networks with one label a sample.
    input_gradient : (step, sample, channel, y, x)
        Gradient of each sample's objective with respect to its input; not for integer inputs.
    token_gradient : (step, sample, position)
        For tokens instead: the norm of the gradient with respect to their embedding.
    grad_cam : (step, sample, map_y, map_x)
        Grad-CAM at the layer's resolution; only with labels, and a layer of maps.
    activation_map : (step, unit, map_y, map_x)
        Activations of one sample. For attention weights, such as ``attention[1]``, units are heads and maps are query
        × key.
    adversarial : (step, sample, channel, y, x), adversarial_predicted : (step, sample)
        Input after one step of the fast gradient sign method, not clipped, and its predicted class.
    adversarial_accuracy, adversarial_loss : (step, epsilon)
        Accuracy, of labels only, and loss on the whole probe under this attack.
    noise_accuracy, noise_loss : (step, epsilon)
        The same for steps of equal size in random directions.
    maximum_response : (step, unit, channel, y, x), maximum_response_value : (step, unit)
        Input of fixed norm that maximizes the unit's mean output by gradient ascent, and that output. Ascent starts
        from noise that differs between units and is the same at all steps; without a gradient it stays there. Not for
        attention weights, whose mean is the same for all inputs.
    top_samples, top_response : (step, unit, rank)
        Positions in the probe of the samples with the largest mean output of the unit, and these outputs; -1 and NaN
        for attention weights.
    attention_iou : (step, sample, map)
        Overlap of `input_gradient` (or `token_gradient`) and `grad_cam`, resized to the input and scaled to min 0 and
        max 1, with the mask of the sample, if the probe has masks. NaN for a constant map, or a mask that is 0
        everywhere.
    attention_iou_prev : (step, sample, map)
        Overlap of these maps with those at the previous step shown; NaN at the first.
    attention_iou_unscaled, attention_iou_prev_unscaled : (step, sample, map)
        The same of maps as they are, without scaling; NaN for a map that is 0 everywhere.
    attribute_iou : (step, sample, attribute, attribute_other)
        Overlap of Grad-CAM of each two of `attributes`, scaled in the same way.
    attribute_iou_group : (step, attribute, attribute_other, group)
        Its mean over the samples that have both attributes, the first or the second only, neither, the same of both,
        or different ones. A label is the attribute of its class; targets (sample, output) above 0 are attributes. NaN
        for an empty group.
    nonfinite : (step)
        Number of outputs and gradients of the samples shown that are NaN or Inf.

    Without targets there are no input gradients, no adversarial inputs and no Grad-CAM.

    Raises
    ------
    BadSetting
        A setting is out of range; the layer, a unit or a sample does not exist; the objective does not fit the targets;
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
    target_layer = layer_at(replay, layer)
    unit_numbers = units_of(target_layer, units, max_units)
    output = replay(layers=[""])[""]
    at = output["step"].values[shown_steps(output, steps, max_steps)]
    task = task_asked(probe, output, objective)
    labels, one_label = task is not None and task.has_labels, output.dims == ("step", "sample", "unit")
    index = select_samples(
        probe, samples, min(max_samples, task.classes) if task and labels and one_label else max_samples
    )
    part, dims = samples_of(probe, index), input_dims(probe["inputs"], target_layer)
    request = Request(replay, probe, part, at, dims, target_layer, task.kind if task else "")
    kind = "loss" if objective in TASKS else objective
    tables: dict[Any, xr.DataArray] = {
        "index": xr.DataArray(index, dims="sample"),
        **request.output("output", part),
    }
    arrays = {"image": xr.DataArray(part["inputs"].data, dims=("sample", *dims))}
    differentiable = probe["inputs"].dtype.kind == "f"
    if "targets" in probe:
        shape = ("sample", *(f"target_{axis}" for axis in range(probe["targets"].ndim - 1)))
        arrays["target"] = xr.DataArray(part["targets"].data, dims=shape)
        tables |= request.gradient(Objective(kind, task=request.task))
        if labels:
            of_class = "predicted_logit" if objective == "predicted_logit" else "logit"
            tables |= request.grad_cam(Objective(of_class, task=request.task))
    if attributes:
        check(attributes, output.sizes["unit"])
        for number in attributes:
            maps = request.grad_cam(Objective("unit", "", (number,) * len(index)))
            if not maps:
                raise BadSetting(
                    f"cannot compare attributes at {target_layer.name}: it has no maps; name a convolution"
                )
            tables["attribute", number] = maps["grad_cam"]
        several = "targets" in probe and part["targets"].shape == (len(index), output.sizes["unit"])
        if labels and one_label or several:
            tables["targets"] = xr.DataArray(part["targets"].data, dims=part["targets"].dims)
    if "targets" in probe and differentiable:
        arrays |= (attack := request.attack(epsilon))
        tables |= request.output("adversarial_output", inputs_by_step(attack["adversarial"].data, at))
        for (kind, size), scores in request.attacks(sorted({float(size) for size in epsilons}), seed).items():
            tables[kind, size] = scores
    arrays |= {name: tables[name] for name in (*SLOPES, "grad_cam") if name in tables}
    arrays |= request.activation_map(unit_numbers, map_sample, len(index))
    pooled = replay(layers=[target_layer.name]).observe(Pooled())[target_layer.name]
    is_attention = target_layer.dims == ("unit", "query", "key")
    pooled = pooled.sel(step=at).isel(unit=unit_numbers)
    tables["pooled"] = xr.full_like(pooled, np.nan) if is_attention else pooled  # its mean is 1/keys for any input
    if ascent_steps and differentiable and not is_attention:
        maximal, response = maximal_inputs(
            replay, target_layer, unit_numbers, probe["inputs"].data, at, ascents=ascent_steps, rate=ascent_rate,
            norm=norm, seed=seed,
        )  # fmt: skip
        arrays["maximum_response"] = xr.DataArray(maximal, dims=("step", "unit", *dims))
        tables["response"] = response
    if (masks := masks_of(probe, dims)) is not None:
        tables["mask"] = xr.DataArray(
            take_samples(masks, index), dims=("sample", *(dim for dim in dims if dim != "channel"))
        )
    classes = one_label and (labels or (task is None and output.sizes["unit"] > 1))
    work = partial(
        quantities,
        names=tuple(tables),
        classes=classes,
        units=tuple(unit_numbers),
        top_k=top_k,
        ends_in=str(output.attrs.get(ENDS_IN, "")),
    )
    result = as_one_task(work, *tables.values())
    result = result.assign({name: array.drop_vars("unit", errors="ignore").variable for name, array in arrays.items()})
    attrs = {
        "layer": target_layer.name, "objective": objective, "epsilon": epsilon, "norm": norm, "map_sample": map_sample,
        "probe_sha256": output.attrs.get("probe_sha256", ""),
    }  # fmt: skip
    return annotate(result, MEANINGS, **attrs)


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
        raise BadSetting(f"cannot differentiate {objective!r}: choose one of {', '.join(OBJECTIVES)}")
    sizes = (epsilon, *epsilons, ascent_steps, norm)
    if not all(0 <= size < np.inf for size in sizes) or not 0 < ascent_rate < np.inf or top_k < 1:
        raise BadSetting(
            f"cannot use epsilon={epsilon}, epsilons={list(epsilons)}, ascent_steps={ascent_steps}, "
            f"ascent_rate={ascent_rate}, norm={norm} and top_k={top_k}: choose ascent_rate above 0, top_k ≥ 1 and the "
            "others ≥ 0"
        )
