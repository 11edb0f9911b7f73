import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import zoom

from trajlab.statistics.attention_iou import attention_iou, resized, scaled


def test_attention_iou__by_hand_over_each_map_of_a_stack():
    """(1/4, 3/4) and (3/4, 1/4): 6/16 over 2/4; each map is scaled to the sum 1 first."""
    first, second = np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([[6.0, 2.0], [5.0, 5.0]])
    np.testing.assert_allclose(attention_iou(first, second, (-1,)), [0.75, 1.0])
    np.testing.assert_allclose(attention_iou(first[:, None], second, (-1,)), [[0.75, 16 / 17], [16 / 17, 1.0]])


@given(seed=st.integers(0, 1000))
def test_attention_iou__is_symmetric_and_at_most_1(seed):
    first, second = np.random.default_rng(seed).random((2, 3, 4, 5))
    iou = attention_iou(first, second, (-2, -1))
    np.testing.assert_allclose(iou, attention_iou(7 * second, first, (-2, -1)))
    assert ((iou > 0) & (iou <= 1)).all()


@pytest.mark.parametrize("broken", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_attention_iou__of_a_map_without_a_sum_is_unknown(broken):
    assert np.isnan(attention_iou(np.array(broken), np.ones(2), (-1,)))


def test_attention_iou__float16_sums_do_not_overflow():
    large = np.full((300, 300), 60000, np.float16)
    assert attention_iou(large, large, (-2, -1)) == pytest.approx(1)


def test_scaled__over_two_axes_and_broken_maps():
    maps = np.array([[[-2.0, 0.0], [2.0, 6.0]], [[1.0, np.nan], [0.0, 3.0]]], np.float32)
    np.testing.assert_array_equal(scaled(maps, (-2, -1))[0], [[0, 0.25], [0.5, 1]])
    assert np.isnan(scaled(maps, (-2, -1))[1]).all()


@pytest.mark.parametrize("shape", [(3, 2), (7, 5), (1, 9), (12, 1)])
def test_resized__agrees_with_scipy(rng, shape):
    map = rng.random((4, 5))
    expected = zoom(map, np.divide(shape, map.shape), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(resized(map, shape), expected, atol=1e-12)


def test_resized__of_one_pixel_and_of_its_own_size(rng):
    maps = rng.random((2, 3, 4))
    np.testing.assert_array_equal(resized(maps, (3, 4)), maps)
    np.testing.assert_array_equal(resized(np.full((1, 1), 5.0), (2, 3)), np.full((2, 3), 5.0))
