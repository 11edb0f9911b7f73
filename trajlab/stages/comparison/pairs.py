"""Comparison of many pairs of runs at once, along the dim `pair`."""

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from trajlab.stages.comparison.blocks import Study, chain_of_all, lines
from trajlab.stages.comparison.tables import (
    alignable,
    annotated,
    check_settings,
    chosen_steps,
    result_of,
    steps_of_both,
    too_wide,
)
from trajlab.stages.comparison.unit_matching import unmatched_layers
from trajlab.statistics.units import on_one_probe


def of_pairs(
    arguments: Sequence[Mapping[str, Any]],
    *,
    steps: Sequence[int],
    shuffles: int,
    max_units: int,
    match_weights: bool,
    features: bool,
    layers: Sequence[str],
    absolute: bool,
    matrix_layer: str,
    interpolation: bool,
    ends: str,
    objective: str,
) -> xr.Dataset | None:
    """Compare many pairs of runs as `comparison` does each, along the dim `pair`; lazily.

    Parameters
    ----------
    arguments
        Positional arguments of `comparison`, for each pair.
    steps, shuffles, max_units, match_weights, features, layers, absolute, matrix_layer, interpolation, ends, objective
        Settings of `comparison`.

    Returns
    -------
    The results of `comparison` for all pairs, (pair, …). None if runs differ in their tensors, steps or layers, or hold
    samples, or if layers are paired by name: then each pair must be compared on its own.
    """
    check_settings(shuffles, max_units, ends)
    if matrix_layer or any("=" in layer for layer in layers):
        return None
    study = Study(arguments)
    if not study.is_uniform():
        return None
    weights = study.weights[0]
    shared, unshared = steps_of_both(weights, weights)
    at = chosen_steps(shared, steps)
    tables = {"sums": study.sums()}
    attrs: dict[str, Any] = {}
    large: list[str] = []
    if match_weights:
        tables["weights"] = study.matched_weights(at, max_units, shuffles=shuffles, with_cka=False)
        large += unmatched_layers(weights, max_units)
        chain = chain_of_all(arguments)
        if chain is None:
            return None
        attrs["alignment"], chain = alignable(chain, max_units)
        if not chain.reason:
            tables["aligned"] = study.aligned(chain, at)
    else:
        attrs["alignment"] = "match_weights is off"
    if features and study.activations[0]:
        attrs |= on_one_probe([array for run in study.activations for array in run.values()])
        tables["features"], wide = study.matched_features(at, layers, max_units, shuffles=shuffles, absolute=absolute)
        large += wide
    probe, line = arguments[0]["probe"], None
    if interpolation and probe is not None and "targets" in probe:
        for name, replay in (("line", "between_replay"), ("aligned_line", "aligned_replay")):
            if arguments[0][replay] is not None:
                tables[name], outputs = lines(arguments, replay, objective)
                attrs |= on_one_probe(outputs)
                line = arguments[0]["between_metrics"]
    settings = {"steps": list(steps), "shuffles": shuffles, "ends": ends, "matrix_layer": matrix_layer}
    not_matched = {"not_matched": too_wide(large, max_units)} if large else {}
    return annotated(result_of(tables, shared), unshared, line, settings | attrs | not_matched)
