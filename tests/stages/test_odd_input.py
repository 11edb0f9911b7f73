"""Runs that are odd but not wrong: stages say what can be said of them."""

import numpy as np
import pytest

import trajlab
from tests.serving import serve
from trajlab.runs.tensors import Series, Tensors
from trajlab.runs.trajectory import Trajectory


@pytest.mark.parametrize("name", ["alerts", "drift", "spectrum", "projection"])
def test_stage__matrices_may_appear_later_and_vanish(name, rng):
    early, late = (
        Series(np.array([0, 5]), rng.random((2, 4, 3)), (4, 3)),
        Series(np.array([5, 9]), rng.random((2, 4, 3)), (4, 3)),
    )
    run = Trajectory(Tensors({"a.weight": early, "b.weight": late}))
    assert trajlab.run(name, run).compute().step.values.tolist() == [0, 5, 9]


def test_sign_flips__runs_of_different_architectures_keep_their_entries_apart(rng):
    runs = {}
    for name, width in (("a.weight", 2), ("c.weight", 3)):
        walk = rng.standard_normal((3, 2, width))
        runs[name] = trajlab.from_arrays({name: walk}, {name: walk})
    actual = trajlab.run("sign_flips", runs, tau=[10.0], relative=[]).compute()
    actual = actual.isel(entry=np.lexsort((actual.index_of, actual.parameter_of.astype(str))))
    assert actual.parameter_of.values.tolist() == ["a.weight"] * 4 + ["c.weight"] * 6
    assert actual.index_of.values.tolist() == [*range(4), *range(6)]
    for name, run in runs.items():
        own = actual.sign_map.sel(run=name).isel(tau=0)
        expected = np.sign(run.gradients[name].values[1:]).reshape(2, -1)
        np.testing.assert_array_equal(own[:, actual.parameter_of == name], expected)
        assert np.isnan(own[:, actual.parameter_of != name]).all()


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_stage__squares_may_leave_the_range_of_numbers(rng, size):
    matrix = rng.standard_normal((1, 6, 8))
    one, far = (trajlab.from_arrays({"w": matrix * scale}) for scale in (1.0, size))
    expected, actual = (trajlab.run("spectrum", run).compute() for run in (one, far))
    for name in ("stable_rank", "effective_rank", "alpha", "mp_spikes"):
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-9)
    np.testing.assert_allclose(actual.frobenius_norm, size * expected.frobenius_norm, rtol=1e-9)
    trajlab.run("alerts", far).compute()


@pytest.mark.parametrize("name", ["alerts", "sign_flips"])
def test_stage__tensors_that_were_never_recorded_are_no_obstacle(name, rng):
    walk = rng.standard_normal((3, 4, 3))
    run = trajlab.from_arrays({"a.weight": walk, "b.weight": walk}, {"a.weight": walk[:0], "b.weight": walk})
    if name == "alerts":
        run = trajlab.from_arrays({"a.weight": walk[:0], "b.weight": walk})
    assert trajlab.run(name, run).compute().sizes["step"] >= 2


def test_unit_lines__layer_without_units():
    actual = trajlab.run("unit_lines", trajlab.from_arrays({"w": np.zeros((2, 0, 2))})).compute()
    assert np.isnan(actual.fraction_crossing).all()


def test_gradient_statistics__epochs_may_be_longer_than_any_number_of_steps(example):
    assert (
        trajlab.run("gradient_statistics", serve("gradient_statistics", example), steps_per_epoch=2**70).sizes["epoch"]
        == 1
    )
