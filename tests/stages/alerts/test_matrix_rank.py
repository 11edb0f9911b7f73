import dask
import numpy as np
import pytest

import trajlab
from trajlab.stages.alerts.matrix_rank import MEASURES, matrices_of, rank_operations, rank_table


def ranks(values, measure):
    return rank_table(trajlab.from_arrays({"w": values}).weights, measure).sel(parameter="w").values


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 2, 3, 3), (1, 4)])
def test_rank_table__agrees_with_the_singular_values(rng, shape):
    values = rng.standard_normal((2, *shape)).astype(np.float32)
    s = np.linalg.svd(values.reshape(2, shape[0], -1).astype(np.float64), compute_uv=False)
    p = s / s.sum(1, keepdims=True)
    np.testing.assert_allclose(ranks(values, "effective"), np.exp(-(p * np.log(p)).sum(1)), rtol=1e-9)
    np.testing.assert_allclose(ranks(values, "stable"), (s**2).sum(1) / s[:, 0] ** 2, rtol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_rank_table__of_one_direction_is_one_and_of_none_unknown(measure):
    one, none = np.outer(np.arange(1.0, 5), np.ones(3)), np.zeros((4, 3))
    actual = ranks(np.stack([one, none, np.full((4, 3), np.nan)]), measure)
    assert actual[0] == pytest.approx(1, abs=1e-6) and np.isnan(actual[1:]).all()


def test_rank_table__is_lazy_and_the_same_for_any_chunks(rng, no_compute):
    array = trajlab.from_arrays({"w": rng.standard_normal((7, 4, 3, 2))}).weights["w"]
    with no_compute():
        tables = [rank_table({"w": one}, "effective") for one in (array, array.chunk({"step": 2, "in": 1}))]
    one, other = dask.compute(*tables)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_matrices_of__takes_few_steps_with_both_ends(rng):
    run = trajlab.from_arrays({"w": rng.standard_normal((9, 4, 3)), "b": np.ones((9, 4)), "none": np.ones((9, 0, 3))})
    matrices = matrices_of(run.weights, 3)
    assert list(matrices) == ["w"] and matrices["w"].step.values.tolist() == [0, 4, 8]
    assert rank_operations(matrices) == pytest.approx(3 * rank_operations(matrices_of(run.weights, 1)))
