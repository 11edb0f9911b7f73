"""Rows that are sorted: the kernel of distributions on rows of up to `EXACT` entries."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from tests.scan.kernels.test_distribution import QUANTILES, decile_psi, describe, finite
from trajlab.scan.kernels.distribution import EXACT


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [200, EXACT])
def test_spread__short_rows_are_exact(rng, dtype, size):
    rows = (rng.standard_normal((4, size)) * [[1], [2], [2.5], [1]]).astype(dtype)
    rows[2, :3] = np.nan, np.inf, -np.inf
    actual, bars, quantiles, edges = describe(rows[1:], rows[0], rows[0])
    for step, row in enumerate(rows[1:]):
        w, r, p = finite(row), finite(rows[0]), finite(rows[step])
        np.testing.assert_allclose(quantiles[step], np.quantile(w, QUANTILES), rtol=1e-6)
        assert actual["reference_wasserstein"][step] == pytest.approx(stats.wasserstein_distance(w, r), rel=1e-9)
        assert actual["reference_ks"][step] == pytest.approx(stats.ks_2samp(w, r).statistic, rel=1e-12)
        assert actual["previous_wasserstein"][step] == pytest.approx(stats.wasserstein_distance(w, p), rel=1e-9)
        assert actual["previous_ks"][step] == pytest.approx(stats.ks_2samp(w, p).statistic, rel=1e-12)
        assert actual["reference_psi"][step] == pytest.approx(decile_psi(w, r), rel=1e-9)
        np.testing.assert_array_equal(bars[step], np.histogram(w, edges)[0])
    expected = jensenshannon(bars[2], bars[1], base=2)
    assert actual["previous_js"][2] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("size", "other"), [(1, 1), (1, 7), (30, 200)])
def test_spread__of_rows_of_unlike_length_is_exact(rng, size, other):
    row, reference = rng.integers(-3, 4, size).astype(np.float32), rng.standard_normal(other).astype(np.float32)
    actual, _, quantiles, _ = describe(row[None], None, reference)
    assert actual["reference_wasserstein"][0] == pytest.approx(stats.wasserstein_distance(row, reference), rel=1e-6)
    assert actual["reference_ks"][0] == pytest.approx(stats.ks_2samp(row, reference).statistic)
    assert size < 10 or actual["reference_psi"][0] == pytest.approx(decile_psi(row, reference), rel=1e-9)
    np.testing.assert_allclose(quantiles[0], np.quantile(row, QUANTILES))
