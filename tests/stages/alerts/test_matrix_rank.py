import dask
import numpy as np
import pytest

import trajlab
from trajlab.stages.alerts import matrix_rank as ranks


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 2, 3, 3), (1, 4)])
def test_rank__agrees_with_the_singular_values(rng, shape):
    matrix = rng.standard_normal(shape).astype(np.float32)
    s = np.linalg.svd(matrix.reshape(shape[0], -1).astype(np.float64), compute_uv=False)
    p = s / s.sum()
    flat = matrix.reshape(shape[0], -1)
    assert ranks.rank(flat, "effective") == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)
    assert ranks.rank(flat, "stable") == pytest.approx((s**2).sum() / s[0] ** 2, rel=1e-12)


@pytest.mark.parametrize("measure", ranks.MEASURES)
def test_rank__of_one_direction_is_one_and_of_none_unknown(measure):
    assert ranks.rank(np.outer(np.arange(1.0, 5), np.ones(3)), measure) == pytest.approx(1, abs=1e-6)
    assert np.isnan(ranks.rank(np.zeros((3, 2)), measure))
    assert np.isnan(ranks.rank(np.full((3, 2), np.nan), measure))
    assert np.isnan(ranks.rank(np.zeros((0, 3)), measure))


def test_rank_table__is_lazy_and_the_same_for_any_chunks(rng, no_compute):
    array = trajlab.from_arrays({"w": rng.standard_normal((7, 4, 3, 2))}).weights["w"]
    with no_compute():
        tables = [ranks.rank_table(one, "effective") for one in (array, array.chunk({"step": 2, "in": 1}))]
    one, other = dask.compute(*tables)
    np.testing.assert_array_equal(one, other)
    assert one.values[3] == ranks.rank(array.values[3].reshape(4, -1), "effective")
