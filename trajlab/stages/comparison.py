"""How far runs are from each other."""

from collections.abc import Mapping, Sequence
from functools import partial

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.kernels.across import Across
from trajlab.lazily import lazily
from trajlab.matching import MATCHES, feature_matches, weight_matches
from trajlab.result import Meaning, Sums, annotate, stride, with_totals
from trajlab.scan import Tensor, by_name, position_of, scan
from trajlab.units import layers_of, on_one_probe

MEANINGS = {
    "distance": Meaning("distance between the runs", "weight", "|a_t − b_t|₂"),
    "relative_distance": Meaning("relative distance between the runs", "1", "2 |a_t − b_t|₂ / (|a_t|₂ + |b_t|₂)"),
    "cosine": Meaning("cosine between the runs", "1", "a_t·b_t / (|a_t|₂ |b_t|₂)"),
    "changed": Meaning("share of entries whose bits differ", "1", "mean of bits(a_t) ≠ bits(b_t)"),
    "update_cosine": Meaning(
        "cosine of the ways since the start", "1", "u·v / (|u|₂ |v|₂), u = a_t − a_0, v = b_t − b_0"
    ),
    "update_cosine_null": Meaning(
        "standard deviation of the cosine of random ways", "1", "1/√n, of two random directions of n entries"
    ),
    "nonfinite": Meaning("entries that are NaN or Inf in either run", "entries", "count"),
    "unshared_steps": Meaning("steps that only one of two runs has", "steps", "count; they are left out"),
}
for _name, _rows in (("weights", "the weights that lead into them"), ("features", "what they give on the probe")):
    _alike = f"cosine of {_rows}" if _name == "weights" else f"correlation of {_rows}"
    MEANINGS |= {
        f"matched_{_name}": Meaning(
            f"similarity of units matched by {_name}", "1", f"mean {_alike}, over matched pairs"
        ),
        f"matched_{_name}_greedy": Meaning(
            f"similarity of units matched greedily by {_name}", "1", f"mean {_alike}, the most alike pair first"
        ),
        f"matched_{_name}_null": Meaning(
            f"similarity of units matched by shuffled {_name}", "1", "mean over shuffles of one run"
        ),
        f"matched_{_name}_null_95": Meaning(
            f"95 % quantile of the similarity by shuffled {_name}", "1", "95 % quantile over shuffles of one run"
        ),
        f"matched_{_name}_units": Meaning(f"units matched by {_name}", "units", "count of pairs"),
    }
_SUFFIXES = dict(zip(MATCHES, ("", "_greedy", "_null", "_null_95", "_units"), strict=True))


def comparison(
    weight: Tensor,
    other_weight: Tensor,
    activations: Mapping[str, xr.DataArray] | None = None,
    other_activations: Mapping[str, xr.DataArray] | None = None,
    *,
    at: Sequence[int] = (-1,),
    shuffles: int = 20,
    features: bool = True,
) -> xr.Dataset:
    """How far each two runs are from each other, and whether they went the same way and found the same units.

    Answers: did two runs end in the same place, and did a perturbed run come back to its control or its parent?

    Parameters
    ----------
    weight
        One parameter's life, dims (step, ...), or those of many by name.
    other_weight
        The same of another run.
    activations
        Outputs of layers on the probe by name, as `trajlab.replay` gives them, to match units by.
    other_activations
        The same of the other run, on the same probe.
    at
        Steps at which units are matched, of those that both runs have; 0 is the first and -1 the last of these.
    shuffles
        How often one run is shuffled to tell how alike matched units are by chance.
    features
        Whether units are matched by what they give on the probe too.

    Returns
    -------
    distance, relative_distance, cosine : (step, parameter)
        How far the runs are from each other at equal steps. The relative distance is taken from the mean of both
        norms: 0 for equal runs, √2 for orthogonal ones of one norm, at most 2.
    changed : (step, parameter)
        Share of entries that are not the same to the bit.
    update_cosine : (step, parameter)
        Whether both runs moved in the same direction since the first step that both recorded; NaN there.
    update_cosine_null : (step, parameter)
        What chance gives: the cosine of two random directions has mean 0 and this standard deviation.
    matched_weights, matched_weights_greedy, matched_weights_null, matched_weights_null_95 : (step, parameter)
        How alike the units of a layer are in the weights and the bias that lead into them, each matched with one of
        the other run; and after the entries of one run were shuffled. Beyond the first layer runs of different
        starts look alike only by chance here, as the units that feed them stand in another order.
    matched_features, matched_features_greedy, matched_features_null, matched_features_null_95 : (step, layer)
        The same by what units give on the probe, whose order is the same for both; of large maps, about 8,192 values
        of each unit. For the null the samples of one run are shuffled, each with all its positions.
    matched_weights_units, matched_features_units : (step, …)
        Pairs that these are the mean of. Units that are constant or not finite have no match.
    nonfinite : (step, parameter)
        Entries that are NaN or Inf in either run. They are left out of all of the above but matches.
    unshared_steps : ()
        Steps that only one of the runs recorded, which are left out.
    total_… : (step)
        The same of the whole network, from the sums over all entries; with many tensors only.

    Of several runs each of these is stacked on `run` and `other`, the same both ways, and unknown for a run with
    itself. A parent is one more `other`, at its own equal steps; `drift` takes distances from a fixed step of it.
    Units are matched with many tensors only.

    Raises
    ------
    MissingData
        The runs share no step, their tensors differ in name or shape, or a step of `at` is not one of both.
    BadSetting
        A setting is out of range, or the runs were recorded with different probes.

    References
    ----------
    Matched units: Li et al. 2015, Convergent learning, arXiv:1511.07543.
    """
    if shuffles < 0:
        raise BadSetting(f"shuffles={shuffles} was asked for; it is a count from 0 on. Change the setting.")
    ours, theirs = by_name(weight), by_name(other_weight)
    shared, unshared = _steps(ours, theirs)
    steps = _chosen(shared, at)
    table, _ = scan(Across(), weight, other=other_weight, reference=int(shared[0]))
    tables, probe = [table], {}
    if isinstance(weight, Mapping):
        layers = {layer.weight: layer for layer in layers_of({}, ours) if "index" not in ours[layer.weight].coords}
        found = {name: weight_matches(layer, ours, theirs, steps, shuffles) for name, layer in layers.items()}
        tables += _matches(found, "parameter", steps)
    if features and activations and other_activations:
        probe = on_one_probe([*activations.values(), *other_activations.values()])
        both = [name for name in activations if name in other_activations]
        found = {name: feature_matches(activations[name], other_activations[name], steps, shuffles) for name in both}
        tables += _matches(found, "layer", steps)
    result = lazily(partial(_result, shared=shared), *tables)
    result["unshared_steps"] = xr.Variable((), unshared)
    return annotate(result, MEANINGS, at=list(at), shuffles=shuffles, **probe)


def _steps(ours: dict[str, xr.DataArray], theirs: dict[str, xr.DataArray]) -> tuple[np.ndarray, int]:
    """Give the steps at which both runs recorded all tensors, and count those of only one run."""
    one, other = _recorded(ours), _recorded(theirs)
    shared = np.intersect1d(one, other)
    if not len(shared):
        ends = [f"{steps[0]} to {steps[-1]}" if len(steps) else "none" for steps in (one, other)]
        raise MissingData(
            f"steps that both runs recorded were asked for; one has {ends[0]}, the other {ends[1]}, and none are the "
            "same. Compare runs that were recorded at the same steps."
        )
    return shared, len(np.union1d(one, other)) - len(shared)


def _recorded(tensors: dict[str, xr.DataArray]) -> np.ndarray:
    """Give the steps at which all tensors were recorded."""
    first, *others = [array["step"].values for array in tensors.values()] or [np.empty(0, np.int64)]
    for steps in others:
        first = np.intersect1d(first, steps)
    return first


def _chosen(shared: np.ndarray, at: Sequence[int]) -> list[int]:
    both = xr.DataArray(shared, {"step": shared}, ("step",), "both runs")
    return sorted({int(shared[position_of(both, step)]) for step in at})


def _matches(found: Mapping[str, da.Array], dim: str, steps: Sequence[int]) -> list[xr.DataArray]:
    """Give matches of layers as one table, (layer, step, column); none if there are no layers."""
    if not found or not steps:
        return []
    labels = {dim: np.array(list(found), dtype=object), "step": steps, "column": np.array(MATCHES, dtype=object)}
    values = da.stack(list(found.values())).rechunk(-1)
    return [xr.DataArray(values, labels, (dim, "step", "column"), "matches")]


def _result(table: xr.DataArray, *matches: xr.DataArray, shared: np.ndarray) -> xr.Dataset:
    result = with_totals(_quantities, table.sel(step=shared).to_dataset("column")).drop_vars("sampled")
    for found in matches:
        by = "features" if "layer" in found.dims else "weights"
        whole = found.reindex({"step": shared} | ({} if by == "features" else {"parameter": result["parameter"]}))
        names = {f"matched_{by}{suffix}": column for column, suffix in _SUFFIXES.items()}
        result = result.assign({name: whole.sel(column=column, drop=True) for name, column in names.items()})
    return stride(result)


def _quantities(sums: Sums) -> dict[str, xr.Variable]:
    known, moved = sums.valid > 0, sums.moved_valid > 0
    aa, bb, distance = np.sqrt(sums.aa), np.sqrt(sums.bb), np.sqrt(sums.squares)
    return {
        "distance": distance.where(known),
        "relative_distance": 2 * distance / (aa + bb),
        "cosine": (sums.ab / (aa * bb)).clip(-1.0, 1.0),
        "changed": sums.changed / sums.valid,
        "update_cosine": (sums.uv / np.sqrt(sums.uu * sums.vv)).clip(-1.0, 1.0),
        "update_cosine_null": (1 / np.sqrt(sums.moved_valid)).where(moved),
        "nonfinite": sums.nonfinite,
    }
