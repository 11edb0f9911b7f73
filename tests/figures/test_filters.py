import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import trajlab
from trajlab.errors import BadSetting
from trajlab.figures import figure, panels
from trajlab.figures.marks.colors import BROKEN
from trajlab.figures.marks.image_grid import CLEAR, PIXEL, extent, tiled


def of(kernels, **settings):
    return trajlab.run("filters", trajlab.from_arrays({"conv.weight": kernels}), **settings).compute()


def tiles(picture, side):
    """The middle of each pixel of each tile, (row, column, y, x, 4)."""
    pitch = side * PIXEL + CLEAR
    rows, columns = ((length + CLEAR) // pitch for length in picture.shape[:2])
    position = np.arange(side) * PIXEL + PIXEL // 2
    return np.array(
        [[picture[r * pitch :, c * pitch :][np.ix_(position, position)] for c in range(columns)] for r in range(rows)]
    )


def test_mosaic__one_channel_is_gray_from_black_to_white():
    images = np.linspace(-1, 1, 6 * 4).reshape(6, 1, 2, 2)

    actual = tiles(tiled(images, 1.0), 2)

    assert actual.shape == (2, 3, 2, 2, 4)
    expected = (images.reshape(2, 3, 2, 2) + 1) / 2
    for channel in range(3):
        np.testing.assert_allclose(actual[..., channel], expected)
    assert (actual[..., 3] == 1).all()


def test_mosaic__three_channels_are_red_green_and_blue_on_one_scale():
    images = np.zeros((1, 3, 2, 2))
    images[0, 0, 0, 0], images[0, 2, 1, 1] = 2.0, -2.0

    actual = tiles(tiled(images, 2.0), 2)[0, 0]

    assert actual[0, 0, :3].tolist() == [1.0, 0.5, 0.5]
    assert actual[1, 1, :3].tolist() == [0.5, 0.5, 0.0]
    assert actual[0, 1, :3].tolist() == [0.5, 0.5, 0.5]


def test_mosaic__of_many_channels_has_a_column_for_each_filter():
    images = np.random.default_rng(0).uniform(-1, 1, (5, 2, 3, 3))

    actual = tiles(tiled(images, 1.0), 3)

    assert actual.shape[:2] == (2, 5)
    np.testing.assert_allclose(actual[1, 4, ..., 0], (images[4, 1] + 1) / 2)


def test_mosaic__gaps_are_clear_and_broken_pixels_stand_out():
    images = np.zeros((2, 1, 2, 2))
    images[0, 0, 0, 0] = np.nan

    picture = tiled(images, 1.0)

    assert picture.shape[:2] == extent(images.shape) == (2 * PIXEL, 4 * PIXEL + CLEAR)
    assert (picture[:, 2 * PIXEL : 2 * PIXEL + CLEAR, 3] == 0).all()
    assert picture[0, 0, :3].tolist() == list(to_rgb(BROKEN))


def test_filters__all_steps_share_one_scale():
    result = of(np.ones((3, 4, 1, 3, 3)) * np.array([1.0, 4.0, 2.0])[:, None, None, None, None])

    shades = [figure(result, step=step).images[0].get_array()[0, 0, 0] for step in (0, 1, 2)]

    np.testing.assert_allclose(shades, [0.625, 1.0, 0.75])


def test_filters__draws_the_last_step_and_says_so():
    ax = figure(of(np.random.default_rng(0).random((3, 4, 1, 3, 3))))

    assert ax.get_title() == "conv.weight, step 2"


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_filters__draws_what_has_no_scale(value):
    result = of(np.full((2, 4, 1, 3, 3), value))

    assert figure(result).images


def test_filters__the_caption_counts_what_is_left_out():
    panel = panels(of(np.ones((2, 9, 2, 3, 3)), max_filters=4))[0]

    assert "one of its 2 channels. The first 4 of 9 filters." in panel.caption


def test_filters__another_layer_than_that_of_the_result():
    with pytest.raises(BadSetting, match="parameter='fc'.*conv.weight"):
        figure(of(np.ones((2, 4, 1, 3, 3))), parameter="fc")


def test_filters__as_many_are_shown_as_leave_each_weight_some_pixels():
    small, large = (panels(of(np.ones((4, count, count, 5, 5))))[0] for count in (8, 40))
    drawing = Figure(large.size, layout="constrained")
    large.draw(drawing)

    assert "The first" not in small.caption
    assert large.caption.endswith("The first 12 of 40 filters and the first 12 of 40 channels.")
    assert drawing.axes[0].images[0].get_array().shape[:2] == extent((12, 12, 5, 5))
    assert drawing.axes[0].get_window_extent().width / (12 * 5) > 2.0


def test_mosaic__three_channels_are_gray_one_below_the_other_by_name():
    images = np.zeros((2, 3, 2, 2))
    images[1, 2, 0, 0] = 1.0

    pixels = tiles(tiled(images, 1.0, color=False), 2)

    assert pixels.shape[:2] == (3, 2)
    assert pixels[2, 1, 0, 0, :3].tolist() == [1.0, 1.0, 1.0] and pixels[1, 1, 0, 0, :3].tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("color", "words"), [(True, "red, green and blue"), (False, "row one of its 3 channels")])
def test_filters__of_color_images_are_shown_in_color_or_by_channel(color, words):
    result = of(np.random.default_rng(0).standard_normal((2, 4, 3, 5, 5)).astype(np.float32), color=color)
    (panel, *_) = panels(result)

    assert words in panel.caption and result.attrs["color"] == color
    height, width, _ = figure(result).get_images()[0].get_array().shape
    rows, columns = ((length + CLEAR) // (5 * PIXEL + CLEAR) for length in (height, width))
    assert (rows, columns) == ((2, 2) if color else (3, 4))
