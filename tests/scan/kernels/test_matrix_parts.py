import numpy as np
import pytest

from trajlab.scan.kernels.matrix_parts import gram, gram_times, larger_side, parts, squares


@pytest.mark.parametrize("shape", [(7, 30), (30, 7), (9, 9), (1, 5), (5, 1)])
@pytest.mark.parametrize("nbytes", [1, 500, 1 << 25])
def test_products__are_those_of_the_whole_matrix_whatever_the_parts(rng, shape, nbytes, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.MATRIX_PART_BYTES", nbytes)
    matrix = rng.standard_normal(shape).astype(np.float32)
    wide = (matrix if shape[0] <= shape[1] else matrix.T).astype(np.float64)
    vectors = rng.standard_normal((min(shape), 3))
    np.testing.assert_allclose(np.hstack(list(parts(matrix))), wide)
    np.testing.assert_allclose(gram(matrix), wide @ wide.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gram_times(matrix, vectors), wide @ (wide.T @ vectors), rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(larger_side(matrix, vectors), wide.T @ vectors, rtol=1e-12, atol=1e-12)
    assert squares(matrix) == pytest.approx((wide**2).sum())


def test_parts__of_a_matrix_without_entries():
    assert gram(np.empty((0, 4), np.float32)).shape == (0, 0)
    assert squares(np.empty((3, 0), np.float32)) == 0
