"""Products with a matrix of any size, in float64, a part of it at a time."""

from collections.abc import Iterator

import numpy as np

from trajlab import sizes


def parts(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """Iterate over parts of a matrix in float64, (size of its smaller side, entries), side by side.

    No more than `sizes.MATRIX_PART_BYTES` of it are held in float64.

    Parameters
    ----------
    matrix
        (row, column) float32 or float64, C-contiguous.
    """
    rows, columns = matrix.shape
    wide = rows <= columns
    length = max(1, sizes.MATRIX_PART_BYTES // (8 * max(min(rows, columns), 1)))
    for lo in range(0, max(rows, columns), length):
        part = matrix[:, lo : lo + length] if wide else matrix[lo : lo + length]
        copy = aligned(part.size).reshape(part.shape)
        copy[:] = part
        yield copy if wide else copy.T


def gram(matrix: np.ndarray) -> np.ndarray:
    """Return the smaller of W Wᵀ and WᵀW, summed in float64."""
    total, product = None, None
    with np.errstate(over="ignore", invalid="ignore"):
        for part in parts(matrix):
            if total is None:
                total = part @ part.T
                continue
            product = np.matmul(part, part.T, out=product)
            total += product
    size = min(matrix.shape)
    return np.zeros((size, size)) if total is None else total


def gram_times(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the smaller Gram matrix times vectors, (size of its smaller side, vector), in one pass over the matrix."""
    total = np.zeros_like(vectors)
    for part in parts(matrix):
        total += part @ (part.T @ vectors)
    return total


def larger_side(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the image on the larger side, (size of that, vector), of vectors on the smaller side."""
    images = [part.T @ vectors for part in parts(matrix)]
    return np.concatenate(images) if images else np.empty((max(matrix.shape), vectors.shape[1]))


def squares(matrix: np.ndarray) -> float:
    """Return the sum of the squares of all entries."""
    return float(sum(np.vdot(part, part) for part in parts(matrix)))


def aligned(size: int) -> np.ndarray:
    """Return an empty array of float64 that begins at a multiple of 64 bytes: BLAS rounds by alignment."""
    room = np.empty(size + 8)
    return room[(-room.ctypes.data % 64) // 8 :][:size]
