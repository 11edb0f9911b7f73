"""Correlation of features, CKA between layers, and how representations change."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from scipy.special import gammaln

from trajlab.errors import BadSetting, MissingData
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
from trajlab.replays.observers.correlations import Correlations
from trajlab.replays.probe_kinds import RECORDED, probe_of
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.graph import map_blocks
from trajlab.statistics.correlation import (
    CHANGES,
    changes,
    cosine_matrix,
    cross_matrix,
    feature_matrix,
    features_of,
    sample_matrix,
)
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.units import on_one_probe

MATRICES = {"unit": "feature", "sample": "sample"}
"""What is correlated along each dim."""

_OVER = "over the features of both layers"
MEANINGS = {
    "signed": Meaning("mean correlation of features", "1", f"mean ρ {_OVER}"),
    "absolute": Meaning("mean absolute correlation of features", "1", f"mean |ρ| {_OVER}"),
    "absolute_null": Meaning(
        "mean absolute correlation by chance",
        "1",
        "Γ((n − 1)/2) / (√π Γ(n/2)), for independent normal features on n samples",
    ),
    "clipped": Meaning("mean clipped correlation of features", "1", f"mean max(ρ, 0) {_OVER}"),
    "cka": Meaning("CKA of layers", "1", "HSIC₁(K, L) / √(HSIC₁(K, K) HSIC₁(L, L)), K = XXᵀ, L = YYᵀ"),
    "cka_start": Meaning("CKA of a layer with itself at the first step", "1", "CKA(X_t, X_0)"),
    "cka_end": Meaning("CKA of a layer with itself at the last step", "1", "CKA(X_t, X_T)"),
    "matched_end": Meaning(
        "correlation of features matched with those of the last step", "1", "mean ρ over the pairs that maximize it"
    ),
    "matched_end_null": Meaning(
        "correlation of matched features by chance",
        "1",
        "mean of the same over shuffles of the samples at the last step",
    ),
    "matched_end_null_95": Meaning(
        "95 % quantile of the correlation of matched features by chance", "1", "95 % quantile over these shuffles"
    ),
    "own_end": Meaning("correlation of features with themselves at the last step", "1", "mean ρ(x_t, x_T) over units"),
    "kept_end": Meaning(
        "share of features matched with themselves", "1", "matched with the same unit / matched pairs", share=True
    ),
    "features": Meaning("features that vary", "features", "count"),
    "constant": Meaning("features that do not vary", "features", "count of finite features of variance 0"),
    "nonfinite": Meaning("activations that are NaN or Inf", "activations", "count over positions and units"),
    "feature_correlation": Meaning("correlation of features", "1", "ρ of two units over the probe"),
    "feature_cosine": Meaning("cosine of features", "1", "x·y / (|x|₂ |y|₂) of two units over the probe, not centered"),
    "feature_values": Meaning("features of the samples", "activation", "activation of a unit, averaged over positions"),
    "cross_correlation": Meaning("correlation of features of two layers", "1", "ρ of a unit of each over the probe"),
    "cross_covariance": Meaning(
        "covariance of features of two layers",
        "activation²",
        "Σ(x − x̄)(y − ȳ)/(n − 1) of a unit of each over the probe",
    ),
    "sample_correlation": Meaning("correlation of samples", "1", "ρ of two samples over the features of the layer"),
    "target": Meaning("target of the sample", "1", "as recorded with the probe", nominal=True),
}
MEANS = ("signed", "absolute", "clipped")
for _name in MEANS:
    MEANINGS[f"{_name}_off_diagonal"] = Meaning(
        MEANINGS[_name].long_name.replace("features", "different features"),
        "1",
        f"{MEANINGS[_name].definition}, without those of a feature with itself",
    )


def correlation(
    replay: Replay,
    probe: xr.Dataset | None = None,
    *,
    layers: Sequence[str] = (),
    kind: str = RECORDED,
    max_steps: int = 30,
    shuffles: int = 20,
    matrix_layer: str = "",
    matrix_layer_other: str = "",
    matrix_steps: Sequence[int] = (0, -1),
) -> xr.Dataset:
    """Correlate the features of all layers over the probe, and compare layers by CKA, also over training.

    Answers: are features redundant, which layers have similar representations, and when do these converge?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    probe
        The batch, for other kinds of inputs and for the targets of its samples.
    layers
        Names of layers, or patterns such as "layer1.*"; by default all activation modules, or the output of a network
        without any.
    kind
        Kind of inputs: "valid", the recorded examples; "train" or another recorded kind; "uniform" or "gaussian" noise;
        or "shuffled" pixels.
    max_steps
        Largest number of evenly spaced steps that are replayed, the first and the last included.
    shuffles
        Number of shuffles of the samples for the correlation of matched features by chance.
    matrix_layer
        Layer whose correlation matrices, of features and of samples, are kept.
    matrix_layer_other
        Another layer, with whose features those of `matrix_layer` are correlated one by one.
    matrix_steps
        Recorded steps at which these are kept; 0 is the first and -1 the last.

    Returns
    -------
    signed, absolute, clipped : (step, layer, layer_other)
        Mean over pairs of features, one of each layer, of the Pearson correlation ρ, of |ρ| and of max(ρ, 0). Within a
        layer, pairs of a feature with itself count, with ρ = 1.
    absolute_null : ()
        Expected |ρ| of independent normal features on as many samples. Independent features of other distributions
        come close, but those that are zero for nine samples in ten have a quarter less.
    signed_off_diagonal, absolute_off_diagonal, clipped_off_diagonal : (step, layer, layer_other)
        The same without pairs of a feature with itself. NaN within a layer of one feature.
    cka : (step, layer, layer_other)
        Linear centered kernel alignment, debiased: 1 for representations equal up to rotation and scale, about 0 (and
        as often below) for independent ones. Needs four samples; NaN for a layer whose HSIC estimate with itself is not
        positive.
    cka_start, cka_end : (step, layer)
        CKA of a layer with itself at the first and at the last step: how far the representation has changed, and how
        far it is from its final state.
    matched_end : (step, layer)
        Mean correlation with the features of the last step, matched one to one so that it is largest.
    matched_end_null, matched_end_null_95 : (step, layer)
        The same after shuffling the samples of one step: mean and 95 % quantile by chance.
    own_end, kept_end : (step, layer)
        Mean correlation of each feature with itself at the last step, and share of features matched with themselves.
    features, constant, nonfinite : (step, layer)
        Number of features included in the above; features of variance 0, which are excluded; and activations that are
        NaN or Inf, whose features are excluded, too.
    total_signed, …, total_nonfinite : (step)
        Means over all pairs of features of all layers, and total counts.
    feature_correlation : (step, unit, unit_other)
        Of `matrix_layer` only, at `matrix_steps`; NaN at other steps, and for excluded features.
    feature_cosine : (step, unit, unit_other)
        Their cosine without centering; NaN for a feature that is 0 everywhere or not finite.
    feature_values : (step, sample, unit)
        The features themselves, of the first 512 samples.
    cross_correlation, cross_covariance : (step, unit, unit_across)
        Of each unit of `matrix_layer` with each of `matrix_layer_other`, as `feature_correlation`; the covariance of
        constant features is 0.
    sample_correlation : (step, sample, sample_other)
        The same for two samples over the features, of the first 512 samples.
    target : (sample)
        The labels of these samples, if the probe has any.

    A feature is a unit, averaged over its positions: over the map of a channel, as in global average pooling, or over
    tokens. All features are correlated with all others at each step, which takes time quadratic in their number.

    Raises
    ------
    MissingData
        The run has no probe or names no model, or a step of `matrix_steps` was not recorded.
    BadSetting
        A pattern matches no module, a kind of inputs or a layer does not exist, or a number is out of range.

    References
    ----------
    CKA: Kornblith et al. 2019, arXiv:1905.00414, with the unbiased HSIC of Song et al. 2012 (JMLR 13, eq. 5) as in
    Nguyen et al. 2021, arXiv:2010.15327, here over the whole probe as one batch. Matched features: Li et al. 2015,
    arXiv:1511.07543.
    """
    if shuffles < 0:
        raise BadSetting(f"cannot use shuffles={shuffles}: choose 0 or more")
    if matrix_layer_other and not matrix_layer:
        raise BadSetting(f"cannot correlate {matrix_layer_other!r} with no layer; set matrix_layer, too")
    if kind != RECORDED and probe is None:
        raise MissingData(f"cannot replay inputs of the kind {kind!r}: the run has no probe; record with one")
    other_probe = {} if kind == RECORDED or probe is None else {"probe": probe_of(probe, kind)}
    activations = replay_layers(replay, layers, **other_probe)
    tables, units = observe(activations, Correlations()), units_of(activations)
    features = tables["features"]
    chosen, kept = chosen_steps(features, max_steps, matrix_steps if matrix_layer else ())
    ours = [tables[name].isel(step=chosen) for name in ("pairs", "counts")]
    result = as_one_task(_result, *ours, _changes(features, chosen, units, shuffles))
    result["absolute_null"] = xr.Variable((), _by_chance(features.sizes["sample"]))
    if matrix_layer:
        of_layer = features.data[:, :, units_slice(units, matrix_layer)]
        for dim, values, matrix in (
            ("unit", of_layer, feature_matrix),
            ("sample", of_layer[:, :MOST_SAMPLES], sample_matrix),
        ):
            matrix_of_steps = matrices(values, chosen, kept, (values.shape[2 if dim == "unit" else 1],) * 2, matrix)
            result[f"{MATRICES[dim]}_correlation"] = (("step", dim, f"{dim}_other"), matrix_of_steps)
        cosines = matrices(of_layer, chosen, kept, (of_layer.shape[2],) * 2, cosine_matrix)
        result["feature_cosine"] = (("step", "unit", "unit_other"), cosines)
        some = of_layer[:, :MOST_SAMPLES]
        result["feature_values"] = (("step", "sample", "unit"), matrices(some, chosen, kept, some.shape[1:], _rounded))
        if matrix_layer_other:
            across = features.data[:, :, units_slice(units, matrix_layer_other)]
            both, split = da.concatenate([of_layer, across], axis=2).rechunk({2: -1}), of_layer.shape[2]
            for name in ("correlation", "covariance"):
                work = partial(cross_matrix, split=split, covariance=name == "covariance")
                matrix_of_steps = matrices(both, chosen, kept, (split, across.shape[2]), work)
                result[f"cross_{name}"] = (("step", "unit", "unit_across"), matrix_of_steps)
        batch = other_probe.get("probe", probe)
        if batch is not None and "targets" in batch and batch["targets"].ndim == 1:
            result["target"] = ("sample", batch["targets"].data[:MOST_SAMPLES])
    names = {"matrix_layer": matrix_layer, "matrix_layer_other": matrix_layer_other}
    return annotate(result, MEANINGS, kind=kind, **names, **on_one_probe(tables.values()))


def _rounded(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


def _by_chance(samples: int) -> float:
    """Return the expected |ρ| of two independent normal features."""
    if samples < 2:
        return np.nan
    return float(np.exp(gammaln((samples - 1) / 2) - gammaln(samples / 2)) / np.sqrt(np.pi))


def _changes(features: xr.DataArray, chosen: list[int], units: Mapping[str, int], shuffles: int) -> xr.DataArray:
    """Compare some steps with the first and the last, (step, layer, `CHANGES`), a task a step; lazily."""
    now, start, end = (features.data[rows] for rows in (chosen, [0], [-1]))
    work: Callable[..., Any] = partial(_changed, units=tuple(units.values()), shuffles=shuffles)
    shape = ((1,) * len(chosen), (len(units),), (len(CHANGES),))
    compared = map_blocks(work, start, now, end, chunks=shape, dtype=float, meta=np.empty((0, 0, 0)))
    labels = {
        "step": features["step"].values[chosen],
        "layer": np.array(list(units), dtype=object),
        "column": list(CHANGES),
    }
    return xr.DataArray(compared, labels, ("step", "layer", "column"), "changes")


def _changed(
    start: np.ndarray, now: np.ndarray, end: np.ndarray, *, units: tuple[int, ...], shuffles: int
) -> np.ndarray:
    ends = np.cumsum([0, *units])
    rows = [
        changes(*(features_of(values[0, :, first:last]) for values in (start, now, end)), shuffles=shuffles)
        for first, last in zip(ends[:-1], ends[1:], strict=True)
    ]
    return np.array(rows).reshape(1, len(units), len(CHANGES))


def _result(pairs: xr.DataArray, counts: xr.DataArray, changed: xr.DataArray) -> xr.Dataset:
    sums, sizes = pairs.to_dataset("column"), counts.to_dataset("column")
    others = sizes["features"].rename(layer="layer_other")
    count = sizes["features"] * others
    same = xr.DataArray(np.eye(pairs.sizes["layer"]), dims=("layer", "layer_other")) * sizes["features"]
    sums["clipped"] = (sums["signed"] + sums["absolute"]) / 2
    variables: dict[Any, xr.DataArray] = {name: sums[name] / count for name in MEANS}
    variables |= {f"{name}_off_diagonal": (sums[name] - same) / (count - same) for name in MEANS}
    variables |= {"cka": sums["cka"], **changed.to_dataset("column").data_vars, **sizes.data_vars}
    both = ["layer", "layer_other"]
    for name in MEANS:
        all_of = sums[name].sum(both)
        variables[f"total_{name}"] = all_of / count.sum(both)
        variables[f"total_{name}_off_diagonal"] = (all_of - same.sum(both)) / (count - same).sum(both)
    variables |= {f"total_{name}": values.sum("layer") for name, values in sizes.items()}
    return xr.Dataset(variables)
