"""Gram matrix of the steps of a tensor, and its principal components."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, eigh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from trajlab import sizes
from trajlab.scan.jit import jit
from trajlab.scan.tiles import tile
from trajlab.scan.window import addresses

DENSE = 512
"""Steps up to which all eigenvalues are computed to have the largest."""


LOST = 64 * np.finfo(np.float64).eps
"""Share of the products below which the squared norm of an update is their rounding."""


class Components(NamedTuple):
    """Principal components of a tensor, or of all together, and distances: see `trajlab.scan.step_products`.

    `updates` holds the squared norm of each step's update, and its inner product with the update before, (step, 2).
    """

    shares: np.ndarray
    scores: np.ndarray
    distance: np.ndarray
    nonfinite: np.ndarray
    updates: np.ndarray


@jit
def deviations(rows, lo, hi, like, out, nonfinite):
    """Fill in how far each entry is from its mean over the steps; 0 where it is not finite at some step.

    Parameters
    ----------
    rows
        Addresses of the rows, (step), uint64.
    lo, hi
        The tile.
    like
        Empty array of the rows' element type.
    out
        (step, entry) float64, written to.
    nonfinite
        Entries that are not finite at each step, (step), and at any step, added to; (step + 1).
    """
    n = hi - lo
    steps = rows.size
    first = tile(rows[0], lo, hi, like)
    mean = np.zeros(n)
    bad = np.zeros(n, np.bool_)
    for s in range(steps):
        row = tile(rows[s], lo, hi, like)
        here = 0
        for i in range(n):
            finite = np.isfinite(row[i])
            here += not finite
            bad[i] |= not finite
        nonfinite[s] += here
        for i in range(n):
            difference = np.float64(row[i]) - np.float64(first[i])
            out[s, i] = difference
            mean[i] += difference
    for i in range(n):
        nonfinite[steps] += bad[i]
        mean[i] /= steps
    for s in range(steps):
        for i in range(n):
            out[s, i] = 0.0 if bad[i] else out[s, i] - mean[i]


def tile_entries(steps: int) -> int:
    """Return the number of entries in a tile of deviations."""
    return min(max(sizes.GRAM_TILE_MIN, sizes.GRAM_TILE_BYTES // (8 * max(steps, 1))), sizes.GRAM_TILE_MAX)


def gram(pieces: Iterable[Sequence[np.ndarray]], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the inner products of the deviations at all pairs of steps, and counts of nonfinite entries.

    Parameters
    ----------
    pieces
        Flat rows of float32 or float64, one a step, entries after entries; all pieces but the last are whole tiles.
    steps
        Number of steps.

    Returns
    -------
    gram : (step, step)
        Products over the entries that are finite at all steps, of float64 differences.
    nonfinite : (step + 1)
        Entries that are not finite at each step, and at any.
    """
    total, product = np.zeros((steps, steps)), np.empty((steps, steps))
    nonfinite = np.zeros(steps + 1)
    wide = tile_entries(steps)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in pieces:
            where, like, size = addresses(rows), np.empty(0, rows[0].dtype), rows[0].size
            for lo in range(0, size, wide):
                hi = min(lo + wide, size)
                moved = np.empty((steps, hi - lo))
                deviations(where, lo, hi, like, moved, nonfinite)
                np.matmul(moved, moved.T, out=product)
                total += product
    return total, nonfinite


def deviations_of(pieces: Iterable[Sequence[np.ndarray]], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the deviations of all entries from their means over the steps, and counts of nonfinite entries.

    Of a tensor of fewer entries than steps these are fewer numbers than their products at all pairs of steps.

    Parameters
    ----------
    pieces, steps
        As `gram` takes them.

    Returns
    -------
    deviations : (step, entry)
        0 for entries that are not finite at some step.
    nonfinite : (step + 1)
        As `gram` returns it.
    """
    nonfinite = np.zeros(steps + 1)
    spans = []
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in pieces:
            spans.append(np.empty((steps, rows[0].size)))
            deviations(addresses(rows), 0, rows[0].size, np.empty(0, rows[0].dtype), spans[-1], nonfinite)
    return (spans[0] if len(spans) == 1 else np.hstack([np.empty((steps, 0)), *spans])), nonfinite


def centered(gram: np.ndarray, center: str) -> np.ndarray:
    """Return the products of the deviations from the mean over the steps, or from the last step."""
    at, square = (gram[-1], gram[-1, -1]) if center == "last" else (gram.mean(axis=0), gram.mean())
    products = gram - at
    products -= at[:, None]
    products += square
    return products


def distances(gram: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return the distance of each step from each anchor, (step, anchor); NaN for an anchor at position -1."""
    squares = np.diagonal(gram)
    with np.errstate(invalid="ignore"):
        apart = np.sqrt(np.maximum(squares[:, None] + squares[anchors] - 2 * gram[:, anchors], 0.0))
    return np.where(anchors >= 0, apart, np.nan)


def distances_of_deviations(rows: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return what `distances` does of deviations, (step, entry)."""
    apart = [np.linalg.norm(rows - rows[anchor], axis=1) for anchor in anchors]
    return np.where(anchors >= 0, np.stack(apart, 1) if len(anchors) else np.empty((len(rows), 0)), np.nan)


def updates_of_gram(gram: np.ndarray) -> np.ndarray:
    """Return |u_t|² and u_t·u_{t−1} of the updates u_t = w_t − w_{t−1}, (step, 2); NaN where there is none.

    Updates that are lost in the rounding of the products are 0.
    """
    norms, near, far = (np.diagonal(gram, offset) for offset in (0, 1, 2))
    squares = norms[1:] - 2 * near + norms[:-1]
    squares = np.where(squares > LOST * np.maximum(norms[1:], norms[:-1]), squares, 0.0)
    return _updates(squares, near[1:] - far - norms[1:-1] + near[:-1])


def updates_of_deviations(rows: np.ndarray) -> np.ndarray:
    """Return what `updates_of_gram` does, of deviations, (step, entry)."""
    updates = np.diff(rows, axis=0)
    return _updates((updates**2).sum(1), (updates[1:] * updates[:-1]).sum(1))


def _updates(squares: np.ndarray, products: np.ndarray) -> np.ndarray:
    out = np.full((len(squares) + 1, 2), np.nan)
    out[1:, 0], out[2:, 1] = np.maximum(squares, 0.0), products
    return out


def principal(gram: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the explained variance ratios, (component), and the scores, (step, component).

    Eigenvalues that are not larger than their rounding error are 0. Of a direction and its opposite that one is
    taken in which the first step that is not at the center lies on the negative side.
    """
    if len(gram) == 0 or not np.isfinite(gram).all():
        return np.full(components, np.nan), np.full((len(gram), components), np.nan)
    return _principal(np.trace(gram), len(gram), components, lambda count: _largest(gram, count))


def principal_of_deviations(rows: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what `principal` does of the products of deviations, (step, entry), of fewer entries than steps."""
    if len(rows) == 0 or not np.isfinite(rows).all():
        return np.full(components, np.nan), np.full((len(rows), components), np.nan)

    def largest(count: int) -> tuple[np.ndarray, np.ndarray]:
        values, directions = _largest(rows.T @ rows, min(count, rows.shape[1]))
        return values, rows @ directions / np.sqrt(np.where(values > 0.0, values, np.inf))

    return _principal(float(np.vdot(rows, rows)), len(rows), components, largest)


def _principal(
    trace: float, steps: int, components: int, largest_of: Callable[[int], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return explained variance ratios and scores, from the largest eigenvalues and their vectors over the steps."""
    if not np.isfinite(trace):
        return np.full(components, np.nan), np.full((steps, components), np.nan)
    shares, scores = np.full(components, np.nan), np.full((steps, components), np.nan)
    values, vectors = np.zeros(components), np.zeros((steps, components))
    if trace > 0.0:
        largest, directions = largest_of(min(components, steps))
        largest = largest / trace
        significant = largest > steps * np.finfo(np.float64).eps
        values[: len(largest)] = np.where(significant, largest, 0.0)
        vectors[:, : len(largest)] = np.where(significant, directions, 0.0)
        shares = values
    for component in range(components):
        column = vectors[:, component]
        away = np.flatnonzero(np.abs(column) > 1e-9)
        sign = -1.0 if len(away) and column[away[0]] > 0 else 1.0
        scores[:, component] = sign * np.sqrt(values[component] * trace) * column
    return shares, scores


def _largest(gram: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues, descending, and their vectors, from a fixed start."""
    steps = len(gram)
    if steps > max(DENSE, 20 * count):
        try:
            values, vectors = eigsh(gram, count, v0=np.linspace(-1.0, 1.1, steps))
            return values[::-1], vectors[:, ::-1]
        except ArpackNoConvergence:
            pass
    values, vectors = eigh(gram, subset_by_index=(steps - count, steps - 1))
    return values[::-1], vectors[:, ::-1]


def walk(steps: np.ndarray, components: int, center: str) -> np.ndarray:
    """Return the explained variance ratios of a random walk in many dimensions, (component).

    The products of its deviations from the mean are the pseudo-inverse of the Laplacian of the path along the steps,
    whose edges weigh 1/stride; those from the last step the inverse of the Laplacian without the last step.

    Parameters
    ----------
    steps
        Optimizer steps at which the walk is seen; it goes as far, in the mean square, as steps lie between.
    components
        Number of components.
    center
        "mean" or "last".
    """
    shares = np.full(components, np.nan)
    count = len(steps)
    if count < 2:
        return shares
    shares[:] = 0.0
    gaps = np.diff(steps).astype(np.float64)
    weights = gaps.mean() / gaps
    diagonal = np.append(weights, 0.0) + np.append(0.0, weights)
    skip = 1 if center == "mean" else 0
    if center == "last":
        diagonal, weights = diagonal[:-1], weights[:-1]
    taken = min(components, count - 1)
    window = (skip, skip + taken - 1)
    values = (
        eigh_tridiagonal(diagonal, -weights, eigvals_only=True, select="i", select_range=window)
        if len(diagonal) > 1
        else diagonal
    )
    away = (steps[-1] - steps).astype(np.float64) / gaps.mean()
    trace = away.sum()
    if center == "mean":
        trace -= (away * (2 * np.arange(count) + 1)).sum() / count
    shares[:taken] = 1.0 / values / trace
    return shares
