import numpy as np

from tests.scan.kernels.sampled_blocks import SHAPE, block, covariance
from trajlab.record.sampling import sample_indices
from trajlab.scan.kernels.angle_errors import ANGLE_ERRORS, AngleErrors


def test_angle_errors__agree_with_numpy_and_go_on_from_the_row_before(rng):
    index = sample_indices("w", SHAPE, 90)
    rows = rng.standard_normal((3, 90))
    out, _ = AngleErrors().finish(block(rows, index), None)
    assert np.isnan(out[0]).all() and len(out[0]) == len(ANGLE_ERRORS)
    for step in (1, 2):
        q, g = rows[step - 1 : step + 1]
        expected = covariance(np.stack([g * q, g * g, q * q]), index)
        np.testing.assert_allclose(out[step], expected[np.triu_indices(3)], rtol=1e-9, atol=1e-7)
    later, _ = AngleErrors().finish(block(rows[1:], index, previous=rows[0]), None)
    np.testing.assert_array_equal(later, out[1:])


def test_angle_errors__leave_out_entries_that_are_not_finite_at_both_steps(rng):
    index = sample_indices("w", SHAPE, 90)
    rows = rng.standard_normal((2, 90))
    rows[0, 3], rows[1, 5] = np.nan, np.inf
    out, _ = AngleErrors().finish(block(rows, index), None)
    q, g = (np.where(np.isfinite(rows).all(0), row, 0) for row in rows)
    expected = covariance(np.stack([g * q, g * g, q * q]), index)
    np.testing.assert_allclose(out[1], expected[np.triu_indices(3)], rtol=1e-9, atol=1e-7)


def test_angle_errors__of_all_entries_are_0_but_at_the_first_step(rng):
    out, _ = AngleErrors().finish(block(rng.standard_normal((3, 900)), None), None)
    assert np.isnan(out[0]).all() and (out[1:] == 0).all()
