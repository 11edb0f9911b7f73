"""Invariance of layers to augmentation."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from trajlab.replays.augment import augmented
from trajlab.replays.feature_matrices import (
    MOST_SAMPLES,
    Replay,
    chosen_steps,
    matrices,
    replay_layers,
    units_of,
    units_slice,
)
from trajlab.replays.observe import observe
from trajlab.replays.observers.copies import Copies
from trajlab.replays.observers.pooled import Pooled
from trajlab.scan.as_one_task import as_one_task
from trajlab.statistics.correlation import feature_matrix, sample_matrix
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.units import on_one_probe

MEANINGS = {
    "invariance": Meaning("invariance to augmentation", "1", "1 − Σ within / Σ total, over the units of the layer"),
    "unit_invariance": Meaning("invariance of a unit to augmentation", "1", "1 − within / total"),
    "within": Meaning("variance over copies of a sample", "activation²", "mean over samples; sum over the units"),
    "total": Meaning("variance over copies of all samples", "activation²", "sum over the units"),
    "constant": Meaning("features that do not vary", "features", "count of finite ones with total = 0"),
    "nonfinite": Meaning("activations that are NaN or Inf", "activations", "count over copies, positions and units"),
    "feature_correlation": Meaning("correlation of features", "1", "ρ of two units over copies, mean over samples"),
    "sample_correlation": Meaning("correlation of copies", "1", "ρ of two copies over the features of the layer"),
    "position": Meaning("position of the sample in the probe", "samples", "counted from 0", nominal=True),
    "examples": Meaning("images", "range of the channel", "(x − min) / (max − min), of the channel over the probe"),
}
_PAIRS = {
    "features": ("different features", "over the copies of the sample"),
    "copies": ("different copies of a sample", "over the features"),
    "others": ("copies of different samples", "over the features"),
}
for _name, (_words, _over) in _PAIRS.items():
    for _kind, _word, _rho in (
        ("signed", "", "ρ"),
        ("absolute", "absolute ", "|ρ|"),
        ("clipped", "clipped ", "max(ρ, 0)"),
    ):
        MEANINGS[f"{_name}_{_kind}"] = Meaning(f"mean {_word}correlation of {_words}", "1", f"mean {_rho} {_over}")


def augmentation(
    replay: Replay,
    probe: xr.Dataset,
    *,
    layers: Sequence[str] = (),
    samples: Sequence[int] = (),
    copies: int = 300,
    seed: int = 0,
    max_steps: int = 10,
    matrix_layer: str = "",
    matrix_steps: Sequence[int] = (0, -1),
) -> xr.Dataset:
    """Invariance of each layer to augmentation, from its activations on augmented copies of images.

    Answers: which layers respond equally to shifted, rotated and recolored copies of an image, and since when?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    probe
        The batch, of images (sample, channel, y, x).
    layers
        Names of layers, or patterns such as "layer1.*"; by default all activation modules, or the output of a network
        without any.
    samples
        Positions of images in the probe; by default the first of each of the first three classes.
    copies
        Number of augmented copies of each image: affine maps, color jitter, blur, solarization and noise. They are made
        once for all steps, and held in memory.
    seed
        Seed of the augmentation.
    max_steps
        Largest number of evenly spaced steps that are replayed, the first and the last included; each costs a pass over
        all copies.
    matrix_layer
        Layer whose correlation matrices, of features and of copies, are kept.
    matrix_steps
        Recorded steps at which these are kept; 0 is the first and -1 the last.

    Returns
    -------
    invariance : (step, layer)
        1 where all copies of an image have equal activations, about 0 where images differ no more than copies of one.
    unit_invariance : (step, layer, unit)
        The same for each unit; NaN for a unit that does not vary. Rows of layers with fewer units end in NaN.
    within, total : (step, layer)
        Variances whose ratio it is, summed over the units: the variance over the copies of a sample, averaged over the
        samples, and that over all copies of all samples. For a single sample, the total is that within it plus the
        variance over the unaugmented samples of the probe.
    features_signed, features_absolute, features_clipped : (step, layer, original)
        Mean over pairs of different features of the Pearson correlation ρ over the copies of a sample, of |ρ| and of
        max(ρ, 0).
    copies_signed, copies_absolute, copies_clipped : (step, layer, original)
        The same for pairs of different copies of a sample, over the features.
    others_signed, others_absolute, others_clipped : (step, layer, original)
        The same for pairs of copies of different samples; NaN for a single sample.
    constant, nonfinite : (step, layer)
        Features that do not vary; and activations that are NaN or Inf, whose features are excluded.
    feature_correlation : (step, feature, feature_other)
        Of `matrix_layer` only, at `matrix_steps`, NaN at other steps; mean over the samples.
    sample_correlation : (step, copy, copy_other)
        The same for two copies over the features, of 512 copies at most, those of a sample side by side.
    position : (original)
        Positions in the probe of the augmented samples.
    total_invariance : (step)
        From the variances of all units of all layers, dominated by layers with large activations.
    examples : (original, example, channel, y, x)
        Each image and its first copies, to look at.

    A feature is a unit, averaged over its positions. Correlations over the features use uncentered units: units that
    are active in all images make all copies similar, so compare `copies_signed` with `others_signed`. The invariance
    depends on how different the images are: compare layers, steps and runs, but not results of different samples.

    Raises
    ------
    MissingData
        The run has no probe or names no model, or a step of `matrix_steps` was not recorded.
    BadSetting
        The inputs are no images, a pattern matches no module, a layer or sample does not exist, or a number is out of
        range.

    References
    ----------
    Augmentations: Grill et al. 2020, arXiv:2006.07733, appendix B. Invariance as the ratio of variances: Goodfellow et
    al. 2009, Measuring invariances in deep networks, in the form of an analysis of variance.
    """
    images = augmented(probe, samples, copies, seed)
    originals = images.sizes["original"]
    activations = replay_layers(replay, layers, probe=images[["inputs"]])
    tables, units = observe(activations, Copies(copies)), units_of(activations)
    chosen, kept = chosen_steps(tables["spread"], max_steps, matrix_steps if matrix_layer else ())
    ours = [table.isel(step=chosen) for table in tables.values()]
    if originals == 1:
        whole = observe(replay_layers(replay, layers), Copies(1))["spread"]
        ours.append(whole.isel(step=chosen))
    result = as_one_task(partial(_result, units=units), *ours)
    if matrix_layer:
        result = result.assign(_matrices(activations, matrix_layer, units, originals, chosen, kept))
    result = result.assign(images[["position", "examples"]].chunk())
    settings = {"copies": copies, "seed": seed, "matrix_layer": matrix_layer}
    return annotate(result, MEANINGS, **settings, **on_one_probe(tables.values()))


def _matrices(
    activations: Mapping[str, xr.DataArray], layer: str, units: Mapping[str, int], originals: int, chosen: list[int],
    kept: list[int],
) -> dict[str, Any]:  # fmt: skip
    units_slice(units, layer)
    pooled = observe(activations, Pooled())
    values = pooled[layer if layer in pooled else ""].data
    few = min(values.shape[1] // originals, max(1, MOST_SAMPLES // originals))
    features = matrices(values, chosen, kept, (units[layer],) * 2, partial(_features, originals=originals))
    copies = matrices(values, chosen, kept, (few * originals,) * 2, partial(_copies, originals=originals, few=few))
    return {
        "feature_correlation": (("step", "feature", "feature_other"), features),
        "sample_correlation": (("step", "copy", "copy_other"), copies),
    }


def _features(values: np.ndarray, *, originals: int) -> np.ndarray:
    """Return the correlations of features over copies, averaged over the samples, (unit, unit)."""
    correlations = np.stack([feature_matrix(copies) for copies in np.split(values, originals)])
    finite = np.isfinite(correlations)
    with np.errstate(invalid="ignore"):
        return (correlations.sum(0, where=finite) / finite.sum(0)).astype(np.float32)


def _copies(values: np.ndarray, *, originals: int, few: int) -> np.ndarray:
    """Correlate the first few copies of all samples, (copy, copy)."""
    return sample_matrix(np.concatenate([copies[:few] for copies in np.split(values, originals)]))


def _result(
    spread: xr.DataArray, alike: xr.DataArray, nonfinite: xr.DataArray, whole: xr.DataArray | None = None, *,
    units: Mapping[str, int],
) -> xr.Dataset:  # fmt: skip
    within, between = np.moveaxis(spread.values, -1, 0)
    between = between if whole is None else whole.values[..., 1]
    total = within + between
    shape = len(total), len(units), max(units.values())
    each = np.full(shape, np.nan)
    sums = np.empty((3, *shape[:2]))
    ends = np.cumsum([0, *units.values()])
    for layer, (first, last) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        a, b = within[:, first:last], total[:, first:last]
        each[:, layer, : last - first] = np.where(b > 0, 1 - a / b, np.nan)
        finite = np.isfinite(b)
        sums[:, :, layer] = [a.sum(1, where=finite), b.sum(1, where=finite), (b == 0).sum(1)]
    columns = alike.to_dataset("column")
    for name in _PAIRS:
        columns[f"{name}_clipped"] = (columns[f"{name}_signed"] + columns[f"{name}_absolute"]) / 2
    variables = {
        "invariance": 1 - sums[0] / sums[1],
        "unit_invariance": each,
        "within": sums[0],
        "total": sums[1],
        "constant": sums[2],
        "total_invariance": 1 - sums[0].sum(1) / sums[1].sum(1),
    }
    dims = "step", "layer", "unit"
    result = xr.Dataset({name: (dims[: values.ndim], values) for name, values in variables.items()}, columns.coords)
    result = result.assign({**columns.data_vars, "nonfinite": nonfinite})
    return result.assign_coords(units=("layer", list(units.values())))
