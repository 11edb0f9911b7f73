import dask
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.augment import augmented
from trajlab.replays.observers.copies import copy_correlations, spread
from trajlab.running.fuse import fuse_scans
from trajlab.stages.augmentation import augmentation


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(5 * 16, 9)
        self.tanh = nn.Tanh()
        self.fc2 = nn.Linear(9, 3)

    def forward(self, x):
        return self.fc2(self.tanh(self.fc1(self.relu(self.conv(x)).flatten(1))))


@pytest.fixture(scope="module")
def run():
    """Three random networks as the steps of a run, on images."""
    torch.manual_seed(0)
    states = [Net().state_dict() for _ in range(3)]
    for state in states:
        state["conv.bias"] += 1  # so that no unit is dead
    run = trajlab.from_arrays({name: torch.stack([state[name] for state in states]) for name in states[0]})
    rng = np.random.default_rng(0)
    inputs, targets = rng.random((6, 3, 6, 6)).astype(np.float32), np.array([2, 2, 0, 1, 1, 0])
    run.probe = xr.Dataset(
        {"inputs": (("sample", "c", "y", "x"), inputs), "targets": ("sample", targets)}, attrs={"sha256": "0"}
    )
    return run.with_model(Net)


@pytest.fixture(scope="module")
def seen(run):
    """Features of copies by a plain loop, (step, sample, copy, unit) by layer."""
    inputs = torch.from_numpy(augmented(run.probe, [0, 2, 3], 10, 4).inputs.values)
    actual = {"relu": [], "tanh": []}
    for step in run.steps:
        net = Net()
        net.load_state_dict(run.at(int(step)))
        with torch.no_grad():
            hidden = net.relu(net.conv(inputs))
            actual["relu"].append(hidden.double().mean((2, 3)).numpy())
            actual["tanh"].append(net.tanh(net.fc1(hidden.flatten(1))).double().numpy())
    return {name: np.stack(rows).reshape(3, 3, 10, -1) for name, rows in actual.items()}


def of(run, **settings):
    return trajlab.run("augmentation", run, **{"copies": 10, "seed": 4} | settings)


def apart(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


def test_augmentation__agrees_with_numpy_and_a_plain_loop(run, seen):
    result = of(run).compute()

    assert result.position.values.tolist() == [0, 2, 3]
    assert result.layer.values.tolist() == ["relu", "tanh"] and result.units.values.tolist() == [5, 9]
    for name, values in seen.items():
        for step in range(3):
            at, own = result.isel(step=step).sel(layer=name), values[step]
            within, total = own.var(1).mean(0), own.reshape(30, -1).var(0)
            np.testing.assert_allclose(at.within, within.sum(), rtol=1e-4)
            np.testing.assert_allclose(at.total, total.sum(), rtol=1e-4)
            np.testing.assert_allclose(at.invariance, 1 - within.sum() / total.sum(), atol=1e-4)
            np.testing.assert_allclose(at.unit_invariance[: len(total)], 1 - within / total, atol=1e-4)
            rows = np.corrcoef(own.reshape(30, -1)).reshape(3, 10, 3, 10)
            for sample in range(3):
                same = apart(rows[sample, :, sample])
                others = np.delete(rows[sample], sample, axis=1).ravel()
                between = apart(np.corrcoef(own[sample].T))
                for kind, expected in (("features", between), ("copies", same), ("others", others)):
                    actual = at.isel(original=sample)
                    np.testing.assert_allclose(actual[f"{kind}_signed"], expected.mean(), atol=1e-4)
                    np.testing.assert_allclose(actual[f"{kind}_absolute"], abs(expected).mean(), atol=1e-4)
                    np.testing.assert_allclose(actual[f"{kind}_clipped"], np.maximum(expected, 0).mean(), atol=1e-4)
    assert (result.constant == 0).all() and (result.nonfinite == 0).all()


def test_augmentation__of_one_sample_takes_the_total_from_the_probe(run, seen):
    result = of(run, samples=[2]).compute()
    inputs = torch.from_numpy(run.probe["inputs"].values)
    for step in range(3):
        net = Net()
        net.load_state_dict(run.at(step))
        with torch.no_grad():
            between = net.relu(net.conv(inputs)).double().mean((2, 3)).numpy().var(0)
        within = seen["relu"][step, 1].var(0)
        actual = result.isel(step=step).sel(layer="relu")
        np.testing.assert_allclose(actual.invariance, 1 - within.sum() / (within + between).sum(), atol=1e-4)
        np.testing.assert_allclose(actual.unit_invariance[:5], between / (within + between), atol=1e-4)
    assert np.isnan(result.others_signed).all() and np.isfinite(result.copies_signed).all()


def test_spread__hand_made():
    """A unit that knows the sample only, one that knows the copy only, one that knows nothing, and a broken one."""
    values = np.zeros((2, 2, 4))
    values[1, :, 0] = values[:, 1, 1] = 2
    values[..., 2] = 0.1
    values[0, 0, 3] = np.nan
    np.testing.assert_array_equal(spread(values), [[0, 1], [1, 0], [0, 0], [np.nan, np.nan]])


def test_alike__leaves_out_what_does_not_vary(rng):
    values = rng.standard_normal((2, 5, 4))
    values[0, :, 1] = 3
    values[1, 2] = 1
    values[0, 0, 3] = np.nan
    actual = copy_correlations(values)
    np.testing.assert_allclose(actual[0, 0], np.corrcoef(values[0, :, 0], values[0, :, 2])[0, 1])
    kept = values.reshape(10, 4)[:, :3]
    rows = np.corrcoef(kept[[0, 1, 2, 3, 4, 5, 6, 8, 9]])
    np.testing.assert_allclose(actual[0, 2], apart(rows[:5, :5]).mean())
    np.testing.assert_allclose(actual[1, 2], apart(rows[5:, 5:]).mean())
    np.testing.assert_allclose(actual[:, 4], rows[:5, 5:].mean())


def test_augmentation__matrices_stand_at_their_steps(run, seen):
    result = of(run, matrix_layer="tanh", matrix_steps=[-1]).compute()
    assert np.isnan(result.feature_correlation[:2]).all() and np.isnan(result.sample_correlation[:2]).all()
    values = seen["tanh"][2]
    expected = np.mean([np.corrcoef(own.T) for own in values], axis=0)
    np.testing.assert_allclose(result.feature_correlation[2], expected, atol=1e-4)
    np.testing.assert_allclose(result.sample_correlation[2], np.corrcoef(values.reshape(30, -1)), atol=1e-4)


def test_augmentation__of_few_copies_of_each_sample_if_there_are_many(run, seen, monkeypatch):
    monkeypatch.setattr("trajlab.stages.augmentation.MOST_SAMPLES", 12)
    result = of(run, matrix_layer="tanh").compute()
    expected = np.corrcoef(seen["tanh"][2, :, :4].reshape(12, -1))
    np.testing.assert_allclose(result.sample_correlation[2], expected, atol=1e-4)


def test_augmentation__nan_and_constant_features_are_counted_and_left_out():
    torch.manual_seed(0)
    state = {name: torch.stack([value] * 2) for name, value in Net().state_dict().items()}
    state["conv.bias"][1, 0], state["fc1.bias"][:, 0] = np.nan, 1e3
    run = trajlab.from_arrays(state)
    images = np.random.default_rng(0).random((4, 3, 6, 6)).astype(np.float32)
    run.probe = xr.Dataset({"inputs": (("sample", "c", "y", "x"), images)}, attrs={"sha256": "0"})
    result = of(run.with_model(Net), samples=[0, 1]).compute()
    assert result.constant.values.tolist() == [[0, 1], [0, 0]]
    assert result.nonfinite.values.tolist() == [[0, 0], [20 * 16, 20 * 9]]
    assert np.isnan(result.unit_invariance[0, 1, 0]) and np.isnan(result.unit_invariance[1, 0, 0])
    assert np.isfinite(result.invariance[1, 0]) and np.isnan(result.invariance[1, 1])
    assert np.isfinite(result.features_signed[1, 0]).all() and np.isnan(result.features_signed[1, 1]).all()


def test_augmentation__any_scheduler_gives_the_same_bits(run):
    result = of(run, matrix_layer="relu")
    expected = result.compute(scheduler="sync")
    xr.testing.assert_identical(result.compute(scheduler="threads", num_workers=4), expected)
    with dask.config.set(array_optimize=fuse_scans):
        xr.testing.assert_identical(result.compute(), expected)


def test_augmentation__takes_few_steps(run):
    result = of(run, max_steps=2)
    assert result.step.values.tolist() == [0, 2]
    xr.testing.assert_allclose(result.compute(), of(run).compute().isel(step=[0, 2]))


def test_augmentation__is_lazy(run, no_compute):
    with no_compute():
        of(run, matrix_layer="relu", samples=[1])


def test_augmentation__results_of_other_copies_are_of_another_probe(run):
    one, other = of(run), of(run, seed=5)
    assert one.attrs["probe_sha256"] != other.attrs["probe_sha256"] != "0"


def test_augmentation__says_what_it_lacks(run):
    with pytest.raises(BadSetting, match=r"matrix_layer='conv'.*relu, tanh"):
        of(run, matrix_layer="conv")
    with pytest.raises(BadSetting, match="0 to 5"):
        of(run, samples=[6])
    with pytest.raises(BadSetting, match="max_steps=0"):
        of(run, max_steps=0)
    vectors = xr.Dataset({"inputs": (("sample", "pixel"), np.zeros((4, 784)))})
    with pytest.raises(BadSetting, match="images"):
        augmentation(lambda **_: {}, vectors)
    with pytest.raises(MissingData, match="names its network"):
        trajlab.run("augmentation", trajlab.example())
