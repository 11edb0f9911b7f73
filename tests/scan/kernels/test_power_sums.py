import numpy as np
import pytest
from numba import njit

from trajlab.scan.kernels.power_sums import MOMENTS, add_powers


@njit
def added(w, bits, float_bits, out):
    add_powers(w, bits, float_bits, out)


@pytest.mark.parametrize("stored", [np.int16, np.int32])
def test_add_powers__extremes_come_from_the_bits_of_the_stored_type(stored):
    w = np.array([-2.5, 0, 1, 3], np.float32)
    bits = (w.view(np.int32) >> 16).astype(np.int16) if stored is np.int16 else w.view(np.int32)
    out = np.array([0, 0, 0, 0, 0, 0, np.inf, -np.inf, 0, 0])
    added(w, bits, np.empty(0, np.int32), out)
    sums = dict(zip(MOMENTS, out, strict=True))
    assert (sums["min"], sums["max"], sums["zeros"], sums["abs"], sums["count"]) == (-2.5, 3, 1, 6.5, 4)
    np.testing.assert_allclose(sums["m2"], ((w - w.mean()) ** 2).sum(), rtol=1e-12)
