"""Changes noticed while a run grows."""

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.running.watcher import Watcher

STEPS = 160


@pytest.fixture(scope="module")
def arrays():
    """Return a weight, its gradient and a loss that is three times as high from step 130 on."""
    random = np.random.default_rng(0)
    loss = np.exp(0.02 * random.standard_normal(STEPS) + np.log(3.0) * (np.arange(STEPS) >= 130))
    weight = np.ones((STEPS, 2, 3)) * np.exp(0.01 * random.standard_normal(STEPS).cumsum())[:, None, None]
    gradient = random.standard_normal((STEPS, 2, 3)) * 10
    return {"weight": weight.astype(np.float32), "gradient": gradient.astype(np.float32), "loss": loss}


def until(arrays, stop):
    steps = np.arange(stop)
    metrics = xr.Dataset({"loss": ("step", arrays["loss"][:stop])}, {"step": steps})
    return trajlab.from_arrays(
        {"a.weight": arrays["weight"][:stop]}, {"a.weight": arrays["gradient"][:stop]}, steps=steps, metrics=metrics
    )


def test_a_jump_is_noticed_within_ten_steps_and_named(arrays):
    (noticed,) = Watcher().read(until(arrays, STEPS))
    assert (noticed.event.place, noticed.event.quantity, noticed.event.step) == ("loss", "metric", 130)
    assert 130 < noticed.step <= 140
    assert str(noticed) == f"`loss` rose 3-fold from step 130 (CUSUM, noticed at step {noticed.step})"


def test_however_a_run_grows_the_same_is_noticed(arrays):
    watcher = Watcher()
    parts = [watcher.read(until(arrays, stop)) for stop in (1, 2, 50, 50, 133, 134, 135, 139, STEPS)]
    assert [noticed for part in parts for noticed in part] == Watcher().read(until(arrays, STEPS))
    assert parts[3] == []


def test_only_new_snapshots_are_read(arrays, monkeypatch):
    watcher = Watcher()
    watcher.read(until(arrays, 50))
    seen = {}

    def watched(metrics, gradient, weight):
        seen.update(metrics=metrics["step"], gradient=gradient["a.weight"]["step"], weight=weight["a.weight"]["step"])
        raise InterruptedError

    monkeypatch.setattr("trajlab.running.watcher.change_points", watched)
    with pytest.raises(InterruptedError):
        watcher.read(until(arrays, 60))
    assert {name: int(steps[0]) for name, steps in seen.items()} == {"metrics": 50, "gradient": 50, "weight": 49}


def test_a_run_without_metrics_and_gradients_is_watched(arrays):
    watcher = Watcher()
    for stop in (3, 4):
        assert watcher.read(trajlab.from_arrays({"a.weight": arrays["weight"][:stop]})) == []
