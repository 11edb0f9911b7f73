import numpy as np
import pytest

from trajlab.scan.kernels.transition_counts import (
    ONCE,
    PER_TAU,
    SECANTS,
    moved_counts,
    moved_near_counts,
    near_counts,
    once_counts,
)

BEFORE = np.float32([0.0, 1.0, -1.0, 0.5, 0.0, 3.0])
NOW = np.float32([0.0, -1.0, -1.0, 0.0, 2.0, 4.0])
MOVED = np.array([0.0, 0.5, -0.25, 1.0, 0.0, -2.0])


def table(columns, count, *arguments):
    out = np.zeros(len(columns))
    count(*arguments, out)
    return dict(zip(columns, out.tolist(), strict=True))


def test_once_counts__by_hand():
    counts = table((*ONCE, *SECANTS), once_counts, BEFORE, NOW)
    expected = {"valid": 6, "zero_prev": 2, "zero_next": 2, "zero_both": 1, "signed": 3, "flips": 1, "gg": 22}
    assert {name: counts[name] for name in expected} == expected
    # of (1, -1), (-1, -1), (3, 4): 2qg/(q²+g²) = -1 + 1 + 24/25, (g²-q²)/(q²+g²) = 0 + 0 + 7/25
    assert (counts["sine"], counts["cosine"]) == (pytest.approx(0.96), pytest.approx(0.28))


def test_once_counts__add_and_tiny_entries_have_an_angle():
    tiny = table((*ONCE, *SECANTS), once_counts, np.array([3e-200]), np.array([-4e-200]))
    assert (tiny["sine"], tiny["cosine"], tiny["flips"]) == (pytest.approx(-0.96), pytest.approx(0.28), 1)
    out = np.zeros(13)
    once_counts(BEFORE[:2], NOW[:2], out)
    once_counts(BEFORE[2:], NOW[2:], out)
    once_counts(BEFORE[:0], NOW[:0], out)
    np.testing.assert_allclose(out, list(table((*ONCE, *SECANTS), once_counts, BEFORE, NOW).values()))


def test_near_counts__by_hand_with_a_threshold_for_each_step():
    counts = table(PER_TAU, near_counts, BEFORE, NOW, 1.0, 2.0)
    expected = {"near_prev": 5, "near_next": 5, "zero_near": 2, "near_zero": 2, "near_near": 5}
    assert {name: counts[name] for name in expected} == expected
    assert (counts["retained_signed"], counts["retained_flips"]) == (2, 1)
    none = table(PER_TAU, near_counts, BEFORE, NOW, 0.0, 0.0)
    assert (none["near_prev"], none["near_near"], none["retained_signed"]) == (2, 1, 0)


def test_moved_counts__by_hand():
    counts = table((*ONCE, *SECANTS), moved_counts, BEFORE, NOW, MOVED)
    # the only flip, 1 to -1, falls while its weight rises: a maximum
    assert {name: counts[name] for name in ("moved", "change", *SECANTS)} == {
        "moved": 6,
        "change": 3.75,
        "minima": 0,
        "maxima": 1,
    }
    assert table((*ONCE, *SECANTS), moved_counts, BEFORE, NOW, -MOVED)["minima"] == 1


def test_moved_near_counts__by_hand():
    counts = table(PER_TAU, moved_near_counts, BEFORE, NOW, MOVED, 1.0, 1.0)
    assert {name: counts[name] for name in PER_TAU[7:]} == {
        "moved_retained": 4,
        "change_retained": 1.75,
        "moved_unflipped": 3,
        "change_unflipped": 1.25,
        "moved_released": 1,
        "change_released": 0.0,
    }
