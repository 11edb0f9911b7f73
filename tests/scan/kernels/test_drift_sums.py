import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.drift_sums import Pairs
from trajlab.scan.kernels.pair_sums import PAIRS
from trajlab.scan.track import Track
from trajlab.sizes import TILE_ENTRIES


def table(rows, previous, reference, **tolerances):
    ((out, changed),) = reduce([Pairs(**tolerances)], Block(Track(list(rows), previous, reference)))
    return dict(zip(PAIRS, out.T, strict=True)), changed


def test_pairs__hand_made_case():
    rows = np.array([[1, -2, 0, 4], [1, 2, 3, -4]], np.float32)
    actual, changed = table(rows, None, rows[0])
    assert actual["squares"].tolist() == [21, 30]
    assert actual["reference_l1"].tolist() == [0, 15]
    assert actual["reference_l2"].tolist() == [0, 16 + 9 + 64]
    assert actual["reference_linf"].tolist() == [0, 8]
    assert actual["reference_changed"].tolist() == [0, 3]
    assert actual["reference_changed_ww"].tolist() == [0, 4 + 9 + 16]
    assert actual["reference_sign"].tolist() == [0, 3]  # 0 to 3 is a change of sign, but no flip
    assert actual["previous_flips"][1] == 2
    assert actual["previous_signed"][1] == 3
    assert np.isnan(actual["previous_flips"][0])
    assert np.unpackbits(changed, count=4).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, TILE_ENTRIES, 3 * TILE_ENTRIES + 5])
def test_pairs__agree_with_numpy(rng, dtype, size):
    rows = rng.standard_normal((4, size)).astype(dtype)
    rows[2, : size // 2] = rows[1, : size // 2]
    actual, _ = table(rows[1:], rows[0], rows[0], atol=0.5, rtol=0.1)
    w, r, p = rows[1:].astype(np.float64), rows[0].astype(np.float64), rows[:-1].astype(np.float64)
    np.testing.assert_allclose(actual["reference_l1"], abs(w - r).sum(1), rtol=1e-12)
    np.testing.assert_allclose(actual["reference_l2"], ((w - r) ** 2).sum(1), rtol=1e-12)
    np.testing.assert_array_equal(actual["reference_linf"], abs(w - r).max(1))
    np.testing.assert_allclose(actual["reference_rr"], (r**2).sum(), rtol=1e-12)
    np.testing.assert_array_equal(actual["reference_beyond"], (abs(w - r) > 0.5 + 0.1 * abs(r)).sum(1))
    np.testing.assert_array_equal(actual["reference_sign"], (np.sign(w) != np.sign(r)).sum(1))
    np.testing.assert_allclose(actual["previous_l2"], ((w - p) ** 2).sum(1), rtol=1e-12)
    np.testing.assert_array_equal(actual["previous_flips"], (w * p < 0).sum(1))


def test_pairs__nonfinite_entries_are_counted_and_left_out(rng):
    rows = rng.standard_normal((3, 2 * TILE_ENTRIES)).astype(np.float32)
    rows[1, [3, TILE_ENTRIES]] = np.nan, np.inf
    rows[0, 5] = -np.inf
    actual, _ = table(rows[1:], rows[0], rows[0])
    known = np.isfinite(rows[1:]) & np.isfinite(rows[0])
    d = np.where(known, rows[1:].astype(np.float64) - rows[0], 0)
    assert actual["nonfinite"].tolist() == [2, 0]
    assert actual["reference_valid"].tolist() == known.sum(1).tolist()
    np.testing.assert_allclose(actual["reference_l2"], np.nansum(np.where(known, d, 0) ** 2, axis=1), rtol=1e-12)
    assert actual["previous_valid"].tolist() == [2 * TILE_ENTRIES - 3, 2 * TILE_ENTRIES - 2]


def test_pairs__negative_zero_changed_its_bits_but_not_its_value():
    actual, _ = table(np.array([[-0.0]], np.float32), None, np.array([0.0], np.float32))
    assert actual["reference_changed"][0] == 1
    assert actual["reference_beyond"][0] == 0
    assert actual["reference_sign"][0] == 0


def test_pairs__how_steps_are_blocked_changes_no_bit(rng):
    rows = rng.standard_normal((6, TILE_ENTRIES + 9)).astype(np.float32)
    whole, changed = table(rows[1:], rows[0], rows[0])
    first, early = table(rows[1:3], rows[0], rows[0])
    second, late = table(rows[3:], rows[2], rows[0])
    for name in PAIRS:
        np.testing.assert_array_equal(whole[name], np.concatenate([first[name], second[name]]))
    assert Pairs().merge(early, late) is None is changed  # every entry moved
