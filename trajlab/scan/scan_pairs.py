"""Compare the rows of many runs with each other: each is read once, whatever the number of pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from dask.base import tokenize

from trajlab import sizes
from trajlab.scan.graph import Graph, call
from trajlab.scan.kernels.between_runs import ACROSS, across
from trajlab.scan.scan import about, identity
from trajlab.scan.source import Source
from trajlab.scan.track import Track

Pairs = np.ndarray
"""Positions of both runs of each pair among the runs, (pair, 2)."""


def scan_pairs(runs: Sequence[Mapping[str, xr.DataArray]], pairs: Pairs) -> xr.DataArray:
    """Compare pairs of runs entry by entry at each step, lazily: the columns `ACROSS`, as the kernel of `scan` does.

    Parameters
    ----------
    runs
        Tensors of each run by name: the same names, shapes, types and steps in all of them.
    pairs
        The pairs; their displacements are taken from the first step.

    Returns
    -------
    (pair, parameter, step, column), with the coords of a scan.
    """
    first = runs[0]
    graph = Graph("pairs-" + tokenize([[identity(array) for array in run.values()] for run in runs], pairs))
    where = graph.constant(f"{graph.name}-positions", pairs)
    steps = next(iter(first.values()))["step"].values
    parts: list[list[Any]] = []
    for name in first:
        sources = [Source(run[name], graph) for run in runs]
        starts = [source.rows(0, 1) for source in sources]
        edges = _edges(len(steps), len(runs), sources[0])
        tasks = []
        for lo, hi in zip(edges, edges[1:], strict=False):
            tracks = [
                call(Track, source.rows(lo, hi), None, start) for source, start in zip(sources, starts, strict=True)
            ]
            tasks.append(graph.add(("block", name, lo), _compare, tracks, where, sources[0].size, hi - lo))
        parts.append(tasks)
    values = graph.array("columns", (len(pairs), len(first), len(steps), len(ACROSS)), _stacked, parts)
    labels: dict[str, Any] = {"parameter": np.array(list(first), dtype=object), "step": steps}
    labels |= {"column": np.array(ACROSS, dtype=object), "pooling": ("column", np.full(len(ACROSS), "sum", object))}
    labels |= {key: ("parameter", of_each) for key, of_each in about(first).items()}
    return xr.DataArray(values, labels, ("pair", "parameter", "step", "column"), "table")


def _edges(steps: int, runs: int, source: Source) -> list[int]:
    """Return where blocks of steps begin and end, so that a tile of all runs, or rows that are read whole, fit."""
    entries = min(source.size, sizes.TILE_ENTRIES) if source.reads_tiles else source.size
    most = max(1, sizes.BLOCK_BYTES // max(entries * source.itemsize * runs, 1))
    return np.linspace(0, steps, -(-steps // most) + 1).astype(int).tolist()


def _compare(closed: list[Track], pairs: Pairs, size: int, steps: int) -> np.ndarray:
    """Return the columns of a block of steps of one tensor, (pair, step, column)."""
    tracks = [track.opened({}) for track in closed]
    out = np.zeros((len(pairs), steps, len(ACROSS)))
    like, bits = tracks[0].like, tracks[0].like_bits
    for (lo, hi), *_ in zip(*(track.window.tiles(size) for track in tracks), strict=True):
        addresses = [(track.addresses, track.reference_address) for track in tracks]
        for (first, second), of_pair in zip(pairs.tolist(), out, strict=True):
            (rows, start), (others, other_start) = addresses[first], addresses[second]
            across(rows, others, start, other_start, lo, hi, like, bits, of_pair)
    return out


def _stacked(parts: list[list[np.ndarray]]) -> np.ndarray:
    return np.stack([np.concatenate(of_tensor, axis=1) for of_tensor in parts], axis=1)
