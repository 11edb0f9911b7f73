"""Lines and regions of a net that can be drawn by hand, and of one that was trained."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import trajlab
from pipelines import datasets, zoo
from trajlab.errors import BadSetting, MissingData
from trajlab.record import Recorder, every
from trajlab.stages.unit_lines import unit_lines

BOX = [-1.0, 1.0, -1.0, 1.0]


def lines_of(normals, offsets, box=BOX):
    """Where the lines of one snapshot enter and leave a box, (unit, end, axis)."""
    arrays = {"fc.weight": np.array([normals], float), "fc.bias": np.array([offsets], float)}
    return trajlab.run("unit_lines", trajlab.from_arrays(arrays), box=box).compute()


def sides():
    """A 2-2-2 net: relu(x - 0.2) > relu(-x + 0.2) is class 1, so it tells right from left of x = 0.2."""
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))


SIDES = {
    "0.weight": np.array([[[1.0, 0], [-1, 0]]] * 2, np.float32),
    "0.bias": np.array([[-0.2, 0.2], [0.5, -0.5]], np.float32),
    "2.weight": np.array([[[0.0, 1], [1, 0]]] * 2, np.float32),
    "2.bias": np.zeros((2, 2), np.float32),
}


@pytest.fixture
def by_hand():
    run = trajlab.from_arrays(SIDES, steps=[0, 10])
    points = np.array([[-1.0, -1.0], [1.0, 1.0], [0.5, 0.0]], np.float32)
    run.probe = xr.Dataset({"inputs": (("sample", "inputs_0"), points), "targets": ("sample", [0, 1, 1])})
    run.facts["describe"] = {"model": {"factory": f"{__name__}:sides"}}
    return run


def test_unit_lines__cross_the_box_where_they_should():
    result = lines_of([[1, 0], [0, 2], [1, 1], [1, 1]], [-0.5, 1, 0, -1])
    ends = {tuple(sorted(map(tuple, line))) for line in (result.ends[0].values.round(12) + 0.0).tolist()}
    assert ends == {
        ((0.5, -1), (0.5, 1)), ((-1, -0.5), (1, -0.5)), ((-1, 1), (1, -1)), ((0, 1), (1, 0)),
    }  # fmt: skip
    assert result.fraction_crossing.values.tolist() == [1]


def test_unit_lines__that_miss_the_box_or_have_no_direction_have_no_ends():
    result = lines_of([[1, 0], [1, 1], [0, 0], [1, 1], [1, np.nan]], [-3, -2.1, 1, -1.9, 0])
    assert np.isfinite(result.ends[0]).all(["end", "axis"]).values.tolist() == [False, False, False, True, False]
    assert result.fraction_crossing.values.tolist() == [0.2]


def test_unit_lines__turn_and_move_away():
    normals = np.array([[[1, 0], [0, 2], [0, 0]], [[0, 3], [0, -1], [1, 0]]], float)
    offsets = np.array([[-0.5, 1, 1], [0, 3, 0]], float)
    run = trajlab.from_arrays({"fc.weight": normals, "fc.bias": offsets})
    result = trajlab.run("unit_lines", run, box=[-1.0, 3.0, -1.0, 1.0]).compute()
    np.testing.assert_allclose(result.distance, [[0.5, 0.5, np.nan], [0, 3, 1]])
    np.testing.assert_allclose(result.turned, [[0, 0, np.nan], [90, 180, np.nan]])


@settings(deadline=None)
@given(
    st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3),
    st.tuples(st.floats(-3, 3), st.floats(0.1, 4), st.floats(-3, 3), st.floats(0.1, 4)),
)
def test_unit_lines__ends_lie_on_the_line_and_on_the_edge(line, limits):
    box = np.array([limits[0], limits[0] + limits[1], limits[2], limits[2] + limits[3]]).reshape(2, 2)
    result = lines_of([line[:2]], [line[2]], box.ravel().tolist())
    ends = result.ends.values[0, 0]
    corners = np.array([[x, y] for x in box[0] for y in box[1]]) @ line[:2] + line[2]
    if np.isnan(ends).any():
        size = 1e-9 * (1 + abs(corners).max())
        assert (corners >= -size).all() or (corners <= size).all()
    else:
        length = np.hypot(*line[:2])
        np.testing.assert_allclose(ends @ line[:2] / length + line[2] / length, 0, atol=1e-6)
        assert (np.isclose(ends, box[:, 0], atol=1e-6) | np.isclose(ends, box[:, 1], atol=1e-6)).any(1).all()


def test_unit_lines__without_a_bias_go_through_the_origin():
    result = trajlab.run("unit_lines", trajlab.from_arrays({"w": np.array([[[3.0, 3.0]]])})).compute()
    assert result.offset.item() == 0
    assert sorted(map(tuple, result.ends.values[0, 0].tolist())) == [(-1, 1), (1, -1)]


def test_unit_lines__the_regions_are_those_of_the_net(by_hand):
    result = trajlab.run("unit_lines", by_hand, resolution=50).compute()
    np.testing.assert_allclose(result.box, [[-1.2, 1.2], [-1.2, 1.2]])
    x = -1.2 + 2.4 * (np.arange(50) + 0.5) / 50
    for step, threshold in ((0, 0.2), (10, -0.5)):
        np.testing.assert_array_equal(result.region.sel(step=step), np.tile(x > threshold, (50, 1)))
        np.testing.assert_allclose(result.ends.sel(step=step)[..., 0], threshold, rtol=1e-6)
    np.testing.assert_array_equal(result.point, by_hand.probe.inputs)
    assert result.target.values.tolist() == [0, 1, 1]


def test_unit_lines__the_second_axis_points_up(by_hand):
    turned = by_hand.weights["0.weight"].values[..., ::-1].copy()
    run = trajlab.from_arrays(SIDES | {"0.weight": turned}, steps=[0, 10])
    run.probe, run.facts = by_hand.probe, by_hand.facts
    region = trajlab.run("unit_lines", run, resolution=10).compute().region.sel(step=0)
    assert (region[-1] == 1).all() and (region[0] == 0).all()


def test_unit_lines__an_output_that_is_nan_has_no_region(by_hand):
    broken = SIDES | {"2.bias": np.array([[0, np.nan], [0, 0]], np.float32)}
    run = trajlab.from_arrays(broken, steps=[0, 10])
    run.probe, run.facts = by_hand.probe, by_hand.facts
    region = trajlab.run("unit_lines", run, resolution=4).compute().region
    assert np.isnan(region.sel(step=0)).all() and region.sel(step=10).notnull().all()


def test_unit_lines__are_lazy_and_the_same_in_chunks(by_hand, no_compute):
    chunked = trajlab.from_arrays(
        {name: xr.DataArray(a).chunk({"dim_0": 1}).data for name, a in SIDES.items()}, steps=[0, 10]
    )
    chunked.probe, chunked.facts = by_hand.probe.chunk(), by_hand.facts
    with no_compute():
        lazy = trajlab.run("unit_lines", chunked, resolution=9)
    xr.testing.assert_identical(lazy.compute(), trajlab.run("unit_lines", by_hand, resolution=9).compute())


def test_unit_lines__without_a_model_or_a_probe_on_the_plane_there_are_lines_only(by_hand):
    by_hand.facts.clear()
    assert set(trajlab.run("unit_lines", by_hand)) == {
        "normal", "offset", "ends", "fraction_crossing", "distance", "turned", "box", "point", "target",
    }  # fmt: skip
    by_hand.probe = xr.Dataset({"inputs": (("sample", "a"), np.zeros((4, 5)))})
    assert {"point", "target", "region"} & set(trajlab.run("unit_lines", by_hand)) == set()


def test_unit_lines__a_net_of_one_output_tells_its_sign():
    run = trajlab.from_arrays({"weight": np.array([[[1.0, -1.0]]], np.float32), "bias": np.zeros((1, 1), np.float32)})
    run.probe = xr.Dataset({"inputs": (("sample", "a"), np.array([[-1.0, -1.0], [1.0, 1.0]], np.float32))})
    replay = lambda **inputs: trajlab.replay(run, model=nn.Linear(2, 1), **inputs)  # noqa: E731
    region = unit_lines(run.weights, run.probe, replay, resolution=4).compute().region[0]
    np.testing.assert_array_equal(region, np.tril(np.ones((4, 4)), -1).T)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A 2-20-2 perceptron on two spirals."""
    torch.manual_seed(0)
    net, (inputs, targets) = zoo.mlp(), datasets.load("spirals").train
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    folder = tmp_path_factory.mktemp("spirals") / "run"
    describe = {"model": {"factory": "pipelines.zoo:mlp", "arguments": {}}}
    with Recorder(net, folder, when=every(50), probe=(inputs[:300], targets[:300]), describe=describe) as recorder:
        for _ in range(600):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(inputs), targets)
            loss.backward()
            recorder.step(loss=loss.item())
            optimizer.step()
    return folder


def test_unit_lines__of_a_trained_net(trained):
    run = trajlab.open(trained)
    result = trajlab.run("unit_lines", run, resolution=60).compute()
    cell = ((result.point - result.box[:, 0]) / (result.box[:, 1] - result.box[:, 0]) * 60).astype(int)
    at = {"x": cell.isel(axis=0), "y": cell.isel(axis=1)}
    right = (result.region.isel(at) == result.target).mean("sample")
    assert right[0] < 0.8 and right[-1] > 0.95
    for step in (0, 300, 600):
        net = zoo.mlp()
        net.load_state_dict(run.at(step))
        x, y = (limit[0] + (np.arange(60) + 0.5) / 60 * (limit[1] - limit[0]) for limit in result.box.values)
        grid = torch.tensor(np.stack(np.meshgrid(x, y), -1), dtype=torch.float32)
        with torch.no_grad():
            outputs = net(grid)
            hidden = net.fc1(torch.tensor(result.ends.sel(step=step).values, dtype=torch.float32))
        sure = (outputs[..., 0] - outputs[..., 1]).abs() > 1e-4
        assert (outputs.argmax(-1).numpy() == result.region.sel(step=step).values)[sure].all()
        np.testing.assert_allclose(torch.diagonal(hidden, dim1=0, dim2=2).nan_to_num(), 0, atol=1e-5)
    assert result.attrs["probe_sha256"] == run.probe.attrs["sha256"]


def test_unit_lines__settings_that_make_no_sense(by_hand):
    with pytest.raises(MissingData, match="two inputs"):
        trajlab.run("unit_lines", trajlab.from_arrays({"w": np.zeros((2, 3, 4))}))
    with pytest.raises(BadSetting, match="'2.bias'.*0.weight, 2.weight"):
        trajlab.run("unit_lines", by_hand, parameter="2.bias")
    for box in ([0.0, 1.0], [1.0, 0.0, 0.0, 1.0], [0.0, np.nan, 0.0, 1.0]):
        with pytest.raises(BadSetting, match="four limits|finite number for box"):
            trajlab.run("unit_lines", by_hand, box=box)
    with pytest.raises(BadSetting, match="resolution=1"):
        trajlab.run("unit_lines", by_hand, resolution=1)


def test_unit_lines__of_a_net_that_tells_no_classes(by_hand):
    def replay(probe, layers):
        return {"": xr.DataArray(np.zeros((2, len(probe), 3, 4)), dims=("step", "sample", "unit", "x"))}

    with pytest.raises(BadSetting, match=r"shape \(3, 4\)"):
        unit_lines(by_hand.weights, by_hand.probe, replay)


def test_unit_lines__of_a_later_layer_are_without_points_and_regions(by_hand):
    result = trajlab.run("unit_lines", by_hand, parameter="2.weight")
    assert {"point", "region"} & set(result) == set()
