"""Subspaces of the largest singular values of a matrix, on both sides, and how far two of them overlap."""

from typing import NamedTuple

import numpy as np

from trajlab.scan.kernels.matrix_parts import larger_side
from trajlab.scan.kernels.singular_values import Decomposition


class Subspaces(NamedTuple):
    """Orthonormal bases of the subspaces of the k largest singular values.

    Attributes
    ----------
    rows
        (row, k), of the left singular vectors.
    columns
        (column, k), of the right ones.
    """

    rows: np.ndarray
    columns: np.ndarray


def subspace_size(rows: int, columns: int, most: int) -> int:
    """Return the dim of the subspaces of a matrix: `most`, but at most half of its smaller side.

    >>> subspace_size(64, 10, 8), subspace_size(1, 5, 8)
    (5, 1)
    """
    return min(most, max(1, min(rows, columns) // 2))


def subspaces(matrix: np.ndarray, decomposition: Decomposition, size: int) -> Subspaces | None:
    """Return the subspaces of the largest singular values; None if there are fewer beyond rounding.

    Parameters
    ----------
    matrix
        (row, column).
    decomposition
        Its largest singular vectors on its smaller side, and singular values.
    size
        Dim of the subspaces.
    """
    values, vectors = decomposition.values[:size], decomposition.vectors[:, :size]
    if len(values) < size or not values[-1] > max(decomposition.error, 2.0**-26 * values[0]):
        return None
    other = np.linalg.qr(larger_side(matrix, vectors) / values)[0]
    return Subspaces(vectors, other) if matrix.shape[0] <= matrix.shape[1] else Subspaces(other, vectors)


def overlaps(first: Subspaces | None, second: Subspaces | None) -> tuple[float, float]:
    """Return the overlap of two pairs of subspaces of the rows, and of the columns: the mean cos² of principal angles.

    1 says that they are the same, 0 that they are orthogonal. That of random subspaces of dim k of a space of n dims is
    k/n on average. NaN if one is unknown.

    References
    ----------
    Björck and Golub 1973, Numerical methods for computing angles between linear subspaces, Math. Comp. 27, 579.
    """
    if first is None or second is None:
        return np.nan, np.nan
    rows, columns = (
        float((a.T @ b).ravel() @ (a.T @ b).ravel()) / a.shape[1] for a, b in zip(first, second, strict=True)
    )
    return rows, columns
