"""The lines along which units of a layer with two inputs switch on and off."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.stages.unit_lines.geometry import ends, plane
from trajlab.statistics.logits import ENDS_IN, predicted_classes
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.shown_steps import shown_steps

MEANINGS = {
    "normal": Meaning("normal of the line", "weight", "w_k, which points to the active side"),
    "offset": Meaning("offset of the line", "weight", "b_k, 0 without a bias"),
    "ends": Meaning("ends of the line", "input", "where {x : w_k·x + b_k = 0} enters and leaves the box; else NaN"),
    "fraction_crossing": Meaning(
        "share of units whose line crosses the box", "1", "mean of lines with ends", share=True
    ),
    "distance": Meaning(
        "distance of the line from the center", "input", "|w_k·m + b_k| / |w_k|₂, m the center of the box"
    ),
    "turned": Meaning("angle by which the line turned", "degrees", "angle between w_k and w_k at the first step shown"),
    "box": Meaning("limits of the box", "input", "lower and upper limit on each axis"),
    "region": Meaning("predicted class", "class", "argmax of the outputs; of a single output, logit > 0", nominal=True),
    "point": Meaning("inputs of the probe", "input", "x"),
    "target": Meaning("classes of the probe", "class", "as recorded", nominal=True),
}


def unit_lines(
    weights: Mapping[str, xr.DataArray],
    probe: xr.Dataset | None = None,
    replay: Callable[..., Mapping[str, xr.DataArray]] | None = None,
    *,
    parameter: str = "",
    steps: Sequence[int] = (),
    max_steps: int = 60,
    box: Sequence[float] = (),
    resolution: int = 160,
) -> xr.Dataset:
    """Show the lines along which units of a layer with two inputs switch, and the network's decision regions.

    Answers: how do the units' lines partition the plane, when do they reach the data, and which never do?

    Parameters
    ----------
    weights
        Weights of parameters by name; one of them has two inputs.
    probe
        The fixed batch of points, whose inputs are (sample, 2).
    replay
        Runs the snapshots on points of the plane, for the decision regions.
    parameter
        Weight of the layer; by default the first with two inputs. Only that one is shown with points and regions.
    steps
        Recorded steps to show; by default evenly spaced ones.
    max_steps
        Largest number of evenly spaced steps.
    box
        Limits of the plane shown: lower and upper on the first axis, lower and upper on the second. By default the
        extent of the probe and a margin of a tenth; without a probe -1 to 1.
    resolution
        Number of points along each axis at which the class is predicted.

    Returns
    -------
    normal : (step, unit, axis)
        The weights w_k of each unit.
    offset : (step, unit)
        Its bias b_k.
    ends : (step, unit, end, axis)
        The two points where the unit's line {x : w_k·x + b_k = 0} meets the edge of the box; NaN if it does not.
    fraction_crossing : (step)
        Share of units whose line crosses the box; the others are active, or inactive, on all of it.
    distance : (step, unit)
        Distance of the line from the center of the box; NaN where w_k is 0.
    turned : (step, unit)
        Angle between the unit's normal and that at the first step shown, from 0 to 180 degrees.
    box : (axis, limit)
        Limits of the plane shown.
    region : (step, y, x)
        Predicted class at the center of each cell of a grid over the box, with y rising; only with a probe on the plane
        and a model. NaN where an output is NaN or Inf.
    point : (sample, axis)
        The points of the probe, if it is on the plane.
    target : (sample)
        Their classes.

    Raises
    ------
    MissingData
        No layer has two inputs, or a step was not recorded.
    BadSetting
        The parameter does not have two inputs, the box is no box, or the network does not have one output a class.
    """
    flat = [name for name, array in weights.items() if array.dims == ("step", "out", "in") and array.sizes["in"] == 2]
    if not flat:
        raise MissingData("cannot show lines: no layer has two inputs; name a run on data in the plane")
    name = parameter or flat[0]
    if name not in flat:
        raise BadSetting(f"cannot show the lines of {name!r}: choose one of {', '.join(flat)}, which have two inputs")
    if len(box) not in (0, 4) or not all(low < high for low, high in zip(box[::2], box[1::2], strict=True)):
        raise BadSetting(
            f"cannot use box={list(box)}: give four limits, lower and upper on the first axis, then on the second"
        )
    if not 2 <= resolution <= 2048:
        raise BadSetting(f"cannot use resolution={resolution}: choose 2 to 2,048")
    points = _points(probe) if name == flat[0] else {}
    area = as_one_task(partial(plane, box=tuple(map(float, box)), resolution=resolution), *list(points.values())[:1])
    inputs = {"weight": weights[name]}
    bias = name.removesuffix("weight") + "bias"
    if bias in weights and weights[bias].shape[1:] == weights[name].shape[1:2]:
        inputs["bias"] = weights[bias]
    if replay is not None and points:
        inputs["output"] = _output(replay, area["grid"])
    recorded = inputs["weight"]
    for array in inputs.values():
        recorded = recorded.sel(step=np.intersect1d(recorded["step"], array["step"]))
    at = recorded["step"].values[shown_steps(recorded, steps, max_steps)]
    inputs = {key: array.sel(step=at) for key, array in inputs.items()} | {"box": area["box"]} | points
    ends_in = str(inputs["output"].attrs.get(ENDS_IN, "")) if "output" in inputs else ""
    work = partial(_result, names=tuple(inputs), resolution=resolution, ends_in=ends_in)
    result = as_one_task(work, *inputs.values())
    hashed = {"probe_sha256": probe.attrs["sha256"]} if probe is not None and points and "sha256" in probe.attrs else {}
    return annotate(result, MEANINGS, parameter=name, **hashed)


def _points(probe: xr.Dataset | None) -> dict[str, xr.DataArray]:
    """Return the points of a probe on the plane, and their classes if it has any; nothing for other probes."""
    if probe is None or "inputs" not in probe or probe["inputs"].shape[1:] != (2,):
        return {}
    variables = {"point": probe["inputs"].variable}
    if "targets" in probe and probe["targets"].ndim == 1:
        variables["target"] = probe["targets"].variable
    return {
        name: xr.DataArray(values.data, dims=("sample", "axis")[: values.ndim], name=name)
        for name, values in variables.items()
    }


def _output(replay: Callable[..., Mapping[str, xr.DataArray]], grid: xr.DataArray) -> xr.DataArray:
    """Return the outputs of the network at the points of a grid, (step, sample, unit)."""
    output = replay(probe=grid, layers=[""])[""]
    if output.dims != ("step", "sample", "unit"):
        raise BadSetting(
            f"cannot show decision regions: the outputs have shape {output.shape[2:]}, not one value a class; "
            "name a run of a classifier"
        )
    return output


def _result(*inputs: xr.DataArray, names: tuple[str, ...], resolution: int, ends_in: str) -> xr.Dataset:
    arrays = dict(zip(names, inputs, strict=True))
    normal = arrays["weight"].values.astype(np.float64)
    offset = arrays["bias"].values.astype(np.float64) if "bias" in arrays else np.zeros(normal.shape[:2])
    clipped = ends(normal, offset, arrays["box"].values)
    length = np.sqrt((normal**2).sum(-1))
    direction = normal / length[..., None]
    cosine = (direction * direction[0]).sum(-1)
    sine = (direction * direction[0, :, ::-1] * [1, -1]).sum(-1)
    crossing = np.isfinite(clipped).all((2, 3))
    variables: dict[str, Any] = {
        "normal": (("step", "unit", "axis"), normal),
        "offset": (("step", "unit"), offset),
        "ends": (("step", "unit", "end", "axis"), clipped),
        "fraction_crossing": ("step", crossing.sum(1) / crossing.shape[1]),
        "distance": (("step", "unit"), abs(direction @ arrays["box"].values.mean(1) + offset / length)),
        "turned": (("step", "unit"), np.degrees(np.arctan2(abs(sine), cosine))),
        "box": (("axis", "limit"), arrays["box"].values),
    }
    if "output" in arrays:
        region = predicted_classes(arrays["output"].values, ends_in).reshape(-1, resolution, resolution)
        variables["region"] = (("step", "y", "x"), region)
    variables |= {name: (arrays[name].dims, arrays[name].values) for name in ("point", "target") if name in arrays}
    return xr.Dataset(variables, {"step": arrays["weight"]["step"]})
