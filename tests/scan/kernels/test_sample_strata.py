import numpy as np
import pytest

from tests.scan.kernels.sampled_blocks import SHAPE, block
from trajlab.record.sampling import sample_indices
from trajlab.scan.kernels.moment_errors import MOMENT_ERRORS, MomentErrors
from trajlab.scan.kernels.sample_strata import strata_of


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
