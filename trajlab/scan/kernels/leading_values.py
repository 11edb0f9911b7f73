"""The largest singular values of a large matrix, with bounds, and traces of its functions from random vectors."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

from trajlab.scan.kernels.matrix_parts import gram_times

BLOCK = 16
"""Vectors that are multiplied at once."""

DEPTHS = (6, 12, 24)
"""Numbers of products, tried until enough singular values are known."""

KNOWN = 1e-3
"""Largest error bound of a singular value that counts as known, in units of itself."""

ZERO = 2.0**-25
"""Error in units of the largest singular value, times the fourth root of the size, that squares leave in float64."""

PROBES, LANCZOS = 8, 48
"""Random vectors, and Lanczos steps of each, from which traces are estimated."""


class Leading(NamedTuple):
    """The largest singular values of a matrix.

    Attributes
    ----------
    values
        Descending.
    vectors
        Their singular vectors on the smaller side, (size, value).
    error
        Largest bound of the error of a value.
    """

    values: np.ndarray
    vectors: np.ndarray
    error: float


def leading_values(matrix: np.ndarray, count: int) -> Leading:
    """Compute the largest singular values of a matrix by a randomized block Krylov method.

    For an approximate eigenpair (λ, v) of the Gram matrix A with residual r = |A v − λ v|, |v| = 1, there is an
    eigenvalue within r of λ. So the singular value s = √λ is off by at most r/s, and by at most √r. Values are never
    too large, as the k-th largest eigenvalue of a projection is at most that of A.

    Parameters
    ----------
    matrix
        A finite matrix, (row, column) float32 or float64, C-contiguous.
    count
        Most values.

    Returns
    -------
    The values whose bound is at most `KNOWN` of them, or that are 0 within rounding, up to `count`, and up to the first
    that is not.

    References
    ----------
    Musco and Musco 2015, Randomized block Krylov methods, arXiv:1504.05477. Residual bound: Parlett 1998, The Symmetric
    Eigenvalue Problem, theorem 4.5.1.
    """
    size = min(matrix.shape)
    block = min(max(BLOCK, count // 4), size)
    start = np.random.default_rng(0).standard_normal((size, block))
    basis = np.linalg.qr(start)[0]
    images = gram_times(matrix, basis)
    for depth in DEPTHS:
        while basis.shape[1] < min(block * depth, size):
            added = _orthonormal(images[:, -block:], basis)[:, : size - basis.shape[1]]
            basis = np.hstack([basis, added])
            images = np.hstack([images, gram_times(matrix, added)])
        projected = basis.T @ images
        eigenvalues, vectors = np.linalg.eigh((projected + projected.T) / 2)
        largest = vectors[:, ::-1][:, :count]
        squares = np.maximum(eigenvalues[::-1][:count], 0.0)
        residuals = np.linalg.norm(images @ largest - (basis @ largest) * squares, axis=0)
        values = np.sqrt(squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            bounds = np.fmin(residuals / values, np.sqrt(residuals))
        resolved = np.maximum(KNOWN * values, size**0.25 * ZERO * values[:1])
        if (bounds <= resolved).all() or basis.shape[1] == size:
            break
    unknown = np.flatnonzero(bounds > resolved)
    known = unknown[0] if len(unknown) else len(values)
    return Leading(values[:known], basis @ largest[:, :known], float(bounds[:known].max(initial=0.0)))


def _orthonormal(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of what vectors add to a basis; twice, as one projection leaves rounding."""
    for _ in range(2):
        vectors = np.linalg.qr(vectors - basis @ (basis.T @ vectors))[0]
    return vectors


def traces(matrix: np.ndarray, without: np.ndarray, *functions: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Estimate Σ f(λ) over eigenvalues λ of the smaller Gram matrix by stochastic Lanczos quadrature.

    Parameters
    ----------
    matrix
        A finite matrix, (row, column) float32 or float64, C-contiguous.
    without
        Eigenvectors, (size, vector), whose eigenvalues are left out: the largest, which few random vectors would miss.
    functions
        Functions of eigenvalues.

    Returns
    -------
    (function, random vector): independent estimates of each sum, whose mean is the estimate.

    References
    ----------
    Ubaru, Chen and Saad 2017, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, SIAM J. Matrix Anal. 38.
    Leaving out a subspace: Meyer et al. 2021, Hutch++, arXiv:2010.09649.
    """
    size = min(matrix.shape)
    steps = min(LANCZOS, size)
    start = _off(np.random.default_rng(1).integers(0, 2, (size, PROBES)) * 2.0 - 1.0, without)
    norms = np.linalg.norm(start, axis=0)
    vectors = np.zeros((steps, size, PROBES))
    vectors[0] = start / np.maximum(norms, np.finfo(float).tiny)
    diagonal, beside = np.zeros((2, steps, PROBES))
    for step in range(steps):
        image = _off(gram_times(matrix, vectors[step]), without)
        diagonal[step] = (image * vectors[step]).sum(0)
        for _ in range(2):  # one projection leaves rounding
            earlier = vectors[: step + 1]
            image -= np.einsum("snp,sp->np", earlier, np.einsum("snp,np->sp", earlier, image))
        lengths = np.linalg.norm(image, axis=0)
        resolved = lengths > 1e-14 * abs(diagonal[: step + 1]).max(0)  # a vector that is used up stays 0
        beside[step] = np.where(resolved, lengths, 0.0)
        if step + 1 < steps:
            vectors[step + 1] = np.where(resolved, image / np.where(resolved, lengths, 1.0), 0.0)
    sums = np.empty((len(functions), PROBES))
    for probe in range(PROBES):
        nodes, eigenvectors = eigh_tridiagonal(diagonal[:, probe], beside[:-1, probe])
        weights = (norms[probe] * eigenvectors[0]) ** 2
        sums[:, probe] = [(weights * function(np.maximum(nodes, 0.0))).sum() for function in functions]
    return sums


def estimated_effective_rank(matrix: np.ndarray, leading: Leading) -> tuple[float, float]:
    """Estimate the effective rank exp(−Σ p ln p), p = s/Σs, and its standard error over the random vectors.

    Parameters
    ----------
    matrix
        A finite matrix, (row, column) float32 or float64, C-contiguous.
    leading
        Its largest singular values, which need no estimate.
    """
    total, weighted = traces(matrix, leading.vectors, np.sqrt, lambda squares: _entropy(np.sqrt(squares)))
    total, weighted = total + leading.values.sum(), weighted + _entropy(leading.values).sum()
    mean, mean_weighted = total.mean(), weighted.mean()
    if not mean > 0.0:
        return np.nan, np.nan
    rank = np.exp(np.log(mean) - mean_weighted / mean)
    # of the logarithm, linearized in both sums
    errors = (total - mean) * (1.0 + mean_weighted / mean) / mean - (weighted - mean_weighted) / mean
    return float(rank), float(rank * errors.std(ddof=1) / np.sqrt(PROBES))


def _off(vectors: np.ndarray, without: np.ndarray) -> np.ndarray:
    return vectors - without @ (without.T @ vectors)


def _entropy(s: np.ndarray) -> np.ndarray:
    """Return s ln s; 0 at 0."""
    return s * np.log(np.where(s > 0.0, s, 1.0))
