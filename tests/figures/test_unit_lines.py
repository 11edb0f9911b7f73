import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

import trajlab
from trajlab.figures import figure
from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.unit_lines import DEEP


@pytest.fixture
def result():
    """Two steps of a layer of three units, one of which misses the picture; the upper half is class 7."""
    weight = np.array([[[1.0, 0], [0, 1], [1, 0]]] * 2)
    bias = np.array([[0.5, -0.5, 9.0], [0.0, 0.0, 9.0]])
    run = trajlab.from_arrays({"fc.weight": weight, "fc.bias": bias}, steps=[0, 10])
    actual = trajlab.run("unit_lines", run).compute()
    region = np.array([[[2.0, 2.0], [7.0, 7.0]], [[2.0, 2.0], [np.nan, 2.0]]], np.float32)
    points = np.array([[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]])
    return actual.assign(
        region=(("step", "y", "x"), region), point=(("sample", "axis"), points), target=("sample", [7, 2, 7])
    )


def strokes(ax):
    return next(collection for collection in ax.collections if isinstance(collection, LineCollection)).get_segments()


def test_unit_lines__are_drawn_where_they_cross_the_picture_with_a_tick_to_the_active_side(result):
    ax = figure(result, step=0)

    lines, ticks = strokes(ax)[:2], strokes(ax)[2:]
    assert sorted(sorted(map(tuple, line.tolist())) for line in lines) == [
        [(-1, 0.5), (1, 0.5)], [(-0.5, -1), (-0.5, 1)],
    ]  # fmt: skip
    steps = np.array([tick[1] - tick[0] for tick in ticks])
    assert (steps[0] > 0).tolist() == [True, False] and (steps[1] > 0).tolist() == [False, True]
    assert ax.get_title() == "fc.weight, step 0"
    assert ax.get_xlim() == ax.get_ylim() == (-1, 1)


def test_unit_lines__points_and_ground_are_colored_by_class(result):
    ax = figure(result, step=0)

    points = ax.collections[-1]
    expected = [DEEP * np.array(to_rgb(CATEGORIES[i])) for i in (1, 0, 1)]
    np.testing.assert_allclose(points.get_facecolors()[:, :3], expected)
    np.testing.assert_array_equal(points.get_offsets(), result.point)
    ground = ax.images[0]
    assert ground.get_array().tolist() == [[0, 0], [1, 1]]
    assert ground.origin == "lower"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["class 2", "class 7", "unit: w·x + b = 0"]


def test_unit_lines__where_the_network_gives_nan_the_ground_is_blank(result):
    ax = figure(result, step=10)

    assert np.ma.getmaskarray(ax.images[0].get_array()).tolist() == [[False, False], [True, False]]


def test_unit_lines__targets_that_are_no_classes_are_in_one_color(result):
    ax = figure(result.drop_vars("region").assign(target=("sample", [0.1, 0.5, 2.5])))

    assert len(np.unique(ax.collections[-1].get_facecolors(), axis=0)) == 1


def test_unit_lines__are_drawn_alone_where_nothing_else_is_known(result):
    ax = figure(result.drop_vars(["region", "point", "target"]))

    assert strokes(ax) and not ax.images


def test_unit_lines__of_a_run(result):
    stacked = xr.concat([result, result], xr.Variable("run", np.array(["a", "b"], object)), data_vars="all")

    assert figure(stacked.assign_attrs(result.attrs), run="b").get_title() == "fc.weight, b, step 10"


def test_unit_lines__through_one_point_have_ticks_apart(result):
    through = result.assign(ends=result.ends.copy())
    angle = np.array([0.1, 0.9, 1.7])
    way = np.stack([np.cos(angle), np.sin(angle)], -1)
    through["ends"][:] = np.stack([-way, way], axis=1)

    ax = figure(through, step=0)

    roots = np.array([tick[0] for tick in strokes(ax)[3:]])
    assert len(roots) == 3
    assert min(np.linalg.norm(a - b) for i, a in enumerate(roots) for b in roots[:i]) > 0.3
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input 1", "input 2")
