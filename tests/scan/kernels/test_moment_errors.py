import numpy as np

from tests.scan.kernels.sampled_blocks import SHAPE, block, covariance
from trajlab.record.sampling import sample_indices
from trajlab.scan.kernels.moment_errors import MOMENT_ERRORS, MomentErrors


def test_moment_errors__agree_with_numpy(rng):
    index = sample_indices("w", SHAPE, 90)
    rows = rng.standard_normal((2, 90)).astype(np.float32) + 3
    rows[1, :4] = np.nan, np.inf, 0, 0
    out, _ = MomentErrors().finish(block(rows, index), None)
    for row, columns in zip(rows.astype(np.float64), out, strict=True):
        finite = np.isfinite(row)
        x = np.where(finite, row, 0)
        y = np.where(finite, x - x[finite].mean(), 0)
        expected = covariance(np.stack([finite, y, y**2, abs(x)]).astype(float), index)
        np.testing.assert_allclose(columns[1:], expected[np.triu_indices(4)], rtol=1e-9, atol=1e-7)


def test_moment_errors__of_all_entries_are_0_and_of_none_that_is_finite_have_no_center(rng):
    everything, _ = MomentErrors().finish(block(rng.standard_normal((2, 900)), None), None)
    assert everything.shape == (2, len(MOMENT_ERRORS)) and (everything == 0).all()
    broken, _ = MomentErrors().finish(block(np.full((1, 90), np.inf), sample_indices("w", SHAPE, 90)), None)
    columns = dict(zip(MOMENT_ERRORS, broken[0], strict=True))
    assert np.isnan(columns["center"]) and columns["one_one"] == 0
