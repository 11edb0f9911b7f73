import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting
from trajlab.runs.tensors import Series, Tensors
from trajlab.runs.trajectory import Trajectory
from trajlab.stages.zero_gradients import zero_gradients


def sampled(run: Trajectory, name: str, index: np.ndarray) -> Trajectory:
    """Keep only some entries of one gradient."""
    lives = dict(run.gradients.series)
    life = lives[name]
    values = np.asarray(life.values).reshape(len(life.steps), -1)[:, index]
    lives[name] = Series(life.steps, values, life.shape, index)
    return Trajectory(run.weights, Tensors(lives), run.buffers)


def test_zero_gradients__hand_made_case():
    g = np.array([[0, 0, 0.5, 0.5, 2, 2], [0, 0.5, 0.5, 3, 3, 0]], np.float32)
    w = np.array([[0] * 6, [1, 2, 3, 4, 5, 6]], np.float32)
    run = trajlab.from_arrays({"w": w}, {"w": g})
    result = zero_gradients(run.gradients["w"], run.weights["w"], tau=[1.0], relative=[]).isel(tau=0).compute()
    assert result.step.values.tolist() == [1]
    counts = result.transitions.isel(step=0).transpose("state_prev", "state_next")
    assert counts.values.tolist() == [[1, 1, 0], [0, 1, 1], [1, 0, 1]]
    assert (result.near_zero, result.retained, result.released, result.captured) == (4, 3, 1, 1)
    assert result.fraction_released == 1 / 4
    assert result.fraction_captured == 1 / 2
    change = result.weight_change.isel(step=0)
    assert change.sel(among="all") == 3.5
    assert change.sel(among="retained") == 2
    assert change.sel(among="released") == 4


def test_zero_gradients__agrees_with_numpy(example):
    result = trajlab.run("zero_gradients", example, tau=[0.05], relative=[0.2]).compute()
    g = {name: a.values.reshape(20, -1).astype(np.float64) for name, a in example.gradients.items()}
    for name, rows in g.items():
        rms = np.sqrt((rows**2).mean(1))
        for k, tau in enumerate((np.full(20, 0.05), 0.2 * rms)):
            near = abs(rows) <= tau[:, None]
            actual = result.sel(parameter=name).isel(tau=k)
            np.testing.assert_array_equal(actual.retained, (near[1:] & near[:-1]).sum(1))
            np.testing.assert_array_equal(actual.captured, (near[1:] & ~near[:-1]).sum(1))
            with np.errstate(invalid="ignore"):
                released = (near[:-1] & ~near[1:]).sum(1) / near[:-1].sum(1)
            np.testing.assert_allclose(actual.fraction_released, released)
    near = [abs(rows) <= 0.05 for rows in g.values()]
    total = sum((n[:-1] & ~n[1:]).sum(1) for n in near) / sum(n[:-1].sum(1) for n in near)
    np.testing.assert_allclose(result.total_fraction_released.isel(tau=0), total)


def test_zero_gradients__knows_why_entries_are_always_zero(example):
    result = trajlab.run("zero_gradients", example).compute()
    always = result.always_zero.sel(parameter=["conv.weight", "fc.weight"])
    assert always.sel(cause="structural").values.tolist() == [16, 0]
    assert always.sel(cause="dead_unit").values.tolist() == [0, 16]


def test_zero_gradients__structural_zeros_show_in_a_sample(example):
    index = np.arange(0, 36, 2)
    result = trajlab.run("zero_gradients", sampled(example, "conv.weight", index)).compute()
    corners = np.isin(index % 9, [0, 2, 6, 8]).sum()
    actual = result.always_zero.sel(parameter="conv.weight")
    assert actual.sel(cause="structural") == corners
    assert result.total_always_zero.sel(cause="structural") == corners * 36 / len(index)


def test_zero_gradients__all_entries_have_no_sampling_error(example):
    result = trajlab.run("zero_gradients", example, tau=[0.05]).compute()
    known = result.fraction_released_se.values[~np.isnan(result.fraction_released.values)]
    assert len(known) and (known == 0).all()


def test_zero_gradients__pairs_over_a_gap_are_between_recorded_steps():
    g = np.array([[0.0], [1.0], [0.0]])
    run = trajlab.from_arrays({"w": g}, {"w": g}, steps=[0, 1, 10])
    result = trajlab.run("zero_gradients", run, tau=[0.1], relative=[]).compute()
    assert result.stride.values.tolist() == [1, 9]
    assert result.captured.values.ravel().tolist() == [0, 1]


def test_zero_gradients__nonfinite_gradients_are_in_no_state():
    g = np.array([[0, np.nan, 1], [0, 0, np.inf]], np.float32)
    result = zero_gradients(trajlab.from_arrays({}, {"w": g}).gradients["w"], tau=[0.1], relative=[]).compute()
    assert result.transitions.sum() == 1


@pytest.mark.parametrize("settings", [{"tau": [], "relative": []}, {"tau": [-1.0]}, {"tau": [0.01]}])
def test_zero_gradients__thresholds_that_make_no_sense(example, settings):
    with pytest.raises(BadSetting, match="threshold"):
        trajlab.run("zero_gradients", example, **settings)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_zero_gradients__weights_that_are_not_finite_are_left_out_of_the_change(bad):
    weight = np.array([[1, 1, 1, 1], [bad, 2, 2, 2]], np.float32)
    run = trajlab.from_arrays({"w": weight}, {"w": np.ones((2, 4), np.float32)})
    result = zero_gradients(run.gradients["w"], run.weights["w"]).compute()
    assert (result.weight_change.sel(among="all") == 1).all()


def test_zero_gradients__of_inputs_that_are_always_zero_are_zero_and_so_is_the_drift(tmp_path):
    """Pixels that are 0 in every image: their columns get no gradient, and plain gradient descent leaves them alone."""
    import torch

    from trajlab.record import Recorder

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    inputs, targets = torch.randn(40, 6), torch.randint(3, (40,))
    inputs[:, [1, 4]] = 0
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    with Recorder(net, tmp_path / "run", gradients=True) as recorder:
        for _ in range(12):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs), targets).backward()
            recorder.step()
            optimizer.step()
    run = trajlab.open(tmp_path / "run")
    first = run.gradients["0.weight"].compute()
    assert (first[..., [1, 4]] == 0).all() and (first[..., [0, 2, 3, 5]] != 0).all()
    zero = trajlab.run("zero_gradients", run, tau=[1e-30], relative=[]).compute()
    assert zero.always_zero.sum("cause").sel(parameter=["0.weight", "2.weight"]).values.tolist() == [10, 0]
    assert (zero.near_zero.sel(parameter="0.weight").dropna("step") == 10).all()
    columns = trajlab.from_arrays({"idle": run.weights["0.weight"][..., [1, 4]].values})
    idle = trajlab.run("drift", columns).compute()
    assert (idle.distance_l2 == 0).all() and (idle.path_length == 0).all() and (idle.changed == 0).all()
    drift = trajlab.run("drift", run).compute()
    assert drift.unchanged_cause.sum("cause").sel(parameter="0.weight") == 10
    np.testing.assert_allclose(drift.changed.sel(parameter="0.weight")[-1], 20 / 30)


def test_zero_gradients__names_tensors_that_are_not_in_each_total():
    often = xr.DataArray(np.ones((5, 4)), {"step": np.arange(5)}, ("step", "out"), "often")
    rare = xr.DataArray(np.zeros((3, 4)), {"step": [0, 2, 4]}, ("step", "out"), "rare")
    result = zero_gradients({"often": often, "rare": rare}, tau=(0.0,), relative=()).compute()
    assert result.total_near_zero.values.ravel().tolist() == [0, 4, 0, 4]
    assert result.attrs["totals_over"] == "the tensors recorded at each step; not recorded at all 5 steps: rare (3)"
