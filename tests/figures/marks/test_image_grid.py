import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import BROKEN, DIVERGING, OVERLAY, SEQUENTIAL
from trajlab.figures.marks.image_grid import (
    CLEAR,
    LIGHT,
    PIXEL,
    SIDE,
    STRONG,
    enlarged,
    extent,
    leveled,
    overlaid,
    picture,
    ratio,
    sheet,
    signed,
    tiled,
)


def test_tiled__runs_from_black_to_white_with_zero_in_the_middle_and_clear_gaps():
    images = np.array([-2.0, 0.0, 1.0, np.nan]).reshape(4, 1, 1, 1)

    mosaic = tiled(images, 1.0)

    assert mosaic.shape == (2 * PIXEL + CLEAR, 2 * PIXEL + CLEAR, 4)
    corners = mosaic[:: PIXEL + CLEAR, :: PIXEL + CLEAR][:2, :2]
    np.testing.assert_allclose(corners[..., :3].reshape(4, 3), [[0] * 3, [0.5] * 3, [1] * 3, to_rgb(BROKEN)])
    assert (mosaic[PIXEL : PIXEL + CLEAR] == 0).all() and (corners[..., 3] == 1).all()


@pytest.mark.parametrize(
    ("shape", "color", "tiles"),
    [
        ((4, 3, 2, 5), True, (2, 2)),
        ((4, 3, 2, 5), False, (3, 4)),
        ((4, 2, 2, 5), True, (2, 4)),
        ((7, 1, 2, 5), True, (3, 3)),
    ],
)
def test_extent__is_that_of_the_mosaic(shape, color, tiles):
    rows, columns = tiles
    height, width = rows * (2 * PIXEL + CLEAR) - CLEAR, columns * (5 * PIXEL + CLEAR) - CLEAR
    assert extent(shape, color) == tiled(np.zeros(shape), 1.0, color).shape[:2] == (height, width)


def test_tiled__three_channels_are_red_green_and_blue_only_if_they_are_colors():
    image = np.array([1.0, -1.0, 0.0]).reshape(1, 3, 1, 1)
    assert tiled(image, 1.0)[0, 0].tolist() == [1, 0, 0.5, 1]
    assert tiled(image, 1.0, color=False)[:: PIXEL + CLEAR, 0, 0].tolist() == [1, 0, 0.5]


def test_picture__scales_to_its_own_limits_or_those_it_is_told():
    image = np.array([[[0.0, 2.0], [4.0, np.inf]]])
    gray = picture(image)
    assert gray[..., 0].ravel()[:3].tolist() == [0, 0.5, 1] and gray[1, 1].tolist() == list(to_rgb(BROKEN))
    assert picture(image, (-4.0, 4.0))[0, 0].tolist() == [0.5] * 3
    assert picture(np.full((1, 1, 1), 7.0))[0, 0].tolist() == [0] * 3
    two = np.stack([np.zeros((1, 2)), np.array([[0.0, 1.0]])])
    np.testing.assert_allclose(picture(two)[0], [[0] * 3, [1] * 3])  # the mean of two channels, in gray


def test_signed__has_zero_in_the_middle_of_the_colors():
    colors = signed(np.array([[-1.0, 0.0, 4.0, np.nan]]))[0]
    expected = [DIVERGING(0.375), DIVERGING(0.5), DIVERGING(1.0)]
    np.testing.assert_allclose(colors[:3], np.array(expected)[:, :3])
    assert colors[3].tolist() == list(to_rgb(BROKEN))
    np.testing.assert_allclose(signed(np.zeros((1, 1)))[0, 0], DIVERGING(0.5)[:3])


def test_leveled__goes_from_the_least_to_the_largest():
    colors = leveled(np.array([[1.0, 3.0, np.inf]]))[0]
    np.testing.assert_allclose(colors[:2], [SEQUENTIAL(0.0)[:3], SEQUENTIAL(1.0)[:3]])
    assert colors[2].tolist() == list(to_rgb(BROKEN))


def test_overlaid__covers_most_where_the_map_is_largest():
    white = np.ones((1, 2, 3))
    shown = overlaid(white, np.array([[0.0, 5.0]]))

    assert shown.shape == (SIDE // 2, SIDE, 3)
    np.testing.assert_allclose(shown[0, 0], (1 - LIGHT) + LIGHT * np.array(OVERLAY(0.0)[:3]))
    np.testing.assert_allclose(shown[0, -1], (1 - STRONG) + STRONG * np.array(OVERLAY(1.0)[:3]))
    nothing = overlaid(white, np.zeros((1, 2)))
    assert np.ptp(nothing, axis=(0, 1)).max() == 0
    assert overlaid(white, np.full((1, 2), np.nan))[0, 0].tolist() == list(to_rgb(BROKEN))


def test_sheet__puts_names_in_the_middle_of_rows_and_columns():
    ax = Figure((6, 3)).add_subplot()
    tile = np.zeros((SIDE, SIDE, 3))

    sheet([[tile, tile], [tile, tile + 1]], ax, rows=["a", "b"], columns=["x", "y"], below=["1", "2"], note="class")

    whole = ax.images[0].get_array()
    gap = round(0.06 * SIDE)
    assert whole.shape == (2 * SIDE + gap, 2 * SIDE + gap, 4)
    assert whole[-1, -1].tolist() == [1, 1, 1, 1] and whole[SIDE, 0].tolist() == [0, 0, 0, 0]
    middles = [SIDE / 2 - 0.5, 1.5 * SIDE + gap - 0.5]
    assert ax.get_xticks().tolist() == ax.get_yticks().tolist() == middles and ax.get_xlabel() == "class"
    (top,) = ax.child_axes
    assert [label.get_text() for label in top.get_xticklabels()] == ["x", "y"]
    shape = ratio((1, SIDE, SIDE), 2, 2)
    assert shape == pytest.approx(whole.shape[0] / whole.shape[1], rel=0.03)


def test_enlarged__repeats_pixels_until_a_tile_is_large_enough():
    assert enlarged(np.zeros((3, 5, 3))).shape == (39, 65, 3)
    assert enlarged(np.zeros((100, 5, 3))).shape == (100, 5, 3)


def test_picture__of_three_channels_is_in_color_and_of_others_their_mean():
    image = np.zeros((3, 1, 2))
    image[0, 0, 0], image[2, 0, 1] = 4.0, 2.0
    np.testing.assert_allclose(picture(image)[0], [[1, 0, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(picture(np.stack([image[0], -image[0]]))[..., 1], 0)
    np.testing.assert_allclose(picture(image, (-4.0, 4.0))[0, 0], [1, 0.5, 0.5])


def test_overlaid__is_brightest_where_the_map_is_largest_and_keeps_the_picture_where_it_is_0():
    ground = picture(np.eye(8)[None])
    actual = overlaid(ground, np.array([[0.0, 0.0], [0.0, 3.0]]))
    assert actual.shape == (64, 64, 3)
    assert actual[60, 50].sum() > 2 * actual[4, 20].sum()
    np.testing.assert_allclose(actual[:8, :8], 0.75, atol=0.01)
    np.testing.assert_allclose(overlaid(ground, np.zeros((2, 2)))[8:16, :8], 0, atol=0.01)
    np.testing.assert_allclose(overlaid(ground, np.full((2, 2), np.nan))[0, 0], to_rgb(BROKEN))
