"""The filters of a layer as images."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.shown_steps import shown_steps

MEANINGS = {
    "kernel": Meaning("weight", "weight", "w_t, a filter as the image that it looks for"),
    "limit": Meaning("largest size of a weight", "weight", "max|w_t| over all filters and steps shown"),
    "norm": Meaning("norm of the filter", "weight", "|k_t|₂ over all channels"),
    "relative": Meaning("relative distance of the filter", "1", "|k_t − k_0|₂ / |k_0|₂, k_0 at the first step shown"),
    "neighbor_correlation": Meaning(
        "correlation of neighboring weights",
        "1",
        "Σ vv' / Σ (v² + v'²)/2 over pairs side by side or one above the other, v = w − mean of w",
    ),
    "neighbor_noise": Meaning(
        "correlation of neighbors in noise",
        "1",
        "1.96 / √pairs: 95 % of cases lie within, of independent weights",
    ),
    "neighbor_chance": Meaning(
        "correlation of neighbors by chance",
        "1",
        "95 % of cases lie below, if what is not along w_0 of the way from w_0 to w_t had random signs",
    ),
    "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count over the filters shown"),
}

NOISE = 1.96
"""Standard deviations within which a normal variable lies in 95 % of cases."""

ONE_SIDED = 1.645
"""Standard deviations below which it lies in 95 % of cases."""


def filters(
    weights: Mapping[str, xr.DataArray],
    probe: xr.Dataset | None = None,
    *,
    parameter: str = "",
    steps: Sequence[int] = (),
    max_steps: int = 60,
    max_filters: int = 64,
) -> xr.Dataset:
    """Show the filters of a layer as images, at chosen steps and on one scale.

    Answers: what do the filters of a layer look for, when did they find it, and which of them never changed?

    Parameters
    ----------
    weights
        Weights of parameters by name, dims (step, out, in, y, x), or (step, out, in, x) of convolutions over a line.
    probe
        The fixed batch; its images say what those rows of a matrix look like that are as long as an image.
    parameter
        The layer; by default the first convolution, or the first matrix on the pixels of the probe.
    steps
        Recorded steps to show; by default evenly spaced ones.
    max_steps
        Number of evenly spaced steps at most.
    max_filters
        Filters, and channels of each, that are shown at most: the first ones.

    Returns
    -------
    kernel : (step, filter, channel, y, x)
        The filters; three channels are red, green and blue.
    limit : ()
        The images of all steps run from -limit to limit, so that they can be compared.
    norm, relative : (step, filter)
        Size of each filter, and how far it went from what it was at the first of the steps.
    neighbor_correlation : (step)
        How alike weights are that are neighbors in the image of a filter and channel, over all channels of the
        filters shown, after their common mean is taken off: about 0 in noise, 1 in smooth filters, -1 in a
        checkerboard. NaN without neighbors, or if all weights are equal.
    neighbor_noise : ()
        Its size at most, in 95 % of cases, if the weights were independent.
    neighbor_chance : (step)
        The correlation below which 95 % of cases lie, if training moved each weight as far as it did from the first of
        the steps, whichever way its neighbors go: a way off the direction of the weights at that step, of random signs.
        Above it training made neighbors alike, whatever they were at the start.
    nonfinite : (step)
        Entries that are NaN or Inf. They are left out of all else.

    Raises
    ------
    MissingData
        There are no filters, or a step was not recorded.
    BadSetting
        The parameter is no layer of filters, or a setting is not positive.

    References
    ----------
    First-layer filters as images: Krizhevsky, Sutskever and Hinton 2012, figure 3.
    """
    if max_filters < 1:
        raise BadSetting(f"max_filters={max_filters} is out of range; choose 1 or more.")
    sample = () if probe is None or "inputs" not in probe else probe["inputs"].shape[1:]
    images = {name: _image(array, sample) for name, array in weights.items()}
    known = [name for name, shape in images.items() if shape]
    if not known:
        raise MissingData(
            "filters were asked for; there is neither a convolution nor a matrix on the pixels of a probe, of which "
            "all entries were recorded. Name a run with one."
        )
    known.sort(key=lambda name: weights[name].ndim < 4)
    name = parameter or known[0]
    if name not in known:
        raise BadSetting(f"the filters of {name!r} were asked for; there are those of {', '.join(known)}. Choose one.")
    life = weights[name]
    life = life.isel(step=shown_steps(life, steps, max_steps), out=slice(max_filters))
    result = as_one_task(partial(_result, image=images[name], most=max_filters), life)
    return annotate(result, MEANINGS, parameter=name, filters=weights[name].sizes["out"])


def _image(array: xr.DataArray, sample: tuple[int, ...]) -> tuple[int, ...]:
    """Give (channel, y, x) of what a row of a parameter looks like; empty if it is no image."""
    if array.dims == ("step", "out", "in", "y", "x"):
        return array.shape[2:] if array.size else ()
    if array.dims == ("step", "out", "in", "x") and array.attrs.get("kind", "conv") == "conv":
        return (array.sizes["in"], 1, array.sizes["x"]) if array.size else ()
    if array.dims == ("step", "out", "in") and len(sample) in (2, 3) and prod(sample) == array.sizes["in"]:
        return (*(1,) * (3 - len(sample)), *sample)
    return ()


def _result(life: xr.DataArray, *, image: tuple[int, ...], most: int) -> xr.Dataset:
    kernels = life.values.reshape(*life.shape[:2], *image)
    rows = kernels.reshape(*life.shape[:2], -1).astype(np.float64)
    finite = np.isfinite(rows)
    both = finite & finite[:1]
    norm = np.sqrt((rows**2).sum(-1, where=finite))
    distance = np.sqrt(((rows - rows[:1]) ** 2).sum(-1, where=both))
    start = np.sqrt((np.broadcast_to(rows[:1], rows.shape) ** 2).sum(-1, where=both))
    shown = kernels[:, :, :most]
    alike, chance, pairs = _neighbors(kernels)
    limit = np.max(abs(shown), where=np.isfinite(shown), initial=-np.inf)
    return xr.Dataset(
        {
            "kernel": (("step", "filter", "channel", "y", "x"), shown),
            "limit": ((), np.float64(limit if limit >= 0 else np.nan)),
            "norm": (("step", "filter"), np.where(finite.any(-1), norm, np.nan)),
            "relative": (("step", "filter"), np.where(both.any(-1), distance / start, np.nan)),
            "neighbor_correlation": ("step", alike),
            "neighbor_noise": ((), np.float64(NOISE / np.sqrt(pairs) if pairs else np.nan)),
            "neighbor_chance": ("step", chance),
            "nonfinite": ("step", (~finite).sum((1, 2))),
        },
        {"step": life["step"], "filter": np.arange(life.shape[1])},
    )


def _neighbors(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Correlate neighbors in images, (step, …, y, x), whose common mean is taken off.

    Returns
    -------
    The correlation at each step, what it would be at most in 95 % of cases, and the pairs of neighbors of a step.
    """
    finite = np.isfinite(kernels)
    inner = tuple(range(1, kernels.ndim))
    values = np.where(finite, kernels, 0.0).astype(np.float64)
    values -= values.sum(inner, keepdims=True) / finite.sum(inner, keepdims=True)
    values[~finite] = 0.0
    squares = (values**2 * _beside(finite)).sum(inner) / 2
    alike = (values * _beside(values)).sum(inner) / 2 / squares

    start = np.where(finite, values[:1], 0.0)
    size = (start**2).sum(inner, keepdims=True)
    kept = (start * values).sum(inner, keepdims=True) / np.where(size > 0, size, 1.0) * start
    way = (values - kept) ** 2
    expected = (kept * _beside(kept)).sum(inner) / 2
    variance = (way * (_beside(kept) ** 2 + _beside(way) / 2)).sum(inner)
    chance = (expected + ONE_SIDED * np.sqrt(variance)) / squares
    return alike, chance, float(_beside(np.ones(kernels.shape[1:])).sum() / 2)


def _beside(values: np.ndarray) -> np.ndarray:
    """Add up the neighbors of each pixel, side by side and one above the other, (…, y, x)."""
    wide = np.pad(values.astype(np.float64), [(0, 0)] * (values.ndim - 2) + [(1, 1)] * 2)
    return wide[..., 1:-1, 2:] + wide[..., 1:-1, :-2] + wide[..., 2:, 1:-1] + wide[..., :-2, 1:-1]
