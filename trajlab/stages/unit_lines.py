"""The lines along which the units of a layer on the plane switch."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.shown_steps import shown_steps

MEANINGS = {
    "normal": Meaning("normal of the line", "weight", "w_k, which points to the side where the unit is active"),
    "offset": Meaning("offset of the line", "weight", "b_k, 0 without a bias"),
    "ends": Meaning("ends of the line", "input", "where {x : w_k·x + b_k = 0} enters and leaves the box; else NaN"),
    "fraction_crossing": Meaning(
        "share of units whose line crosses the box", "1", "mean of lines with ends", share=True
    ),
    "distance": Meaning("distance of the line from the middle", "input", "|w_k·m + b_k| / |w_k|₂, m the box's middle"),
    "turned": Meaning("angle that the line turned", "degrees", "between w_k and w_k at the first step shown"),
    "box": Meaning("limits of the picture", "input", "from and to on each axis"),
    "region": Meaning("class that the network tells", "class", "argmax of the outputs; of a single one, output > 0"),
    "point": Meaning("inputs of the probe", "input", "x"),
    "target": Meaning("classes of the probe", "class", "as recorded"),
}

MARGIN = 0.1
"""How far beyond the probe the picture reaches, in shares of the probe's extent."""


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
    """Show the lines along which units of a layer on the plane switch, and the regions that the network tells apart.

    Answers: how does the network cut up the plane, when did the cuts find the data, and which units never meet it?

    Parameters
    ----------
    weights
        Weights of parameters by name; the layer has two inputs.
    probe
        The fixed batch of points, whose inputs are (sample, 2).
    replay
        Puts points through the network at each step, for the regions.
    parameter
        The layer's weight; by default the first with two inputs. Points and regions are shown for that one only.
    steps
        Recorded steps to show; by default evenly spaced ones.
    max_steps
        Number of evenly spaced steps at most.
    box
        What is shown of the plane: from, to on the first axis, from, to on the second. By default the probe and a
        tenth of its extent around it, and without a probe -1 to 1.
    resolution
        Points of the plane along each axis at which the network is asked for its class.

    Returns
    -------
    normal : (step, unit, axis)
        The weights w_k of each unit.
    offset : (step, unit)
        Its bias b_k.
    ends : (step, unit, end, axis)
        The two points where the unit's line {x : w_k·x + b_k = 0} meets the edge of the box; NaN if it does not.
    fraction_crossing : (step)
        Share of the units whose line crosses the box; the others are on, or off, on all of it.
    distance : (step, unit)
        Distance of the line from the middle of the box; NaN without a direction.
    turned : (step, unit)
        Angle between the unit's normal and that at the first step shown, from 0 to 180 degrees.
    box : (axis, limit)
        What is shown of the plane.
    region : (step, y, x)
        The network's class in the middle of each cell of a grid over the box, from the lowest up; with a probe on the
        plane and a model. NaN where an output is NaN or Inf.
    point : (sample, axis)
        The points of the probe, if it is on the plane.
    target : (sample)
        Their classes.

    Raises
    ------
    MissingData
        No layer has two inputs, or a step was not recorded.
    BadSetting
        The parameter has not two inputs, the box is none, or the network does not give one output for each class.
    """
    flat = [name for name, array in weights.items() if array.dims == ("step", "out", "in") and array.sizes["in"] == 2]
    if not flat:
        raise MissingData("a layer with two inputs was asked for; there is none. Name a run on data in the plane.")
    name = parameter or flat[0]
    if name not in flat:
        raise BadSetting(f"the lines of {name!r} were asked for; two inputs have {', '.join(flat)}. Choose one.")
    if len(box) not in (0, 4) or not all(low < high for low, high in zip(box[::2], box[1::2], strict=True)):
        raise BadSetting(
            f"box={list(box)} was asked for; it takes four limits: from, to on the first axis, from, to on the "
            "second. Change the setting."
        )
    if not 2 <= resolution <= 2048:
        raise BadSetting(f"resolution={resolution} was asked for; it can be from 2 to 2,048. Change the setting.")
    points = _points(probe) if name == flat[0] else {}
    plane = as_one_task(partial(_plane, box=tuple(map(float, box)), resolution=resolution), *list(points.values())[:1])
    lives = {"weight": weights[name]}
    bias = name.removesuffix("weight") + "bias"
    if bias in weights and weights[bias].shape[1:] == weights[name].shape[1:2]:
        lives["bias"] = weights[bias]
    if replay is not None and points:
        lives["output"] = _output(replay, plane["grid"])
    recorded = lives["weight"]
    for life in lives.values():
        recorded = recorded.sel(step=np.intersect1d(recorded["step"], life["step"]))
    at = recorded["step"].values[shown_steps(recorded, steps, max_steps)]
    inputs = {key: life.sel(step=at) for key, life in lives.items()} | {"box": plane["box"]} | points
    result = as_one_task(partial(_result, names=tuple(inputs), resolution=resolution), *inputs.values())
    hashed = {"probe_sha256": probe.attrs["sha256"]} if probe is not None and points and "sha256" in probe.attrs else {}
    return annotate(result, MEANINGS, parameter=name, **hashed)


def _points(probe: xr.Dataset | None) -> dict[str, xr.DataArray]:
    """Give the points of a probe on the plane, and their classes if it has them; nothing of any other probe."""
    if probe is None or "inputs" not in probe or probe["inputs"].shape[1:] != (2,):
        return {}
    found = {"point": probe["inputs"].variable}
    if "targets" in probe and probe["targets"].ndim == 1:
        found["target"] = probe["targets"].variable
    return {
        name: xr.DataArray(values.data, dims=("sample", "axis")[: values.ndim], name=name)
        for name, values in found.items()
    }


def _output(replay: Callable[..., Mapping[str, xr.DataArray]], grid: xr.DataArray) -> xr.DataArray:
    """Give what the network says of the points of a grid at each step, (step, sample, unit)."""
    output = replay(probe=grid, layers=[""])[""]
    if output.dims != ("step", "sample", "unit"):
        raise BadSetting(
            f"an output for each class was expected of each point; they are of shape {output.shape[2:]}. "
            "Name a run of a classifier."
        )
    return output


def _plane(*points: xr.DataArray, box: tuple[float, ...], resolution: int) -> xr.Dataset:
    """Give the limits of the picture, and the middle of each cell of a grid over it, row by row."""
    limits = np.array(box or (-1.0, 1.0, -1.0, 1.0)).reshape(2, 2)
    if points and not box:
        values = np.where(np.isfinite(points[0].values), points[0].values, np.nan).astype(np.float64)
        low, high = (np.nan_to_num(limit) for limit in (np.nanmin(values, axis=0), np.nanmax(values, axis=0)))
        margin = np.where(high > low, MARGIN * (high - low), 1.0)
        limits = np.stack([low - margin, high + margin], axis=1)
    share = (np.arange(resolution) + 0.5) / resolution
    x, y = limits[:, :1] + share * (limits[:, 1:] - limits[:, :1])
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    return xr.Dataset({"box": (("axis", "limit"), limits), "grid": (("sample", "axis"), grid)})


def _result(*inputs: xr.DataArray, names: tuple[str, ...], resolution: int) -> xr.Dataset:
    found = dict(zip(names, inputs, strict=True))
    normal = found["weight"].values.astype(np.float64)
    offset = found["bias"].values.astype(np.float64) if "bias" in found else np.zeros(normal.shape[:2])
    ends = _ends(normal, offset, found["box"].values)
    length = np.sqrt((normal**2).sum(-1))
    direction = normal / length[..., None]
    cosine = (direction * direction[0]).sum(-1)
    sine = (direction * direction[0, :, ::-1] * [1, -1]).sum(-1)
    crossing = np.isfinite(ends).all((2, 3))
    variables: dict[str, Any] = {
        "normal": (("step", "unit", "axis"), normal),
        "offset": (("step", "unit"), offset),
        "ends": (("step", "unit", "end", "axis"), ends),
        "fraction_crossing": ("step", crossing.sum(1) / crossing.shape[1]),
        "distance": (("step", "unit"), abs(direction @ found["box"].values.mean(1) + offset / length)),
        "turned": (("step", "unit"), np.degrees(np.arctan2(abs(sine), cosine))),
        "box": (("axis", "limit"), found["box"].values),
    }
    if "output" in found:
        region = _classes(found["output"].values).reshape(-1, resolution, resolution)
        variables["region"] = (("step", "y", "x"), region)
    variables |= {name: (found[name].dims, found[name].values) for name in ("point", "target") if name in found}
    return xr.Dataset(variables, {"step": found["weight"]["step"]})


def _ends(normal: np.ndarray, offset: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Clip lines to a box (Liang and Barsky 1984): between which two points each is within both pairs of limits.

    Parameters
    ----------
    normal, offset
        The lines, (…, axis) and (…).
    box
        The limits, (axis, limit).

    Returns
    -------
    The points, (…, end, axis); NaN for lines that miss the box or have no direction.
    """
    length = np.sqrt((normal**2).sum(-1, keepdims=True))
    unit = normal / length
    foot = -offset[..., None] / length * unit
    along = np.stack([-unit[..., 1], unit[..., 0]], axis=-1)
    crossings = (box - foot[..., None]) / along[..., None]
    within = (box[:, 0] <= foot) & (foot <= box[:, 1])
    enter = np.where(along == 0, np.where(within, -np.inf, np.nan), crossings.min(-1)).max(-1)
    leave = np.where(along == 0, np.where(within, np.inf, np.nan), crossings.max(-1)).min(-1)
    at = np.where(enter < leave, np.stack([enter, leave]), np.nan)
    return foot[..., None, :] + np.moveaxis(at, 0, -1)[..., None] * along[..., None, :]


def _classes(outputs: np.ndarray) -> np.ndarray:
    """Give the class of each output, (…, unit) to (…)."""
    known = np.isfinite(outputs).all(-1)
    classes = outputs.argmax(-1) if outputs.shape[-1] > 1 else outputs[..., 0] > 0
    return np.where(known, classes, np.nan).astype(np.float32)
