import json
import math
import warnings

import numpy as np
import pytest
import torch
import xarray as xr

import trajlab
from trajlab.record import Recorder, every
from trajlab.statistics.metrics import likely_measured, marks_of

NAN = math.nan


def exploded(run):
    """Return the steps at which the loss of a run explodes."""
    result = trajlab.run("alerts", run).compute()
    fires = result.fires.sel(check="ExplodingTensor loss")
    return fires.step.values[fires.values == 1].tolist()


def recorded(folder, losses, log_every=1):
    """Record a run whose loss is logged every few steps."""
    model = torch.nn.Linear(2, 2)
    with Recorder(model, folder, when=every(5), gradients=False) as recorder:
        for step, loss in enumerate(losses):
            recorder.step(**({"loss": loss} if step % log_every == 0 else {}), lr=0.1)
    return trajlab.open(folder)


@pytest.mark.parametrize(
    ("losses", "log_every", "expected"),
    [
        ([2.0, 1.9, NAN, 1.7, 1.6], 1, [2]),
        ([2.0, 1.9, NAN, NAN, NAN], 1, [2, 3, 4]),
        ([NAN, 1.9, 1.8, NAN, 1.7], 1, [0, 3]),
        ([NAN] * 4, 1, [0, 1, 2, 3]),
        ([math.inf, 1.0, -math.inf], 1, [0, 2]),
        ([2.0, 0, 1.9, 0, NAN, 0, NAN], 2, [4, 6]),
        ([2.0, 0, NAN, 0, 1.8, 0, 1.7], 2, [2]),
        ([2.0, 0, 1.9, 0, 1.8], 2, []),
    ],
    ids=["once", "to the end", "gaps", "always", "infinite", "logged now and then", "logged, once", "never"],
)
def test_measured__a_nan_loss_is_a_value_in_folders_and_stores(tmp_path, losses, log_every, expected):
    run = recorded(tmp_path / "run", losses, log_every)
    assert exploded(run) == expected
    packed = trajlab.open(trajlab.pack(run, tmp_path / "run.zarr"))
    assert exploded(packed) == expected
    xr.testing.assert_identical(packed.metrics, run.metrics)
    assert list(run.metrics.data_vars) == ["loss", "lr"]


def test_measured__logs_of_strangers_tell_nan_from_none(tmp_path):
    from safetensors.torch import save_file

    for step in (10, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
        save_file({"w": torch.ones(2, 2)}, tmp_path / f"checkpoint-{step}" / "model.safetensors")
    losses = {5: 2.0, 10: NAN, 15: 1.0, 16: "NaN", 17: "-Infinity"}
    log = [{"step": step, "loss": loss} for step, loss in losses.items()]
    log += [{"step": 7, "eval_loss": 1.0}, {"step": 20, "train_runtime": 3.0}]
    (tmp_path / "checkpoint-20" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    run = trajlab.open(tmp_path)
    assert exploded(run) == [9, 15, 16]  # of the weights before the updates
    np.testing.assert_array_equal(run.metrics.loss, [2.0, NAN, NAN, 1.0, NAN, -math.inf, NAN])
    assert marks_of("loss", run.metrics).values.tolist() == [True, False, True, True, True, True, False]
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "loss": NaN}\n{"step": 3, "val_loss": 2.0}\n{"step": 4}\n')
    run = trajlab.open(tmp_path)  # rows of one step are one
    assert run.metrics.val_loss.values[0] == 2.0 and marks_of("val_loss", run.metrics).values.tolist() == [True, False]
    assert exploded(run) == [3]


def test_measured__arrays_may_say_what_is_missing():
    cases = {
        "none": ([1.0, None, NAN, 1.0], [2]),
        "masked": (np.ma.masked_array([1.0, NAN, NAN, 1.0], [0, 1, 0, 0]), [2]),
        "interval": (np.where(np.arange(12) % 3 == 0, np.where(np.arange(12) < 7, 1.0, NAN), NAN), [9]),
        "once": (np.array([1.0, 1.0, NAN, 1.0]), [2]),
        "always": (np.full(3, NAN), [0, 1, 2]),
    }
    for name, (loss, expected) in cases.items():
        assert exploded(trajlab.from_arrays({}, metrics={"loss": loss})) == expected, name
    said = xr.Dataset(
        {"loss": ("step", [NAN, NAN, 1.0])},
        {"step": [0, 4, 8], "loss_measured": ("step", [False, True, True])},
    )
    assert exploded(trajlab.from_arrays({}, metrics=said)) == [4]


def test_measured__the_interval_counts_in_steps():
    steps = np.array([0, 250, 500, 750, 1000, 1234, 1500])
    values = np.array([2.0, NAN, 1.0, NAN, 1.0, NAN, NAN])
    assert likely_measured(values, steps).tolist() == [True, False, True, False, True, False, True]


def test_measured__plain_xarray_opens_stores_with_any_names_and_without_marks(tmp_path):
    metrics = {"eval loss/x": [1.0, None, NAN], "loss": [1.0, 2.0, 3.0], "loss_measured": [1.0, NAN, None]}
    run = trajlab.from_arrays({"w": np.ones((3, 2))}, metrics=metrics)
    store = trajlab.pack(run, tmp_path / "run.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xr.open_datatree(store)
    assert set(tree["metrics"].data_vars) == {"eval loss%2Fx", "loss", "loss_measured"}
    packed = trajlab.open(store).metrics
    xr.testing.assert_identical(packed, run.metrics)
    assert marks_of("eval loss/x", packed).values.tolist() == [True, False, True]
    assert marks_of("loss_measured", packed).values.tolist() == [True, True, False]
    assert marks_of("loss", packed) is None
    old = trajlab.from_arrays({"w": np.ones((3, 2))}, metrics=xr.Dataset({"loss": ("step", [1.0, 1.0, NAN])}))
    assert marks_of("loss", trajlab.open(trajlab.pack(old, tmp_path / "old.zarr")).metrics) is None


def test_measured__packing_again_adds_marks_to_an_older_store(tmp_path):
    run = recorded(tmp_path / "run", [2.0, NAN, 1.0])
    bare = trajlab.from_arrays({name: run.weights[name].values for name in run.weights}, steps=run.steps)
    bare.metrics = run.metrics.drop_vars("loss_measured")
    store = trajlab.pack(bare, tmp_path / "run.zarr")
    assert marks_of("loss", trajlab.open(store).metrics) is None
    bare.metrics = run.metrics
    trajlab.pack(bare, store)
    assert marks_of("loss", trajlab.open(store).metrics).all()
