import numpy as np
import pytest
from scipy import stats

from trajlab.explorer.rank_correlation import rank_correlation


def test_rho_is_spearmans():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2, 30)).round(1)
    assert rank_correlation(x, y).rho == pytest.approx(stats.spearmanr(x, y).statistic)


def test_p_is_exact_for_few_runs():
    result = rank_correlation(np.array([1.0, 10.0, 100.0, 1000.0, 1e4]), np.array([5.0, 4.0, 3.0, 2.0, 1.0]))
    assert result.rho == pytest.approx(-1)
    assert result.p == pytest.approx(2 / 120)
    assert result.runs == 5


def test_p_agrees_with_the_t_test_for_many_runs():
    random = np.random.default_rng(1)
    x = random.standard_normal(60)
    y = x + 3 * random.standard_normal(60)
    assert rank_correlation(x, y).p == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.02)


def test_runs_that_lack_a_value_are_left_out():
    result = rank_correlation(np.array([1, np.nan, 2, 3, np.inf]), np.array([1.0, 2, 3, 4, 5]))
    assert result.runs == 3 and result.rho == pytest.approx(1)


@pytest.mark.parametrize("y", [[1.0, 1, 1, 1], [1.0, 2, np.nan, np.nan]])
def test_nothing_is_known_of_constants_and_of_two_runs(y):
    result = rank_correlation(np.arange(4.0), np.array(y))
    assert np.isnan(result.rho) and np.isnan(result.p)
