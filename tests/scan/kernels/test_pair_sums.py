import numpy as np
from numba import njit

from trajlab.scan.kernels.pair_sums import PAIRS, add_pairs, mark_changed, zeros
from trajlab.scan.tiles import squares


@njit
def added(w, r, v, out):
    bits = w.view(np.int32), r.view(np.int32), v.view(np.int32)
    of_r, of_v = (squares(r), zeros(r)), (squares(v), zeros(v))
    return add_pairs(w, r, v, bits[0], bits[1], bits[2], of_r, of_v, bits[0][:0], 0.0, 0.0, out)


@njit
def marked(w, r, differs):
    mark_changed(w.view(np.int32), r.view(np.int32), differs)


def test_add_pairs__returns_what_the_next_row_needs_of_this_one():
    w, r, v = np.array([[0, 3, -4], [0, 3, 4], [1, -3, 4]], np.float32)
    out = np.zeros(len(PAIRS))
    (total, none), differing = added(w, r, v, out)
    assert (total, none, differing) == (25, 1, 1)
    sums = dict(zip(PAIRS, out, strict=True))
    assert (sums["reference_l2"], sums["previous_l2"], sums["previous_flips"], sums["previous_signed"]) == (
        64,
        101,
        2,
        2,
    )


def test_mark_changed__keeps_what_is_marked():
    w, r = np.array([[1, 2, -0.0], [1, 3, 0.0]], np.float32)
    differs = np.array([1, 0, 0], np.uint8)
    marked(w, r, differs)
    assert differs.tolist() == [1, 1, 1]
