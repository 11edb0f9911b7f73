import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from trajlab.stages.unit_lines.geometry import ends, plane

BOX = np.array([[-1.0, 1.0], [-2.0, 2.0]])


def test_ends__by_hand():
    """x = 0.5, y = −1, x = y, a line that misses the box, and none."""
    normals, offsets = np.array([[1.0, 0], [0, 2], [1, -1], [1, 0], [0, 0]]), np.array([-0.5, 2, 0, -3, 1])
    with np.errstate(all="ignore"):
        points = ends(normals, offsets, BOX)
    assert sorted(map(tuple, points[0])) == [(0.5, -2), (0.5, 2)]
    assert sorted(map(tuple, points[1])) == [(-1, -1), (1, -1)]
    np.testing.assert_allclose(sorted(map(tuple, points[2])), [(-1, -1), (1, 1)])
    assert np.isnan(points[3:]).all()


@given(seed=st.integers(0, 1000))
def test_ends__lie_on_the_line_and_on_the_edge_of_the_box(seed):
    rng = np.random.default_rng(seed)
    normals, offsets = rng.standard_normal((20, 2)), rng.standard_normal(20)
    points = ends(normals, offsets, BOX)
    met = np.isfinite(points).all((1, 2))
    on_line = (points * normals[:, None]).sum(-1) + offsets[:, None]
    np.testing.assert_allclose(on_line[met], 0, atol=1e-9)
    on_edge = (abs(points - BOX[:, 0]) < 1e-9) | (abs(points - BOX[:, 1]) < 1e-9)
    assert on_edge.any(-1)[met].all()
    corners = np.array([[x, y] for x in BOX[0] for y in BOX[1]])
    sides = np.sign(corners @ normals.T + offsets)
    np.testing.assert_array_equal(met, np.ptp(sides, axis=0) > 0)


def probe(*points):
    return xr.DataArray(np.array(points, float), dims=("sample", "axis"))


@pytest.mark.parametrize(
    ("points", "box", "limits"),
    [
        ([(0, 5), (10, 5), (np.nan, np.inf)], (), [[-1, 11], [4, 6]]),
        ([], (), [[-1, 1], [-1, 1]]),
        ([(0, 5)], (0, 1, 2, 3), [[0, 1], [2, 3]]),
    ],
)
def test_plane__the_box_is_that_of_the_points_unless_it_is_given(points, box, limits):
    made = plane(*([probe(*points)] if points else []), box=box, resolution=2)
    np.testing.assert_allclose(made.box, limits)
    (left, right), (low, high) = limits
    x, y = left + np.array([0.25, 0.75]) * (right - left), low + np.array([0.25, 0.75]) * (high - low)
    np.testing.assert_allclose(made.grid, [(x[0], y[0]), (x[1], y[0]), (x[0], y[1]), (x[1], y[1])], rtol=1e-6)
