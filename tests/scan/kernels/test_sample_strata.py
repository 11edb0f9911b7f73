import numpy as np
import pytest

from trajlab.record.sampling import sample_indices
from trajlab.scan.block import Block
from trajlab.scan.kernels.angle_errors import ANGLE_ERRORS, AngleErrors
from trajlab.scan.kernels.moment_errors import MOMENT_ERRORS, MomentErrors
from trajlab.scan.kernels.sample_strata import strata_of
from trajlab.scan.kernels.transition_errors import TransitionErrors
from trajlab.scan.track import Track

SHAPE = (20, 5, 3, 3)


def block(rows, index, shape=SHAPE, previous=None, **tracks):
    return Block(Track(list(rows), previous), indices=index, shape=shape, **tracks)


def covariance(values, index, shape=SHAPE, taps=9):
    """Return the covariance matrix of the estimated totals of variables, (variable, entry), by Cochran's formula."""
    entries, total = int(np.prod(shape)) // taps, 0.0
    for tap in range(taps):
        of_tap = values[:, index % taps == tap]
        n = of_tap.shape[1]
        total = total + entries**2 * (1 - n / entries) / n * np.cov(of_tap)
    return total


def test_strata__are_taps_if_the_sample_is_spread_evenly_over_them(rng):
    index = sample_indices("w", SHAPE, 90)
    strata = strata_of(block(np.zeros((1, 90)), index))
    assert np.diff(strata.bounds).tolist() == [10] * 9 and strata.between == 0
    assert (np.diff(index[strata.order] % 9) >= 0).all()
    np.testing.assert_allclose(strata.scale, 100**2 * (1 - 10 / 100) / (10 * 9))


@pytest.mark.parametrize(
    ("index", "shape"),
    [(np.arange(0, 900, 30), SHAPE), (np.arange(12), SHAPE), (np.arange(50), (60, 5)), (None, (60, 5))],
)
def test_strata__of_any_other_sample_are_one(index, shape):
    size = 50 if index is None else len(index)
    strata = strata_of(block(np.zeros((1, size)), index, shape))
    assert np.diff(strata.bounds).tolist() == [size]


def test_strata__a_single_entry_has_no_known_variance_and_all_have_none():
    assert np.isnan(strata_of(block(np.zeros((1, 1)), np.array([3]), (7,))).scale).all()
    assert strata_of(block(np.zeros((1, 7)), np.arange(7), (7,))).scale.tolist() == [0]


def test_strata__which_taps_get_one_entry_more_is_part_of_the_error():
    """Taps differ, entries of a tap do not: all variance comes from the taps that are favored."""
    values = np.tile(np.arange(9.0), 100)
    estimates, variances = [], []
    for seed in range(2000):
        index = sample_indices("w", SHAPE, 22, seed=seed)
        ((out, _),) = [MomentErrors().finish(block(values[None, index], index), None)]
        estimates.append(900 * values[index].mean())
        variances.append(dict(zip(MOMENT_ERRORS, out[0], strict=True))["deviation_deviation"])
    np.testing.assert_allclose(np.mean(variances), np.var(estimates), rtol=0.06)


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
