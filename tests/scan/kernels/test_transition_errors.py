import numpy as np

from tests.scan.kernels.sampled_blocks import SHAPE, block, covariance
from trajlab.record.sampling import sample_indices
from trajlab.scan.kernels.transition_errors import TransitionErrors
from trajlab.scan.track import Track


def test_transition_errors__agree_with_numpy(rng):
    index = sample_indices("w", SHAPE, 90)
    rows = rng.standard_normal((3, 90)).astype(np.float32)
    weights = rng.standard_normal((3, 900)).astype(np.float32)
    rows[1, :2], rows[1, 2] = np.nan, 0
    kernel = TransitionErrors(tau=(0.7,))
    one = block(rows, index, weights=Track(list(weights)))
    out, _ = kernel.finish(one, kernel.start(one, None))
    assert np.isnan(out[0]).all()
    for step in (1, 2):
        q, g = rows[step - 1].astype(float), rows[step].astype(float)
        dw = (weights[step] - weights[step - 1])[index]
        known = np.isfinite(q) & np.isfinite(g)
        b, d = known & (abs(q) <= 0.7), known & (abs(g) <= 0.7)
        signed = known & (q != 0) & (g != 0)
        flip = signed & (q * g < 0)
        minima = flip & ((g - q) * dw > 0)
        pairs = [
            (flip, signed),
            (minima, signed),
            (flip & ~minima, signed),
            (d, known),
            (b & ~d, b),
            (d & ~b, known & ~b),
        ]
        pairs += [(flip & b & d, signed & b & d)]
        expected = [covariance(np.stack(pair).astype(float), index)[np.triu_indices(2)] for pair in pairs]
        np.testing.assert_allclose(out[step], np.ravel(expected), rtol=1e-9, atol=1e-7)


def test_transition_errors__of_rows_without_a_finite_entry_are_none(rng):
    index = sample_indices("w", SHAPE, 90)
    kernel = TransitionErrors(tau=(0.7,), relative=(0.1,))
    one = block(np.stack([rng.standard_normal(90), np.full(90, np.nan), np.zeros(90), np.zeros(90)]), index)
    out, _ = kernel.finish(one, kernel.start(one, None))
    assert (out[1:3] == 0).all() and np.isfinite(out[3]).all()


def test_transition_errors__of_all_entries_are_none(rng):
    kernel = TransitionErrors(tau=(0.7,), relative=(0.1,))
    one = block(rng.standard_normal((2, 900)), None)
    out, _ = kernel.finish(one, kernel.start(one, None))
    assert (out[1] == 0).all()
