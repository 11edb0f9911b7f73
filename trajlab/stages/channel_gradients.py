"""Gradients that channels of a convolution emit and absorb."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observe import observe
from trajlab.replays.observers.channel_gradients import ChannelGradients, EachChannelGradient, convolution_of
from trajlab.replays.observers.channel_statistics import QUANTILES
from trajlab.replays.observers.gradient_histogram import GradientHistogram, bin_edges
from trajlab.replays.observers.observer import Layer, Objective
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.local_gradients import OF_INPUTS, OF_OUTPUTS
from trajlab.statistics.result import Meaning, annotate, stride
from trajlab.statistics.tasks import TASKS
from trajlab.statistics.units import on_one_probe

OBJECTIVES = {"loss": "loss", "logit": "logit of the label", "p_logit": "p_y · logit_y of the label"}
"""Objectives that can be differentiated, beside the losses of `TASKS`."""

QUANTITIES = {
    "em_sum": Meaning("emission", "gradient", "Σ_j ‖LG_ij‖"),
    "em_l2": Meaning("emission, L2", "gradient", "sqrt(Σ_j ‖LG_ij‖²)"),
    "ab_out": Meaning("gradient at the output", "gradient", "‖G_i‖"),
    "ab_sum": Meaning("absorption", "gradient", "Σ_i ‖LG_ij‖"),
    "ab_l2": Meaning("absorption, L2", "gradient", "sqrt(Σ_i ‖LG_ij‖²)"),
    "ab_net": Meaning("net absorption", "gradient", "‖Σ_i LG_ij‖"),
    "em_sum_l1": Meaning("emission, L1", "gradient", "Σ_j |LG_ij|"),
    "ab_out_l1": Meaning("gradient at the output, L1", "gradient", "|G_i|"),
    "ab_sum_l1": Meaning("absorption, L1", "gradient", "Σ_i |LG_ij|"),
    "ab_net_l1": Meaning("net absorption, L1", "gradient", "|Σ_i LG_ij|"),
}
"""Quantities of a channel and a sample. ‖·‖ is the L2 norm over the positions of a map, |·| the sum of sizes over them.
"""

COMPARED = ("em_sum", "ab_sum")
"""Emission and absorption, whose variances over the samples are compared."""

MEANINGS: dict[str, Meaning] = {}
for _name, _one in QUANTITIES.items():
    _formula = f"{_one.definition}, of a sample"
    MEANINGS[_name] = Meaning(f"{_one.long_name}, mean over samples", _one.units, f"mean over samples of {_formula}")
    MEANINGS |= {
        f"{_name}_variance": Meaning(
            f"variance of {_one.long_name} over samples", "gradient²", f"population variance over samples of {_formula}"
        ),
        f"{_name}_quantile": Meaning(
            f"quantile of {_one.long_name} over samples", _one.units, f"quantile over samples of {_formula}"
        ),
        f"{_name}_sample": Meaning(_one.long_name, _one.units, _formula),
        f"{_name}_channel_mean": Meaning(
            f"{_one.long_name}, mean over channels", _one.units, f"mean over channels of {_name}"
        ),
        f"{_name}_channel_variance": Meaning(
            f"variance of {_one.long_name} over channels", "gradient²", f"population variance over channels of {_name}"
        ),
        f"{_name}_channel_cv": Meaning(
            f"coefficient of variation of {_one.long_name} over channels",
            "1",
            f"standard deviation / mean over channels of {_name}",
        ),
        f"{_name}_channel_noise": Meaning(
            f"coefficient of variation of {_one.long_name} for identical channels",
            "1",
            f"95 % quantile of {_name}_channel_cv if the channels of each sample were shuffled, from its first two "
            "moments as those of a multiple of χ²",
        ),
    }
for _name in COMPARED:
    _words = QUANTITIES[_name].long_name
    MEANINGS |= {
        f"{_name}_variance_channel_cv": Meaning(
            f"coefficient of variation over channels of the variance of {_words} over samples",
            "1",
            f"standard deviation / mean over channels of {_name}_variance",
        ),
        f"{_name}_variance_channel_noise": Meaning(
            f"coefficient of variation over channels of the variance of {_words} over samples for identical channels",
            "1",
            f"largest {_name}_variance_channel_cv of 19 times that the channels of each sample were shuffled",
        ),
    }
MEANINGS |= {
    "cv_ratio": Meaning("variation of emission relative to absorption", "1", "em_sum_channel_cv / ab_sum_channel_cv"),
    "net_cv_ratio": Meaning(
        "variation of emission relative to net absorption", "1", "em_sum_channel_cv / ab_net_channel_cv"
    ),
    "variance_ratio": Meaning(
        "variance of emission over samples relative to absorption",
        "1",
        "mean over channels of em_sum_variance / mean over channels of ab_sum_variance",
    ),
    "relative_variance_ratio": Meaning(
        "squared coefficient of variation of emission over samples relative to absorption",
        "1",
        "mean over channels of em_sum_variance / em_sum² / the same of ab_sum",
    ),
    "gradient_histogram": Meaning(
        "elements of the gradient at the output, by bin",
        "elements",
        "count over samples and positions of G_i from bin_low to bin_high",
    ),
    "filter_norm": Meaning("norm of the filter", "weight", "|K_i|₂"),
    "filter_norm_channel_cv": Meaning(
        "coefficient of variation of the norm of the filter over channels",
        "1",
        "standard deviation / mean over channels of filter_norm",
    ),
    "em_per_norm_channel_cv": Meaning(
        "coefficient of variation of emission per norm of the filter over channels",
        "1",
        "standard deviation / mean over channels of em_sum / filter_norm",
    ),
    "out_correlation": Meaning(
        "correlation of emission with the gradient at the output", "1", "Pearson of em_sum and ab_out over channels"
    ),
    "norm_correlation": Meaning(
        "correlation of emission with the norm of the filter", "1", "Pearson of em_sum and filter_norm over channels"
    ),
    "median_variance_ratio": Meaning(
        "variance of emission over samples relative to absorption, median layer",
        "1",
        "median over layers of variance_ratio",
    ),
    "median_cv_ratio": Meaning(
        "variation of emission relative to absorption, median layer", "1", "median over layers of cv_ratio"
    ),
    "median_norm_correlation": Meaning(
        "correlation of emission with the norm of the filter, median layer",
        "1",
        "median over layers of norm_correlation",
    ),
    "nonfinite": Meaning("values that are NaN or Inf", "values", "count over quantities, samples and channels"),
}


def channel_gradients(
    replay: Callable[..., Any],
    probe: xr.Dataset,
    *,
    objective: str = "loss",
    layers: Sequence[str] = (),
    per_sample: bool = False,
    mode: str = "eval",
    histogram: bool = False,
) -> xr.Dataset:
    """Emission of gradients by output channels of convolutions to their inputs, and absorption by input channels.

    Answers: which channels emit and absorb the gradient, how unevenly, and is that more than the size of the filters?

    With V = conv(A, K), G = ∂L/∂V and the local gradient LG_ij the transposed convolution of G_i with K_ij: the
    gradient from output channel i to input channel j. ‖·‖ is the L2 norm over the positions of a map, and |·| the sum
    of absolute values over them; all for each sample by itself.

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    probe
        The batch with its `targets`.
    objective
        What is differentiated: the `loss` that the targets tell, as in `evaluation`, or one that is named
        (cross_entropy, binary, multilabel, mse), the `logit` of the label, or `p_logit`, that logit times its
        probability, which counts as a constant. The logit of the negative label of a single output is −z.
    layers
        Names or patterns of convolutions and linear layers; by default all convolutions. A linear layer is a
        convolution of 1×1 kernels: LG_ij = G_i K_ij.
    per_sample
        Whether to return the values of each sample, too.
    mode
        Mode of batch normalization: `eval`, with the running statistics, or `train`, with those of each sample alone,
        as in training mode with a batch of one.
    histogram
        Whether to count the elements of the gradient at the output of each channel, too.

    Returns
    -------
    em_sum, em_l2, ab_out : (step, layer, unit)
        For each output channel Σ_j ‖LG_ij‖, sqrt(Σ_j ‖LG_ij‖²) and ‖G_i‖, averaged over the samples. Rows of layers
        with fewer channels end in NaN.
    ab_sum, ab_l2, ab_net : (step, layer, input_unit)
        For each input channel Σ_i ‖LG_ij‖, sqrt(Σ_i ‖LG_ij‖²) and ‖Σ_i LG_ij‖, averaged likewise. The last is the norm
        of ∂L/∂A through this convolution; other modules that read A may add to it.
    em_sum_l1, ab_out_l1, ab_sum_l1, ab_net_l1 : (step, layer, unit or input_unit)
        Σ_j |LG_ij|, |G_i|, Σ_i |LG_ij| and |Σ_i LG_ij|: the same with sums of absolute values in place of norms.
    …_variance : (step, layer, unit or input_unit)
        Population variance over the samples.
    …_quantile : (step, layer, unit or input_unit, quantile)
        Minimum, lower quartile, median, upper quartile and maximum over the samples.
    …_sample : (step, layer, sample, unit or input_unit)
        The values of each sample, with `per_sample`.
    …_channel_mean, …_channel_variance, …_channel_cv : (step, layer)
        Mean, population variance and coefficient of variation over the channels of the mean over samples; a single
        channel has no coefficient, NaN.
    …_channel_noise : (step, layer)
        95 % quantile of the coefficient of variation if the channels of each sample were shuffled, as for identical
        channels. What scales all channels of a sample together, as its loss does, does not matter. NaN for a single
        sample or channel; samples with NaN or Inf in any channel are excluded.
    cv_ratio, net_cv_ratio : (step, layer)
        Coefficient of variation of `em_sum` divided by that of `ab_sum`, and of `ab_net`: above 1 where emission varies
        more between channels than absorption.
    em_sum_variance_channel_cv, ab_sum_variance_channel_cv : (step, layer)
        Coefficient of variation over the channels of the variance over the samples: whether channels of one layer
        differ in variance.
    em_sum_variance_channel_noise, ab_sum_variance_channel_noise : (step, layer)
        The largest of 19 such coefficients after shuffling the channels of each sample: identical channels exceed it in
        one case of 20. NaN as for `…_channel_noise`.
    variance_ratio, relative_variance_ratio : (step, layer)
        Variance over the samples of `em_sum`, averaged over the channels, divided by that of `ab_sum`: above 1 where a
        channel's emission varies more from sample to sample than its absorption. The latter divides each variance by
        the squared mean of its channel first. NaN for a single sample.
    gradient_histogram : (step, layer, unit, bin)
        With `histogram`, the elements of G_i in each bin, over samples and positions. Bins have edges at powers of two,
        by sign, with those below 2⁻³², zeros among them, in the middle one; their ends are in `bin_low` and `bin_high`.
    filter_norm : (step, layer, unit)
        |K_i|₂.
    filter_norm_channel_cv, em_per_norm_channel_cv : (step, layer)
        Coefficient of variation over the channels of `filter_norm`, and of `em_sum` / `filter_norm`: how much norms
        differ, and how much emission differs after dividing by the norm.
    norm_correlation : (step, layer)
        Pearson correlation of `em_sum` and `filter_norm` over the output channels: how far the size of the filters
        explains differences in emission.
    out_correlation : (step, layer)
        Pearson correlation of `em_sum` and `ab_out` over the output channels: how far the gradient at the output
        explains them.
    median_cv_ratio, median_variance_ratio, median_norm_correlation : (step)
        Median over the layers.
    nonfinite : (step, layer)
        Values of a sample and channel that are NaN or Inf, which all else excludes. A map G_i that is 0 everywhere
        emits 0, whatever its filter.

    `em_l2`, `ab_out` and `ab_net` are the norms published with "Distributions in deep neural networks" (fxnnxc/hex,
    experiment 3), of `p_logit` in mode `train`; `em_sum` and `ab_sum` are its equations of emission and absorption.

    Groups of channels emit to their own inputs only. Local gradients are float32; sums over runs of at most 256
    positions and over output channels too, all others float64: sums are good to about 1e-6 of their size, `ab_net` to
    that of the terms it sums.

    Raises
    ------
    MissingData
        The network has no convolution and `layers` names none, or the probe has no targets.
    BadSetting
        The objective or the mode does not exist, a named layer is neither a convolution nor linear, or the mode is
        `train` in a network without batch normalization, or with maps of one position before one.
    """
    if objective not in OBJECTIVES and objective not in TASKS:
        raise BadSetting(
            f"cannot differentiate objective={objective!r}: choose one of {', '.join((*OBJECTIVES, *TASKS))}"
        )
    if "targets" not in probe:
        raise MissingData(
            f"cannot differentiate the {OBJECTIVES.get(objective, 'loss')}: the probe has no targets; "
            "record with Recorder(probe=(inputs, targets))"
        )
    replayed = replay(layers=list(layers), mode=mode) if layers else replay(of="convolutions", mode=mode)
    chosen = replayed.layers
    if not chosen:
        raise MissingData(
            "cannot find convolutions: the network calls no convolution; name linear layers with --layers (layers= in "
            "Python)"
        )
    for layer in chosen:
        convolution_of(layer)
    wanted = Objective(task=objective) if objective in TASKS else Objective(objective)
    observer = (EachChannelGradient if per_sample else ChannelGradients)(wanted)
    observed = observe(replayed, observer)
    tables = {name: table for name, table in observed.items() if not name.endswith("|sample")}
    tables = {name: table.chunk(-1) for name, table in tables.items()}
    result = as_one_task(
        partial(_result, keys=tuple(tables), layers=chosen, samples=replayed.samples), *tables.values()
    )
    if per_sample:
        result = result.assign(dict(_each(observed, chosen)))
    if histogram:
        counts = observe(replayed, GradientHistogram(wanted))
        edges = bin_edges()
        result = result.assign(gradient_histogram=_stacked([counts[f"{layer.name}|histogram"] for layer in chosen]))
        result = result.assign_coords(bin_low=("bin", edges[:-1]), bin_high=("bin", edges[1:]))
    return annotate(result, MEANINGS, objective=objective, mode=mode, **on_one_probe(tables.values()))


def _result(*tables: xr.DataArray, keys: tuple[str, ...], layers: tuple[Layer, ...], samples: int) -> xr.Dataset:
    by_layer = dict(zip(keys, tables, strict=True))
    result: dict[str, xr.DataArray] = {}
    for dim, names in (("unit", OF_OUTPUTS), ("input_unit", OF_INPUTS)):
        whole = _padded([by_layer[f"{layer.name}|{dim}"] for layer in layers], dim)
        noise = xr.concat([by_layer[f"{layer.name}|{dim}|alike"] for layer in layers], "layer").transpose("step", ...)
        for name in names:
            mean, variance, *quantiles = whole.sel(quantity=name, drop=True).transpose("statistic", ...)
            levels = xr.DataArray(list(QUANTILES), dims="quantile", attrs={"long_name": "quantile", "units": "1"})
            result |= {
                name: mean.drop_vars("statistic"),
                f"{name}_variance": variance.drop_vars("statistic"),
                f"{name}_quantile": xr.concat(
                    [quantile_table.drop_vars("statistic") for quantile_table in quantiles], levels.rename("quantile")
                ).transpose(..., "quantile"),
            }
            result |= {f"{name}_channel_{key}": array for key, array in _over_channels(result[name], dim).items()}
            result[f"{name}_channel_noise"] = noise.sel(quantity=name, drop=True)
        name = names[0]
        result[f"{name}_variance_channel_cv"] = _over_channels(result[f"{name}_variance"], dim)["cv"]
        bounds = [by_layer[f"{layer.name}|{dim}|variance_alike"] for layer in layers]
        result[f"{name}_variance_channel_noise"] = xr.concat(bounds, "layer").transpose("step", ...)
    norm = _padded([by_layer[f"{layer.name}|norm"] for layer in layers], "unit")
    result["cv_ratio"] = result["em_sum_channel_cv"] / result["ab_sum_channel_cv"]
    result["net_cv_ratio"] = result["em_sum_channel_cv"] / result["ab_net_channel_cv"]
    result["filter_norm"] = norm
    result["filter_norm_channel_cv"] = _over_channels(norm, "unit")["cv"]
    result["em_per_norm_channel_cv"] = _over_channels(result["em_sum"] / norm, "unit")["cv"]
    result["norm_correlation"] = _correlation(result["em_sum"], norm, "unit")
    result["out_correlation"] = _correlation(result["em_sum"], result["ab_out"], "unit")
    result |= _over_samples(result, several=samples > 1)
    medians = ("cv_ratio", "variance_ratio", "norm_correlation")
    result |= {f"median_{name}": result[name].median("layer") for name in medians}
    result["nonfinite"] = xr.concat([by_layer[f"{layer.name}|nonfinite"] for layer in layers], "layer").transpose(
        "step", "layer"
    )
    labels = {
        "layer": np.array([layer.name for layer in layers], dtype=object),
        "units": ("layer", [layer.units for layer in layers]),
        "input_units": ("layer", [by_layer[f"{layer.name}|input_unit"].sizes["input_unit"] for layer in layers]),
    }
    return stride(xr.Dataset(result).assign_coords(labels))


def _padded(tables: Sequence[xr.DataArray], dim: str) -> xr.DataArray:
    """Join tables of layers along `layer`, padded with NaN along a dim."""
    most = max(table.sizes[dim] for table in tables)
    filled = [table.pad({dim: (0, most - table.sizes[dim])}, constant_values=np.nan) for table in tables]
    return xr.concat(filled, "layer").transpose("step", "layer", ...)


def _over_channels(array: xr.DataArray, dim: str) -> dict[str, xr.DataArray]:
    mean = array.mean(dim)
    variance = ((array - mean) ** 2).mean(dim)  # var() of old versions warns where all values are NaN
    return {"mean": mean, "variance": variance, "cv": (variance**0.5 / mean).where(array.count(dim) > 1)}


def _correlation(x: xr.DataArray, y: xr.DataArray, dim: str) -> xr.DataArray:
    """Compute Pearson's correlation over the pairs without NaN; xr.corr() of old versions warns if there are none."""
    is_known = x.notnull() & y.notnull()
    x, y = (array.where(is_known) - array.where(is_known).mean(dim) for array in (x, y))
    return (x * y).mean(dim) / ((x**2).mean(dim) ** 0.5 * (y**2).mean(dim) ** 0.5)


def _over_samples(result: dict[str, xr.DataArray], *, several: bool) -> dict[str, xr.DataArray]:
    """Compare the variance over the samples of emission with that of absorption."""
    emission, absorption = (
        {"variance": result[f"{name}_variance"], "relative": result[f"{name}_variance"] / result[name] ** 2}
        for name in COMPARED
    )
    ratios = {key: emission[key].mean("unit") / absorption[key].mean("input_unit") for key in emission}
    ratios = {key: ratio.where(several & np.isfinite(ratio)) for key, ratio in ratios.items()}
    return {"variance_ratio": ratios["variance"], "relative_variance_ratio": ratios["relative"]}


def _stacked(tables: Sequence[xr.DataArray]) -> xr.Variable:
    """Return counts of all layers, (step, layer, unit, bin), a chunk for each step and layer."""
    most = max(table.sizes["unit"] for table in tables)
    rows = [
        da.pad(table.data.astype(np.float64), [(0, 0), (0, most - table.sizes["unit"]), (0, 0)], constant_values=np.nan)
        for table in tables
    ]
    return xr.Variable(("step", "layer", "unit", "bin"), da.stack([row.rechunk({1: -1}) for row in rows], axis=1))


def _each(observed: dict[str, xr.DataArray], layers: Sequence[Layer]) -> list[tuple[str, xr.Variable]]:
    """Return the values of each sample, (step, layer, sample, channel), a chunk for each step and layer."""
    result = []
    for dim, names in (("unit", OF_OUTPUTS), ("input_unit", OF_INPUTS)):
        tables = [observed[f"{layer.name}|{dim}|sample"] for layer in layers]
        most = max(table.sizes[dim] for table in tables)
        rows = [
            da.pad(table.data, [(0, 0)] * 3 + [(0, most - table.sizes[dim])], constant_values=np.nan)
            for table in tables
        ]
        rows = [row.rechunk({3: -1}) for row in rows]
        for position, name in enumerate(names):
            values = da.stack([row[:, position] for row in rows], axis=1)
            result.append((f"{name}_sample", xr.Variable(("step", "layer", "sample", dim), values)))
    return result
