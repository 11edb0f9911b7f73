"""Distribution of the activations of each layer, and its shifts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observe import layers_in, observe
from trajlab.replays.observers.distribution import COLUMNS, ValueDistribution
from trajlab.replays.padding import padding_attrs
from trajlab.replays.probe_kinds import RECORDED, kinds_of, probe_of
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.distribution import EXACT
from trajlab.scan.scan import position_of
from trajlab.stages.features.distributions import distributions_of
from trajlab.statistics.distributions import (
    closed,
    described,
    distribution_parts,
    pooled,
    quantities_of,
    shift_meanings,
)
from trajlab.statistics.result import REFERENCE, Meaning, Sums, annotate, stride

ALL = "all"
"""What stands for all kinds of inputs that the probe can give."""

_BOUND = "; the error bound for layers of many activations is in the attrs of the result"
_ANCHORS = {
    "": (REFERENCE, "0"),
    "_prev": ("the snapshot before", "prev"),
    f"_{RECORDED}": (f"the {RECORDED} inputs", RECORDED),
}
MEANINGS = described("a", _BOUND) | shift_meanings(_ANCHORS, _BOUND)
MEANINGS["channel_variance"] = Meaning(
    "variance across channels", "value²", "Σ_c(m_c − mean m)² / C, m_c the mean at a place along the dim `over`"
)


def features(
    replay: Callable[..., Mapping[str, xr.DataArray]],
    probe: xr.Dataset,
    *,
    layers: Sequence[str] = (),
    inputs: Sequence[str] = (RECORDED,),
    over: str = "unit",
    reference: int = 0,
    bins: int = 64,
    quantiles: Sequence[float] = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99),
    seed: int = 0,
) -> xr.Dataset:
    """How the activations of each layer are distributed, on the probe and on noise, and how far they shifted.

    Answers: did activations explode, die out or drift, when, and does the network tell examples from noise?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    probe
        The batch that inputs of all kinds are taken from, or made of.
    layers
        Names of layers, or patterns; by default all activations, modules and functions such as `F.relu`.
    inputs
        Kinds of inputs: valid (the probe), train if that was recorded, uniform and gaussian (noise like the probe in
        each channel), shuffled (pixels in another order); all is all that there can be. Each costs a pass of its own.
    over
        The dim over which `channel_variance` is taken, such as unit, sample, y or position.
    reference
        Step that shifts are taken from; 0 is the first one recorded, -1 the last.
    bins
        Number of bins of the histogram.
    quantiles
        Which quantiles, each from 0 to 1.
    seed
        Seed of noise and order.

    Returns
    -------
    mean, std, skewness, excess_kurtosis, min, max : (step, input, layer)
        Moments and extremes over all samples, units and positions.
    quantiles : (step, input, layer, quantile)
        Quantiles; the coord `quantile` says which.
    histogram : (step, input, layer, bin)
        Activations in each bin.
    bin_edges : (layer, bin_edge)
        Edges of the bins, the same for all steps and inputs, about evenly spaced over the range of the first and the
        last snapshot.
    channel_variance : (step, input, layer)
        Variance of the means of the units, over the probe and their positions: how much their means differ. With
        another dim in `over`, of the means along that; NaN in layers without it, and where it is not known which axis
        runs over the units (`--unit-axis` names it).
    wasserstein, ks, js, psi : (step, input, layer)
        Distance of the distribution from the one at the reference, on the same inputs.
    wasserstein_prev, ks_prev, js_prev, psi_prev : (step, input, layer)
        Distance from the snapshot before; NaN at the first.
    wasserstein_valid, ks_valid, js_valid, psi_valid : (step, input, layer)
        Distance from the activations on the valid inputs at the same step; only beside these, and NaN for themselves.
    zeros, nonfinite : (step, input, layer)
        Activations that are exactly zero, and NaN or Inf. The latter are left out of all else.
    total_… : (step, input)
        Moments, extremes and counts over all layers.

    Raises
    ------
    MissingData
        The run names no model or has no probe, the kind was not recorded, the network has no activations, or the
        reference was not recorded.
    BadSetting
        There is no such kind, layer or dim, there are not 2 to 4,096 bins, or a quantile is not from 0 to 1.

    Notes
    -----
    Layers of up to 16,384 activations on the whole probe are sorted: all is exact but for distances from inputs on
    which there are more. More are counted in 65,536 fixed bins, each at most 1/128 of its values wide. A bin that holds
    more than 1/128 of the first 16,384 values is split into 1,026, over the range of these: resolution is relative to
    the spread of the values, and single values are exact. Values are taken to spread evenly over a bin. A quantile is
    then off by at most 1/128 of the larger, by size, of the two order statistics next to it, `wasserstein` by
    (mean|a_t| + mean|a_0|)/256, `ks` by the shares of values in the fullest bin of each. Counts of the histogram are
    exact where an edge is the end of a fixed bin, else off by at most the values in the bin that it cuts.

    `psi` counts an empty bin as half a value.

    Activations on one sample depend on each other, as do those at two steps: unlike in `distribution`, no distance by
    chance is given.

    References
    ----------
    Moments are merged by Pébay 2008, SAND2008-6212. PSI: Siddiqi 2006, Credit Risk Scorecards. Shuffled pixels and
    noise in the place of examples: Zhang et al. 2017, arXiv:1611.03530.
    """
    if not 2 <= bins <= 4096 or not all(0 <= q <= 1 for q in quantiles) or not inputs:
        raise BadSetting(
            f"cannot compute features with bins={bins}, quantiles={list(quantiles)} and inputs={list(inputs)}; choose "
            "2 to 4,096 bins, quantiles from 0 to 1, and at least one kind of inputs"
        )
    kinds = kinds_of(probe) if ALL in inputs else list(dict.fromkeys(inputs))
    probes = {kind: probe_of(probe, kind, seed=seed) for kind in kinds}
    named = {"layers": list(layers)} if layers else {}
    replayed = {kind: replay(probe=inputs_of_kind, **named) for kind, inputs_of_kind in probes.items()}
    seen = layers_in(replayed[kinds[0]])
    if not seen:
        raise MissingData(
            "cannot find activations: the network calls no activation; name layers with --layers (layers=), '*' for "
            "all modules"
        )
    observed = {kind: observe(activations, ValueDistribution(over)) for kind, activations in replayed.items()}
    probabilities = tuple(map(float, quantiles))
    position = position_of(observed[kinds[0]]["table"].rename("the activations"), reference)
    versus = RECORDED if RECORDED in kinds and len(kinds) > 1 else None
    parts = distributions_of(observed, reference=position, versus=versus, quantiles=probabilities, bins=bins)
    result = as_one_task(partial(_result, quantiles=probabilities, bins=bins, versus=versus), *parts)
    sources = np.array([str(layer.attrs.get("source", "")) for layer in seen], dtype=object)
    labels = {"units": ("layer", np.array([layer.units for layer in seen])), "source": ("layer", sources)}
    unobserved = {"unobserved": seen[0].attrs["unobserved"]} if seen[0].attrs.get("unobserved") else {}
    return annotate(
        result.assign_coords(labels),
        MEANINGS,
        **unobserved,
        **padding_attrs(seen),
        over=over,
        reference=reference,
        bins=bins,
        seed=seed,
        ddof=0,
        exact_up_to=EXACT,
        quantile_error_bound="0 for layers of up to exact_up_to activations, else 1/128 of the larger of the two order "
        "statistics next to it, plus 2^-132",
        wasserstein_error_bound="0 for layers of up to exact_up_to activations, else (mean|a_t| + mean|a_ref|)/256",
        ks_error_bound="0 for layers of up to exact_up_to activations, else the shares of values in the fullest bin of "
        "each; bins of one value do not count",
        probe_sha256=_hash([str(recorded_probe.attrs.get("sha256", "")) for recorded_probe in probes.values()]),
    )


def _hash(hashes: Sequence[str]) -> str:
    """Return one hash of all inputs."""
    return hashes[0] if len(hashes) == 1 else sha256(" ".join(hashes).encode()).hexdigest()


def _result(
    table: xr.DataArray, edges: xr.DataArray, *, quantiles: tuple[float, ...], bins: int, versus: str | None
) -> xr.Dataset:  # fmt: skip
    columns = table.isel(column=slice(len(COLUMNS))).to_dataset("column")
    sums = Sums(**vars(Sums.of(columns)), numel=1.0, sampled=1.0)
    quantities = quantities_of(sums)
    quantities |= {f"total_{name}": total for name, total in quantities_of(pooled(sums, "layer")).items()}
    result = xr.Dataset({**quantities, "channel_variance": columns["variance_along"]}, columns.coords)
    spread = table.drop_vars("column").isel(column=slice(len(COLUMNS), None))
    suffixes = ("", "_prev") if versus is None else ("", "_prev", f"_{RECORDED}")
    parts = distribution_parts(spread, quantiles=len(quantiles), bins=bins, suffixes=suffixes)
    edges = closed(edges, result["min"].min(["step", "input"]), result["max"].max(["step", "input"]))
    return stride(result.assign(parts).assign(bin_edges=edges)).assign_coords(quantile=list(quantiles))
