import numpy as np
import pytest
import torch

import trajlab
from pipelines import zoo
from tests.replays.test_alignment import split
from trajlab.errors import BadSetting, MissingData


def ends(build, seeds=(0, 1)):
    runs = []
    for seed in seeds:
        torch.manual_seed(seed)
        weights, buffers = split(build())
        runs.append(
            trajlab.from_arrays(
                {name: value[None] for name, value in weights.items()},
                buffers={name: value[None] for name, value in buffers.items()},
                steps=[40],
            )
        )
    return runs


def test_between__is_the_straight_line_with_both_ends_to_the_bit(no_compute):
    one, other = ends(lambda: zoo.mlp_batchnorm(20, 4))
    with no_compute():
        line = trajlab.between(one, other, points=5)
    for group in ("weights", "buffers"):
        for name, array in getattr(line, group).items():
            a, b = (getattr(run, group)[name].values[0] for run in (one, other))
            expected = np.linspace(a.astype(float), b.astype(float), 5)
            np.testing.assert_allclose(array.values, expected, rtol=1e-6, atol=1e-6)
            np.testing.assert_array_equal(array.values[[0, -1]], [a, b])
            assert array.dtype == a.dtype
    assert line.metrics.alpha.values.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert line.steps.tolist() == [0, 1, 2, 3, 4]


def test_between__aligned_runs_ends_in_the_same_network():
    one, other = ends(zoo.digits_cnn)
    inputs = torch.rand(5, 1, 8, 8)
    straight, aligned = (
        trajlab.replay(trajlab.between(one, other, align=align), model=zoo.digits_cnn, probe=inputs, layers=[""])[""]
        for align in (False, True)
    )
    np.testing.assert_array_equal(aligned[0], straight[0])
    np.testing.assert_allclose(aligned[-1], straight[-1], rtol=1e-4, atol=1e-5)
    assert abs(aligned[5] - straight[5]).max() > 1e-3


def test_between__says_what_it_can_not_join(example):
    other = trajlab.from_arrays({"w": np.zeros((1, 2))})
    with pytest.raises(MissingData, match=r"conv.weight is \(4, 1, 3, 3\) in one and missing in the other"):
        trajlab.between(example, other)
    with pytest.raises(MissingData, match="they share no step"):
        trajlab.between(other, trajlab.from_arrays({"w": np.zeros((1, 2))}, steps=[5]))
    with pytest.raises(BadSetting, match="points=1"):
        trajlab.between(other, other, points=1)
    with pytest.raises(BadSetting, match="no hidden layer.*leave align out"):
        trajlab.between(other, other, align=True)


def test_between__names_the_steps_of_its_ends_and_takes_each_runs_own_when_asked():
    one = trajlab.from_arrays({"w": np.arange(3.0)[:, None]}, steps=[0, 40, 80])
    other = trajlab.from_arrays({"w": 10 + np.arange(3.0)[:, None]}, steps=[0, 50, 100])
    shared, own = trajlab.between(one, other, points=2), trajlab.between(one, other, points=2, ends="own")
    assert shared.metrics.ends.values.tolist() == [0, 0] and own.metrics.ends.values.tolist() == [80, 100]
    assert shared.weights["w"].values.ravel().tolist() == [0, 10]
    assert own.weights["w"].values.ravel().tolist() == [2, 12]
    apart = trajlab.from_arrays({"w": np.zeros((1, 1))}, steps=[7])
    assert trajlab.between(one, apart, ends="own").metrics.ends.values.tolist() == [80, 7]
    with pytest.raises(BadSetting, match="ends='start'"):
        trajlab.between(one, other, ends="start")


def test_between__integers_are_rounded_and_nan_stays(monkeypatch):
    monkeypatch.setattr("trajlab.sizes.CHUNK_BYTES", 16)
    here = trajlab.from_arrays({"w": np.array([[0.0, np.nan]])}, buffers={"seen": np.array([[0, 10]])})
    there = trajlab.from_arrays({"w": np.array([[3.0, 1.0]])}, buffers={"seen": np.array([[5, 10]])})
    line = trajlab.between(here, there, points=4)
    assert line.buffers["seen"].values.tolist() == [[0, 10], [2, 10], [3, 10], [5, 10]]
    np.testing.assert_array_equal(line.weights["w"], [[0, np.nan], [1, np.nan], [2, np.nan], [3, 1]])
    assert line.weights["w"].data.numblocks[0] == 4
