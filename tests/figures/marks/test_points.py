import numpy as np
import pytest
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import CLASSES
from trajlab.figures.marks.points import MARKERS, legend, look_of, points, value_bar


def drawn(coordinates, targets):
    ax = Figure((3, 3)).add_subplot()
    look = look_of(targets)
    points(np.asarray(coordinates, float), targets, look, ax)
    return ax, look


@pytest.mark.parametrize(
    ("targets", "classes", "limits"),
    [
        (np.array([2, 0, 2, -1]), [0, 2], None),
        (np.arange(11), [], (0, 10)),
        (np.array([0.5, np.nan, 3.0]), [], (0.5, 3)),
        (np.array([True, False]), [0, 1], None),
        (np.array([np.nan]), [], None),
        (None, [], None),
    ],
)
def test_look_of__few_labels_are_classes_and_all_else_values(targets, classes, limits):
    look = look_of(targets)
    assert look.classes.tolist() == classes
    assert (None if look.norm is None else (look.norm.vmin, look.norm.vmax)) == limits


def test_points__of_a_class_have_a_color_and_a_marker_of_their_own():
    ax, look = drawn([[0, 0], [1, 1], [2, 0], [5, 5]], np.array([0, 7, 0, -1]))

    others, first, second = ax.collections
    assert [len(part.get_offsets()) for part in (others, first, second)] == [1, 2, 1]
    assert first.get_offsets()[1].tolist() == [2, 0]
    labels = [(line.get_label(), line.get_color(), line.get_marker()) for line in legend(look)]
    assert labels == [("class 0", CLASSES[0], MARKERS[0]), ("class 7", CLASSES[1], MARKERS[1])]
    assert len(MARKERS) == len(CLASSES)


def test_points__lie_in_a_square_about_what_is_finite():
    ax, _ = drawn([[0, 10], [4, 11], [np.nan, 1e9], [np.inf, 0]], None)

    assert ax.get_xlim() == pytest.approx((2 - 2.24, 2 + 2.24)) and ax.get_ylim() == pytest.approx((8.26, 12.74))
    assert ax.get_aspect() == 1 and not len(ax.get_xticks())
    alone, _ = drawn([[3, 3]], None)
    assert alone.get_xlim() == (2, 4)


def test_value_bar__is_there_for_values_only():
    ax, look = drawn([[0, 0], [1, 1]], np.array([0.5, 1.5]))
    value_bar(look, [ax])
    assert [bar.get_ylabel() for bar in ax.figure.axes[1:]] == ["target"]
    ax, look = drawn([[0, 0], [1, 1]], np.array([0, 1]))
    value_bar(look, [ax])
    assert len(ax.figure.axes) == 1
