"""Stages of weights, run on the activations of replayed snapshots."""

import weakref

import dask
import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import trajlab
from trajlab import sizes
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observers.outputs import Outputs
from trajlab.running.inputs import needs_replay
from trajlab.stages import stage


@pytest.fixture
def line() -> dict:
    """A network whose activations of its only sample are s·(3, 4) at steps with weights s·I."""
    scales = np.array([1.0, 2.0, -1.0], np.float32)
    run = trajlab.from_arrays({"0.weight": scales[:, None, None] * np.eye(2, dtype=np.float32)}, steps=[0, 10, 20])
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    return {"trajectory": run, "model": model, "probe": np.array([[3.0, 4.0]], np.float32)}


@pytest.fixture
def images(rng) -> dict:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5), nn.Tanh(), nn.Linear(5, 2))
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    weights = {
        name: (value * rng.uniform(0.5, 1.5, (4, *value.shape))).astype(np.float32) for name, value in state.items()
    }
    run = trajlab.from_arrays(weights, steps=[0, 1, 5, 9])
    return {"trajectory": run, "model": model, "probe": rng.standard_normal((20, 2, 6, 6)).astype(np.float32)}


def test_drift__of_activations_by_hand(line):
    actual = trajlab.run("drift", on="activations", **line).compute()
    assert actual.parameter.values.tolist() == ["1"]
    assert actual.distance_l2.squeeze().values.tolist() == [0.0, 5.0, 5.0]
    assert actual.norm.squeeze().values.tolist() == [5.0, 10.0, 0.0]
    assert (actual.norm.attrs["units"], actual.relative.attrs["units"]) == ("activation", "1")
    assert (actual.kind.item(), actual.numel.item(), actual.attrs["on"]) == ("activation", 2, "activations")


def test_distribution__of_activations_agrees_with_numpy(images):
    actual = trajlab.run("distribution", on="activations", **images).compute()
    values = trajlab.replay(images["trajectory"], model=images["model"], probe=images["probe"])
    assert actual.parameter.values.tolist() == list(values) == ["1", "4"]
    for name in values:
        flat = values[name].values.reshape(4, -1).astype(float)
        layer = actual.sel(parameter=name)
        np.testing.assert_allclose(layer["mean"], flat.mean(1), rtol=1e-12)
        np.testing.assert_allclose(layer["std"], flat.std(1), rtol=1e-12)
        np.testing.assert_allclose(layer["quantiles"], np.quantile(flat, actual["quantile"], axis=1).T, atol=1e-6)
        assert layer.ks[3].item() == pytest.approx(stats.ks_2samp(flat[3], flat[0]).statistic)
        assert layer.zeros.values.tolist() == (flat == 0).sum(1).tolist()
    assert actual.attrs["probe_sha256"] == values["1"].attrs["probe_sha256"]


def test_spectrum__of_activations_is_that_of_samples_by_features(images):
    actual = trajlab.run("spectrum", on="activations", shuffle=False, **images).compute()
    values = trajlab.replay(images["trajectory"], model=images["model"], probe=images["probe"])["4"].values
    expected = np.linalg.svd(values.astype(float), compute_uv=False)
    np.testing.assert_allclose(actual.singular_values.sel(parameter="4")[:, :5], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["drift", "distribution", "spectrum", "projection"])
def test_run__on_activations_is_lazy_and_the_same_in_blocks_of_one_step(name, images, no_compute, monkeypatch):
    with no_compute():
        result = trajlab.run(name, on="activations", **images)
    monkeypatch.setattr(sizes, "BLOCK_BYTES", 1)
    single = trajlab.run(name, on="activations", **images)
    for variable, values in zip(*(each.data_vars.values() for each in dask.compute(result, single)), strict=True):
        np.testing.assert_allclose(variable, values, rtol=1e-12, atol=1e-14)


def test_run__on_activations_holds_few_snapshots(images, monkeypatch):
    steps, alive, most = 40, set(), 0
    trajlab.run("drift", on="activations", **images).compute()  # compiles kernels, which passes would not wait for
    weights = {name: np.repeat(array.values[:1], steps, 0) for name, array in images["trajectory"].weights.items()}
    finish = Outputs.finish

    def counted(observer, state):
        nonlocal most
        for values in state.values():
            alive.add(id(values))
            weakref.finalize(values, alive.discard, id(values))
        most = max(most, len(alive))
        return finish(observer, state)

    monkeypatch.setattr(Outputs, "finish", counted)
    monkeypatch.setattr(sizes, "BLOCK_BYTES", 1)
    monkeypatch.setattr(sizes, "GROUP_BYTES", 1)
    long = trajlab.from_arrays(weights)
    result = trajlab.run("drift", long, model=images["model"], probe=images["probe"], on="activations")
    result.compute(scheduler="synchronous")  # several threads run ahead of each other, by luck
    assert 2 <= most <= 6  # of two layers: the reference, and two snapshots


def test_run__on_activations_of_another_run(line):
    actual = trajlab.run("drift", line.pop("trajectory"), parent=line_scaled(3.0), on="activations", **line).compute()
    assert actual.distance_l2.squeeze().values.tolist() == [10.0, 5.0, 15.0]


def line_scaled(scale: float) -> trajlab.Trajectory:
    return trajlab.from_arrays({"0.weight": scale * np.eye(2, dtype=np.float32)[None]}, steps=[0])


@pytest.mark.parametrize(
    ("name", "on", "words"),
    [
        ("zero_gradients", "activations", "zero_gradients on activations.*gradients"),
        ("comparison", "activations", "comparison on activations.*chain"),
        ("evaluation", "activations", "evaluation on activations.*no weights"),
        ("drift", "metrics", "drift on 'metrics'.*weights, gradients, buffers, activations"),
    ],
)
def test_run__on_what_a_stage_can_not_take(name, on, words, line):
    with pytest.raises(BadSetting, match=words):
        trajlab.run(name, on=on, **line)


def test_run__on_activations_without_a_network_or_with_none(line):
    with pytest.raises(MissingData, match="names its network and it has no probe.*--model"):
        trajlab.run("drift", line["trajectory"], on="activations")
    single = nn.Sequential(nn.Linear(2, 2, bias=False))
    with pytest.raises(MissingData, match="activation"):
        trajlab.run("drift", **(line | {"model": single}), on="activations")


def test_commands__of_stages_of_weights_alone_take_a_model_and_a_probe():
    assert all(needs_replay(stage(name)) for name in ("drift", "distribution", "spectrum"))
    assert not needs_replay(stage("zero_gradients"))


def test_run__on_activations_of_tokens_in_another_type():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.GELU()).to(torch.bfloat16)
    weights = {name: value.detach().float().numpy()[None] for name, value in model.state_dict().items()}
    tokens = np.array([[0, 1], [2, 3], [4, 4]])
    actual = trajlab.run("drift", trajlab.from_arrays(weights), model=model, probe=tokens, on="activations").compute()
    assert actual.numel.item() == 3 * 2 * 3 and np.isfinite(actual.norm).all()
