"""Singular values of a matrix, all of them or the largest, and the subspaces that the largest span."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigvalsh
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from trajlab.scan.kernels.leading_values import BLOCK, DEPTHS, LANCZOS, PROBES, leading_values
from trajlab.scan.kernels.matrix_parts import gram

EXACT_SIZE = 4096
"""Smaller side of a matrix up to which all of its singular values are computed."""

LEADING = 64
"""Singular values that are computed of larger ones."""

SURE = 1e-3
"""Smallest singular value, in units of the largest, that the eigenvalues of the Gram matrix give to 9 digits."""

FINE = 2.0**-30
"""Spacing at 1 of stored floats from which up rounding moves singular values further than the Gram matrix does."""

DENSE = 256
"""Smaller side of a matrix up to which all eigenvectors are computed to have the largest."""


class Decomposition(NamedTuple):
    """What is known of the singular values of a matrix.

    Attributes
    ----------
    values
        Descending; of a large matrix the largest.
    error
        Bound of the error of any of them.
    vectors
        Singular vectors of the largest on the smaller side, (size, vector).
    """

    values: np.ndarray
    error: float
    vectors: np.ndarray


def decompose(
    matrix: np.ndarray,
    *,
    epsilon: float = 2.0**-52,
    exact_size: int = EXACT_SIZE,
    leading: int = LEADING,
    vectors: int = 0,
) -> Decomposition:
    """Compute the singular values of a matrix, and some singular vectors of the largest.

    They are the roots of the eigenvalues of the smaller Gram matrix in float64, which takes a fifth of the time of a
    singular value decomposition. With u = 2⁻⁵² and n the smaller side, an eigenvalue is off by at most √n u s₁². So s
    is off by at most √n u s₁²/s, and never by more than n^¼ √u s₁. The rounding of entries that were stored in
    float32 or less moved them further. Matrices stored in float64 are decomposed, unless all s are above `SURE` of the
    largest, where the error is at most 1e-9 s.

    Parameters
    ----------
    matrix
        A finite matrix, (row, column) float32 or float64, C-contiguous.
    epsilon
        Spacing at 1 of the floats that it was stored in.
    exact_size
        Smaller side up to which all singular values are computed.
    leading
        Most singular values of larger matrices, see `leading_values`.
    vectors
        Number of singular vectors.
    """
    size = min(matrix.shape)
    if size > exact_size:
        some = leading_values(matrix, max(leading, vectors))
        return Decomposition(some.values, some.error, some.vectors)
    products = gram(matrix)
    if not np.isfinite(products).all():
        return _by_svd(matrix, vectors)
    largest = _largest_vectors(products, vectors) if vectors else np.empty((size, 0))
    values = np.sqrt(np.maximum(eigvalsh(products, overwrite_a=True, check_finite=False)[::-1], 0.0))
    if epsilon < FINE and not values[-1] > SURE * values[0]:
        return _by_svd(matrix, vectors)
    return Decomposition(values, gram_error(values), largest)


def singular_values(matrix: np.ndarray, epsilon: float = 2.0**-52) -> np.ndarray:
    """Compute all singular values of a matrix of any size, descending, as `decompose` does."""
    return decompose(matrix, epsilon=epsilon, exact_size=max(matrix.shape)).values


def gram_error(values: np.ndarray) -> float:
    """Return the bound of the error of singular values from the Gram matrix, see `decompose`."""
    relative = np.sqrt(len(values)) * 2.0**-52
    if not values[0] > 0.0:
        return 0.0
    return float(values[0] * min(np.sqrt(relative), relative / max(values[-1] / values[0], np.finfo(float).tiny)))


def operations(rows: int, columns: int, exact_size: int = EXACT_SIZE) -> float:
    """Return about how many floating-point operations `decompose` takes of a matrix.

    >>> operations(10, 1000)
    101333.33333333333
    """
    small, large = min(rows, columns), max(rows, columns)
    if small <= exact_size:
        return float(small * small * large + 4 * small**3 / 3)
    return float(4 * rows * columns * (BLOCK * DEPTHS[1] + PROBES * LANCZOS))


def _by_svd(matrix: np.ndarray, vectors: int) -> Decomposition:
    wide = np.asarray(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T, np.float64)
    if not vectors:
        values = np.linalg.svd(wide, compute_uv=False)
        return Decomposition(values, _svd_error(values), np.empty((len(wide), 0)))
    left, values, _ = np.linalg.svd(wide, full_matrices=False)
    return Decomposition(values, _svd_error(values), left[:, :vectors])


def _svd_error(values: np.ndarray) -> float:
    return float(len(values) * 2.0**-52 * values[0])


def _largest_vectors(products: np.ndarray, count: int) -> np.ndarray:
    """Return the eigenvectors of the largest eigenvalues, largest first, from a fixed start."""
    size = len(products)
    if size > max(DENSE, 10 * count):
        try:
            return eigsh(products, count, v0=np.linspace(-1.0, 1.1, size), tol=1e-8)[1][:, ::-1]
        except ArpackNoConvergence:
            pass
    return np.linalg.eigh(products)[1][:, ::-1][:, :count]
