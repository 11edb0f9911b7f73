import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.spectra import Spectra
from trajlab.scan.track import Track


def table(kernel, rows, shape, *, weights=None, epsilon=2.0**-23, previous=None, reference=None):
    block = Block(
        Track(list(rows), previous, reference), None if weights is None else Track(list(weights)), shape=shape,
        epsilon=epsilon,
    )  # fmt: skip
    ((columns, _),) = reduce([kernel], block)
    return {name: columns[:, i] for i, name in enumerate(kernel.columns)}


def test_spectra__shuffled_entries_are_the_same_entries_and_rows_stay_as_they_were(rng):
    rows = rng.standard_normal((3, 200)).astype(np.float32)
    before = rows.copy()
    actual = table(Spectra(10), rows, (10, 20))
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_allclose(actual["frobenius_norm_null"], actual["frobenius_norm"], rtol=1e-12)
    assert (actual["spectral_norm_null"] != actual["spectral_norm"]).all()


def test_spectra__changes_have_the_rounding_of_the_weights(rng):
    """A change of rank one, of weights so large that their rounding is what else it holds."""
    weights = 1e3 * rng.standard_normal((1, 600)).astype(np.float32)
    change = 1e-3 * np.outer(rng.standard_normal(20), rng.standard_normal(30)).astype(np.float32).ravel()
    moved = ((weights[0] + 5 * change) - weights[0])[None]
    fine = table(Spectra(20, shuffle=False), moved, (20, 30))
    rounded = table(Spectra(20, shuffle=False, is_difference=True), moved, (20, 30), weights=weights)
    assert fine["alpha"] == pytest.approx(fine["alpha"]) and np.isnan(rounded["alpha"])
    assert rounded["spectral_norm"] == fine["spectral_norm"]


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_spectra__squares_beyond_float64(rng, scale):
    rows = rng.standard_normal((2, 24))
    expected, actual = (table(Spectra(4), some, (4, 6), epsilon=2.0**-52) for some in (rows, scale * rows))
    np.testing.assert_allclose(actual["s4"] / scale, expected["s4"], rtol=1e-12)
    np.testing.assert_allclose(actual["stable_rank"], expected["stable_rank"], rtol=1e-12)
