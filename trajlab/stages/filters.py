"""The filters of a layer as images."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.select_steps import select_steps
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.shown_steps import shown_steps

MEANINGS = {
    "kernel": Meaning("weight", "weight", "w_t, a filter as the image that excites it most"),
    "limit": Meaning("largest size of a weight", "weight", "max|w_t| over all filters and steps shown"),
    "norm": Meaning("norm of the filter", "weight", "|k_t|₂ over all channels"),
    "relative": Meaning("relative distance of the filter", "1", "|k_t − k_0|₂ / |k_0|₂, k_0 at the first step shown"),
    "neighbor_correlation": Meaning(
        "correlation of neighboring weights",
        "1",
        "Σ vv' / Σ (v² + v'²)/2 over horizontal and vertical neighbors, v = w − mean of w",
    ),
    "neighbor_noise": Meaning(
        "correlation of neighbors in noise",
        "1",
        "1.96 / √pairs, which bounds 95 % of cases if weights are independent",
    ),
    "neighbor_chance": Meaning(
        "correlation of neighbors by chance",
        "1",
        "95 % quantile if the part of w_t − w_0 orthogonal to w_0 had random signs",
    ),
    "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count over the filters shown"),
}

NOISE = 1.96
"""Two-sided 95 % quantile of the standard normal distribution."""

ONE_SIDED = 1.645
"""One-sided 95 % quantile of the standard normal distribution."""


SIDE = 512
"""Rows and columns of a matrix that are shown at most."""


def filters(
    weights: Mapping[str, xr.DataArray],
    probe: xr.Dataset | None = None,
    *,
    parameter: str = "",
    steps: Sequence[int] = (),
    max_steps: int = 60,
    max_filters: int = 64,
    color: bool = True,
) -> xr.Dataset:
    """Show the filters of a layer as images, at chosen steps and on one scale.

    Answers: which patterns do the filters of a layer detect, when did these appear, and which filters never changed?

    Parameters
    ----------
    weights
        Weights of parameters by name, dims (step, out, in, y, x), (step, out, in, x) of convolutions over a line, or
        (step, out, in, z, y, x) of those over a volume.
    probe
        The fixed batch; rows of a matrix that are as long as one of its images are shown as images.
    parameter
        Weight of the layer; by default that of the first convolution over images, then of any, or the first matrix over
        the pixels of the probe. Of another matrix, which has to be named, the whole is one image, outputs by inputs, of
        the first 512 of each.
    steps
        Recorded steps to show; by default evenly spaced ones.
    max_steps
        Largest number of evenly spaced steps.
    max_filters
        Largest number of filters, and of channels of each; the first ones are shown.
    color
        Whether figures show three channels as red, green and blue; else each channel is an image in gray.

    Returns
    -------
    kernel : (step, filter, channel, y, x)
        The filters; figures show three channels as red, green and blue, or each in gray. The slices of a filter over a
        volume are stacked along y, the attr `slices` of them.
    limit : ()
        Images of all steps share the scale from -limit to limit.
    norm, relative : (step, filter)
        Norm of each filter, and its relative distance from the first step shown; NaN where one step alone is shown.
    neighbor_correlation : (step)
        Correlation of weights that are neighbors in an image or slice, over all channels of the filters shown, after
        subtracting their common mean: about 0 for noise, 1 for smooth filters, -1 for a checkerboard. NaN without
        neighbors, or if all weights are equal.
    neighbor_noise : ()
        Bound on its size in 95 % of cases if the weights were independent.
    neighbor_chance : (step)
        95 % quantile of the correlation if training had moved each weight as far from the first step shown, but with
        random signs in the part orthogonal to the weights at that step. Above it, training made neighbors similar,
        however similar they were at the start.
    nonfinite : (step)
        Entries that are NaN or Inf. All else excludes them.

    Raises
    ------
    MissingData
        The run has no filters, or a step was not recorded.
    BadSetting
        The parameter has no filters, or a setting is not positive.

    References
    ----------
    First-layer filters as images: Krizhevsky, Sutskever and Hinton 2012, figure 3.
    """
    if max_filters < 1:
        raise BadSetting(f"cannot show max_filters={max_filters} filters: choose 1 or more")
    sample = () if probe is None or "inputs" not in probe else probe["inputs"].shape[1:]
    images = {name: _image(array, sample) for name, array in weights.items()}
    names = [name for name, shape in images.items() if shape]
    if not names and not parameter:
        raise MissingData(
            "cannot show filters: the run has neither a convolution nor a matrix over the pixels of a probe with all "
            "entries recorded; name a run with one, or a matrix with --parameter"
        )
    names.sort(key=lambda name: _order(name, weights[name]))
    name = parameter or names[0]
    matrices = [key for key, array in weights.items() if array.dims == ("step", "out", "in") and key not in names]
    if name not in [*names, *matrices]:
        raise BadSetting(f"cannot show the filters of {name!r}: choose one of {', '.join([*names, *matrices])}")
    weight = weights[name]
    weight = select_steps(weight, shown_steps(weight, steps, max_steps))
    if name in matrices:
        weight = weight.isel({"out": slice(SIDE), "in": slice(SIDE)}).expand_dims("matrix", 1)
        images[name] = (1, *weight.shape[2:])
    else:
        weight = weight.isel(out=slice(max_filters))
    result = as_one_task(partial(_result, image=images[name], max_channels=max_filters), weight)
    slices = {"slices": images[name][1]} if len(images[name]) > 3 else {}
    filters_of_weight = 1 if name in matrices else weights[name].sizes["out"]
    shape = {"matrix": list(weights[name].shape[1:])} if name in matrices else {}
    settings = {"parameter": name, "filters": filters_of_weight, "color": int(color)}
    return annotate(result, MEANINGS, **settings, **slices, **shape)


def _order(name: str, array: xr.DataArray) -> tuple[bool, bool, bool]:
    """Return a sort key: convolutions over images, then over lines and volumes, then matrices; embeddings last."""
    return array.ndim < 4, not name.endswith("weight") and array.ndim == 4, array.ndim != 5


def _image(array: xr.DataArray, sample: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape (channel, y, x) or (channel, z, y, x) of a row of a parameter as images; empty if it is none."""
    if array.dims in (("step", "out", "in", "y", "x"), ("step", "out", "in", "z", "y", "x")):
        return array.shape[2:] if array.size else ()
    if array.dims == ("step", "out", "in", "x") and array.attrs.get("kind", "conv") == "conv":
        return (array.sizes["in"], 1, array.sizes["x"]) if array.size else ()
    if array.dims == ("step", "out", "in") and len(sample) in (2, 3) and prod(sample) == array.sizes["in"]:
        return (*(1,) * (3 - len(sample)), *sample)
    return ()


def _result(weight: xr.DataArray, *, image: tuple[int, ...], max_channels: int) -> xr.Dataset:
    kernels = weight.values.reshape(*weight.shape[:2], *image)
    rows = kernels.reshape(*weight.shape[:2], -1).astype(np.float64)
    finite = np.isfinite(rows)
    both = finite & finite[:1]
    norm = np.sqrt((rows**2).sum(-1, where=finite))
    distance = np.sqrt(((rows - rows[:1]) ** 2).sum(-1, where=both))
    start = np.sqrt((np.broadcast_to(rows[:1], rows.shape) ** 2).sum(-1, where=both))
    shown = kernels[:, :, :max_channels]
    shown = shown.reshape(*shown.shape[:3], -1, shown.shape[-1])
    alone = len(rows) < 2
    correlation, chance, pairs = _neighbors(kernels)
    limit = np.max(abs(shown), where=np.isfinite(shown), initial=-np.inf)
    return xr.Dataset(
        {
            "kernel": (("step", "filter", "channel", "y", "x"), shown),
            "limit": ((), np.float64(limit if limit >= 0 else np.nan)),
            "norm": (("step", "filter"), np.where(finite.any(-1), norm, np.nan)),
            "relative": (("step", "filter"), np.where(both.any(-1) & (not alone), distance / start, np.nan)),
            "neighbor_correlation": ("step", correlation),
            "neighbor_noise": ((), np.float64(NOISE / np.sqrt(pairs) if pairs else np.nan)),
            "neighbor_chance": ("step", chance),
            "nonfinite": ("step", (~finite).sum((1, 2))),
        },
        {"step": weight["step"], "filter": np.arange(weight.shape[1])},
    )


def _neighbors(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Correlate neighbors in images, (step, …, y, x), after subtracting their common mean.

    Returns
    -------
    The correlation at each step, its 95 % quantile by chance, and the number of pairs of neighbors of a step.
    """
    finite = np.isfinite(kernels)
    inner = tuple(range(1, kernels.ndim))
    values = np.where(finite, kernels, 0.0).astype(np.float64)
    values -= values.sum(inner, keepdims=True) / finite.sum(inner, keepdims=True)
    values[~finite] = 0.0
    squares = (values**2 * _beside(finite)).sum(inner) / 2
    correlation = (values * _beside(values)).sum(inner) / 2 / squares

    start = np.where(finite, values[:1], 0.0)
    size = (start**2).sum(inner, keepdims=True)
    kept = (start * values).sum(inner, keepdims=True) / np.where(size > 0, size, 1.0) * start
    orthogonal = (values - kept) ** 2
    expected = (kept * _beside(kept)).sum(inner) / 2
    variance = (orthogonal * (_beside(kept) ** 2 + _beside(orthogonal) / 2)).sum(inner)
    chance = (expected + ONE_SIDED * np.sqrt(variance)) / squares
    return correlation, chance, float(_beside(np.ones(kernels.shape[1:])).sum() / 2)


def _beside(values: np.ndarray) -> np.ndarray:
    """Sum the horizontal and vertical neighbors of each pixel, (…, y, x)."""
    wide = np.pad(values.astype(np.float64), [(0, 0)] * (values.ndim - 2) + [(1, 1)] * 2)
    return wide[..., 1:-1, 2:] + wide[..., 1:-1, :-2] + wide[..., 2:, 1:-1] + wide[..., :-2, 1:-1]
