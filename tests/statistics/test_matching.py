import numpy as np
import pytest

from trajlab.statistics.matching import best_match, shuffled_match


def test_best_match__of_more_columns_than_rows():
    rows, columns = best_match(np.array([[0.1, 0.9, 0.8], [0.2, 0.9, 0.1]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [2, 1])


def test_shuffled_match__is_mean_and_quantile_over_orders_of_the_samples():
    orders = []

    def similarity(order):
        orders.append(order)
        return np.array([[order[0], 0.0], [0.0, 0.0]])  # matched as [order[0], 0]

    mean, quantile = shuffled_match(similarity, 5, shuffles=40)

    scores = np.array([order[0] for order in orders]) / 2
    assert mean == pytest.approx(scores.mean()) and quantile == pytest.approx(np.quantile(scores, 0.95))
    assert len(orders) == 40 and all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert shuffled_match(similarity, 5, shuffles=40) == (mean, quantile)


def test_shuffled_match__without_shuffles_is_unknown():
    assert np.isnan(shuffled_match(lambda order: np.eye(2), 3, shuffles=0)).all()
