import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.adam_updates import ADAM, AdamUpdates
from trajlab.scan.track import Track
from trajlab.sizes import TILE_ENTRIES

STEPS = np.array([3, 5, 8])
SCALES = ((1.5, 2.0, 1e-3, np.nan, np.nan), (1.2, 1.7, 1e-3, 0.98, 0.0), (1.1, 1.4, 1e-3, 0.95, 1e-3))


def table(first, second, steps=STEPS, previous=None, positions=None):
    weights = Track(list(second), previous, positions=positions)
    block = Block(Track(list(first)), weights, step=steps)
    ((out, _),) = reduce([AdamUpdates(tuple(STEPS.tolist()), SCALES)], block)
    return dict(zip(ADAM, out.T, strict=True))


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float64, np.float32)])
def test_adam_updates__agree_with_numpy(rng, dtypes):
    size = TILE_ENTRIES + 7
    first = rng.standard_normal((3, size)).astype(dtypes[0])
    second = np.square(rng.standard_normal((3, size))).astype(dtypes[1])
    second[1, :4000] = 0.97 * second[0, :4000]
    first[:, :50], second[:, :50] = 0, 0
    first[1, 60], second[1, 61], second[0, 62] = np.nan, np.inf, np.nan
    actual = table(first, second)
    for step, (c1, c2, eps, fade, floor) in enumerate(SCALES):
        m, v = first[step].astype(np.float64), second[step].astype(np.float64)
        valid = np.isfinite(m) & np.isfinite(v)
        u = c1 * m[valid] / (np.sqrt(c2 * v[valid]) + eps)
        assert actual["valid"][step] == valid.sum() and actual["nonfinite"][step] == size - valid.sum()
        assert actual["direction_square"][step] == pytest.approx((u**2).sum(), rel=1e-12)
        assert actual["direction_max"][step] == pytest.approx(abs(u).max(), rel=1e-14)
        assert actual["first_square"][step] == pytest.approx(((c1 * m[valid]) ** 2).sum(), rel=1e-12)
        assert actual["second"][step] == pytest.approx((c2 * v[valid]).sum(), rel=1e-12)
        assert actual["idle"][step] == ((m == 0) & (v == 0)).sum()
        if step:
            before = second[step - 1].astype(np.float64)
            compared = (before > 0) & np.isfinite(before) & np.isfinite(v)
            assert actual["compared"][step] == compared.sum()
            assert actual["fading"][step] == (v[compared] <= fade * before[compared] + floor).sum()
    assert np.isnan(actual["fading"][0]) and np.isnan(actual["compared"][0])


def test_adam_updates__go_on_from_the_row_before_the_block(rng):
    first, second = rng.standard_normal((3, 40)), rng.random((3, 40))
    whole = table(first, second)
    part = table(first[1:], second[1:], STEPS[1:], previous=second[0])
    for name in ADAM:
        np.testing.assert_array_equal(part[name], whole[name][1:])


def test_adam_updates__where_second_moments_were_not_kept(rng):
    first, second = rng.standard_normal((3, 40)), rng.random((3, 40))
    actual = table(first, second[:2], positions=np.array([0, -1, 1]))
    assert np.isnan(actual["valid"][1]) and actual["valid"][2] == 40 and np.isnan(actual["fading"][2])
    ((out, _),) = reduce([AdamUpdates(tuple(STEPS.tolist()), SCALES)], Block(Track(list(first)), step=STEPS))
    assert np.isnan(out).all()


def test_adam_updates__an_update_without_epsilon_and_gradient_is_zero():
    scales = ((1.0, 1.0, 0.0, np.nan, np.nan),)
    block = Block(Track([np.zeros(3)]), Track([np.zeros(3)]), step=np.array([1]))
    ((out, _),) = reduce([AdamUpdates((1,), scales)], block)
    assert out[0, ADAM.index("direction_square")] == 0.0 and out[0, ADAM.index("idle")] == 3
