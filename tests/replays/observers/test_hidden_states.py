import numpy as np
import pytest

from trajlab.replays.observers.hidden_states import COLUMNS, HiddenStates, kurtosis, rank_of
from trajlab.replays.observers.observer import Batch, Layer


def table_of(values, size):
    layer = Layer("h", values.shape[1:], ("position", "unit"), values.dtype, {})
    observer = HiddenStates()
    state = observer.start([layer], len(values))
    for first in range(0, len(values), size):
        observer.add(state, 0, Batch(values[first : first + size], first))
    return observer.finish(state)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_hidden_states__do_not_depend_on_the_batches(size):
    values = np.random.default_rng(0).standard_normal((7, 5, 4)).astype(np.float32)
    whole, parts = table_of(values, 7), table_of(values, size)
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-12)


def test_hidden_states__tokens_that_are_not_finite_are_excluded():
    values = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
    values[1, 2, 0], values[2] = np.inf, np.nan
    found = table_of(values, 3)
    columns = dict(zip(COLUMNS, found["table"][0], strict=True))
    known = values[np.isfinite(values).all(2)].astype(float)
    assert columns["nonfinite"] == 21 and columns["tokens"] == len(known) == 9 and columns["sequences"] == 2
    assert columns["norm"] == pytest.approx(np.linalg.norm(known, axis=1).sum())
    assert columns["effective_rank"] == pytest.approx(rank_of(known))
    assert found["norms"][0, 2].tolist() == pytest.approx([np.linalg.norm(values[0, 2]), 1])


def test_effective_rank__of_many_tokens_is_over_all_positions():
    values = np.random.default_rng(0).standard_normal((2048, 64, 4)).astype(np.float32)
    values[:, 0] = 1.0  # as the states of a first token, which are the same in all sequences
    rank = table_of(values, 2048)["table"][0, COLUMNS.index("effective_rank")]
    assert rank == pytest.approx(4, rel=0.01)


def test_effective_rank__of_wide_and_tall_matrices_is_that_of_their_singular_values():
    for shape in ((9, 4), (4, 9)):
        rows = np.random.default_rng(0).standard_normal(shape)
        singular = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
        p = singular[singular > 1e-12] / singular.sum()
        assert rank_of(rows) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
    assert np.isnan(rank_of(np.ones((3, 2)))) and np.isnan(rank_of(np.ones((1, 2))))


def test_kurtosis__of_a_constant_row_is_0():
    assert kurtosis(np.ones((1, 4))).tolist() == [0]
