import numpy as np
import pytest
from scipy.linalg import subspace_angles

from trajlab.scan.kernels.singular_values import decompose
from trajlab.scan.kernels.subspaces import overlaps, subspace_size, subspaces


def of(matrix, size):
    return subspaces(matrix, decompose(matrix, vectors=size), size)


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (600, 20), (300, 320)])
def test_overlaps__are_the_mean_square_cosines_of_principal_angles(rng, shape):
    matrices = rng.standard_normal((2, *shape)) + 3 * np.outer(*(rng.standard_normal(n) for n in shape))
    first, second = (np.linalg.svd(matrix, full_matrices=False) for matrix in matrices)
    expected = [
        np.mean(np.cos(subspace_angles(a, b)) ** 2)
        for a, b in ((first[0][:, :4], second[0][:, :4]), (first[2][:4].T, second[2][:4].T))
    ]
    np.testing.assert_allclose(overlaps(*(of(matrix, 4) for matrix in matrices)), expected, rtol=1e-5)


def test_overlaps__of_the_same_and_of_orthogonal_subspaces():
    matrix = np.diag([5.0, 4.0, 3.0, 2.0])
    assert overlaps(of(matrix, 2), of(2 * matrix, 2)) == pytest.approx((1, 1))
    assert overlaps(of(matrix, 2), of(matrix[::-1].copy(), 2)) == pytest.approx((0, 1))


def test_subspaces__beyond_the_rank_are_unknown(rng):
    matrix = rng.standard_normal((9, 2)) @ rng.standard_normal((2, 8))
    assert of(matrix, 2) is not None and of(matrix, 3) is None and of(np.zeros((4, 5)), 1) is None
    assert np.isnan(overlaps(of(matrix, 3), of(matrix, 3))).all()


@pytest.mark.parametrize(("shape", "size"), [((12, 20), 3), ((40, 8), 2)])
def test_overlap_null__is_the_mean_of_random_subspaces(rng, shape, size):
    """Singular vectors of noise are random directions."""
    spaces = [of(rng.standard_normal(shape), subspace_size(*shape, size)) for _ in range(401)]
    actual = np.array([overlaps(a, b) for a, b in zip(spaces, spaces[1:], strict=False)])
    error = actual.std(0) / np.sqrt(len(actual))
    assert (abs(actual.mean(0) - [size / n for n in shape]) < 4 * error).all()
