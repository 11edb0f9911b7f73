import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.quantiles import Quantiles
from trajlab.scan.track import Track
from trajlab.sizes import SHORT_ENTRIES

QUANTILES = (0.0, 0.05, 0.5, 0.9, 1.0)


def table(rows):
    ((out, _),) = reduce([Quantiles(QUANTILES)], Block(Track(list(rows))))
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dirty", [False, True])
def test_quantiles__of_short_rows_are_numpys(rng, dtype, dirty):
    rows = rng.standard_normal((3, 501)).astype(dtype)
    if dirty:
        rows[1, :7], rows[1, 7:9], rows[2] = np.nan, np.inf, np.nan
    actual = table(rows)
    for step in range(3):
        finite = rows[step][np.isfinite(rows[step])].astype(np.float64)
        expected = np.quantile(finite, QUANTILES) if finite.size else np.full(len(QUANTILES), np.nan)
        np.testing.assert_array_equal(actual[step], expected)


def test_quantiles__of_long_rows_are_within_their_bound(rng):
    rows = np.square(rng.standard_normal((2, SHORT_ENTRIES + 3000))).astype(np.float32)
    rows[1, ::2] = 0.0
    actual = table(rows)
    expected = np.quantile(rows.astype(np.float64), QUANTILES, axis=1).T
    np.testing.assert_allclose(actual, expected, rtol=1 / 128)


def test_quantiles__of_no_entries_are_nan():
    assert np.isnan(table(np.empty((2, 0), np.float32))).all()
