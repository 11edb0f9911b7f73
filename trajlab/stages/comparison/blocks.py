"""Many pairs of runs compared at once: what concerns one run is computed once, and tasks take pairs in blocks."""

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.replays.alignment import Chain, align, aligned_squares, chain_in, state_at
from trajlab.replays.observe import layers_in
from trajlab.runs.tensors import common_steps
from trajlab.scan.graph import delayed
from trajlab.scan.scan_pairs import scan_pairs
from trajlab.scan.source import is_sample
from trajlab.stages.comparison.unit_matching import MATCHES, matches, unit_rows, weight_rows
from trajlab.statistics.scores import score_table

PAIRS = 64
"""Pairs that one task takes."""


class Study:
    """The runs of many pairs, each once.

    Parameters
    ----------
    arguments
        What the stage would be called with for each pair.

    Attributes
    ----------
    weights, activations
        Those of each run; no activations if there are none.
    pairs
        Positions of both runs of each pair, (pair, 2).
    """

    def __init__(self, arguments: Sequence[Mapping[str, Any]]):
        self.weights: list[Mapping[str, xr.DataArray]] = []
        self.activations: list[Mapping[str, xr.DataArray]] = []
        positions: dict[int, int] = {}
        pairs = []
        for of_pair in arguments:
            for prefix in ("", "other_"):
                weights = of_pair[f"{prefix}weight"]
                if id(weights) not in positions:
                    positions[id(weights)] = len(self.weights)
                    self.weights.append(weights)
                    self.activations.append(of_pair[f"{prefix}activations"] or {})
            pairs.append([positions[id(of_pair[name])] for name in ("weight", "other_weight")])
        self.pairs = np.array(pairs)

    def is_uniform(self) -> bool:
        """Return whether all runs have the same tensors, whole and at the same steps, and the same layers."""
        return len({_weights_of(run) for run in self.weights}) == 1 and len({*map(_layers_of, self.activations)}) == 1

    def sums(self) -> xr.DataArray:
        """Return the table of sums of all pairs, (pair, parameter, step, column); lazily."""
        return scan_pairs(self.weights, self.pairs)

    def matched_weights(self, steps: Sequence[int], max_units: int, **how: Any) -> xr.DataArray:
        """Match units by their weights, (pair, parameter, step, `MATCHES`); lazily."""
        return self._matched([weight_rows(run, steps, max_units) for run in self.weights], "parameter", steps, **how)

    def matched_features(
        self, steps: Sequence[int], layers: Sequence[str], max_units: int, **how: Any
    ) -> tuple[xr.DataArray, list[str]]:
        """Match units by their activations, (pair, layer, step, `MATCHES`); lazily.

        Layers of more than `max_units` units are left out, and named beside the table.
        """
        rows = [unit_rows(run, steps, layers, max_units) for run in self.activations]
        wide = [name for name, units in _layers_of(self.activations[0]) if units > max_units]
        return self._matched(rows, "layer", steps, **how), wide

    def aligned(self, chain: Chain, steps: Sequence[int]) -> xr.DataArray:
        """Return squared distances of aligned runs, (pair, step, parameter); lazily."""
        states = [[state_at(run, step) for step in steps] for run in self.weights]
        shape = len(steps), len(self.weights[0])
        values = self._by_block(_aligned, states, shape, chain)
        labels = {"step": list(steps), "parameter": np.array(list(self.weights[0]), dtype=object)}
        return xr.DataArray(values, labels, ("pair", "step", "parameter"), "squares")

    def _matched(self, rows: Sequence[Mapping[str, Any]], dim: str, steps: Sequence[int], **how: Any) -> xr.DataArray:
        """Match the rows of the units of each pair in each layer."""
        labels = {dim: np.array(list(rows[0]), dtype=object), "step": list(steps), "column": np.array(MATCHES, object)}
        shape = len(rows[0]), len(steps), len(MATCHES)
        values = self._by_block(_matches, [list(of_run.values()) for of_run in rows], shape, shape, how)
        return xr.DataArray(values, labels, ("pair", dim, "step", "column"), "matches")

    def _by_block(self, function: Any, of_runs: Sequence[Any], shape: tuple[int, ...], *more: Any) -> da.Array:
        """Call a function for blocks of pairs, with what is needed of their runs."""
        parts = []
        for lo in range(0, len(self.pairs), PAIRS):
            used, pairs = np.unique(self.pairs[lo : lo + PAIRS], return_inverse=True)
            pairs = pairs.reshape(-1, 2)
            task = delayed(function)([of_runs[run] for run in used], pairs, *more)
            parts.append(da.from_delayed(task, (len(pairs), *shape), float))
        return da.concatenate(parts)


def lines(arguments: Sequence[Mapping[str, Any]], name: str, objective: str) -> tuple[xr.DataArray, list[Any]]:
    """Return the scores along the line of each pair, (pair, point, column), and the outputs that they are of.

    Parameters
    ----------
    arguments
        What the stage would be called with for each pair.
    name
        The argument that runs the network along the line.
    objective
        As the stage takes it.
    """
    outputs = [of_pair[name](layers=[""])[""] for of_pair in arguments]
    tables = [
        score_table(output, of_pair["probe"], objective).rename(step="point").drop_vars("point", errors="ignore")
        for output, of_pair in zip(outputs, arguments, strict=True)
    ]
    return xr.concat(tables, "pair", coords="minimal", compat="override"), outputs


def chain_of_all(arguments: Sequence[Mapping[str, Any]]) -> Chain | None:
    """Return the chain of hidden layers of all pairs; None if they differ."""
    chains = [chain_in(of_pair["weight"], of_pair["chain"]) for of_pair in arguments]
    return chains[0] if all(chain == chains[0] for chain in chains) else None


def _weights_of(run: Mapping[str, xr.DataArray]) -> tuple | None:
    """Return what must be the same in all runs; a tuple of its own if a run cannot be compared with many at once."""
    if not isinstance(run, Mapping) or any(_needs_its_own_pass(array) for array in run.values()):
        return (id(run),)
    steps = [array["step"].values for array in run.values()]
    if any(not np.array_equal(of_tensor, steps[0]) for of_tensor in steps) or not len(common_steps(steps)):
        return (id(run),)
    tensors = ((name, array.shape, array.dims, array.dtype.name) for name, array in run.items())
    return (*tensors, steps[0].tobytes())


def _needs_its_own_pass(array: xr.DataArray) -> bool:
    """Return whether a tensor holds a sample, or is made a step at a time together with others."""
    return is_sample(array) or "index" in array.coords or "block_steps" in array.encoding


def _layers_of(activations: Mapping[str, xr.DataArray]) -> tuple:
    return tuple((layer.name, activations[layer.name].sizes["unit"]) for layer in layers_in(activations))


def _matches(
    rows: Sequence[Sequence[Sequence[np.ndarray]]], pairs: np.ndarray, shape: tuple[int, ...], how: Mapping[str, Any]
) -> np.ndarray:
    """Match the units of pairs of runs, (pair, layer, step, `MATCHES`), from rows by run, layer and step."""
    out = np.empty((len(pairs), *shape))
    for of_pair, (first, second) in zip(out, pairs, strict=True):
        for layer in range(shape[0]):
            for step in range(shape[1]):
                of_pair[layer, step] = matches(rows[first][layer][step], rows[second][layer][step], **how)
    return out


def _aligned(states: Sequence[Sequence[Mapping[str, np.ndarray]]], pairs: np.ndarray, chain: Chain) -> np.ndarray:
    """Return the squared distances of pairs of runs after alignment, (pair, step, parameter)."""
    return np.array(
        [
            [
                aligned_squares(chain, align(chain, ours, theirs), ours, theirs)
                for ours, theirs in zip(states[first], states[second], strict=True)
            ]
            for first, second in pairs
        ]
    )
