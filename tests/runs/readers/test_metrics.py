"""Metrics from TensorBoard's event files beside checkpoints."""

import numpy as np
import pytest
import torch

import trajlab
from trajlab.errors import DamagedData
from trajlab.runs.disk.event_files import event_file

NAME = "events.out.tfevents"


def checkpoints(folder):
    folder.mkdir(parents=True)
    for step in (0, 10):
        torch.save({"w": torch.full((2, 2), float(step))}, folder / f"step_{step}.pt")
    return folder


@pytest.mark.parametrize(
    ("folder", "events"),
    [("run", "run"), ("out", "out/runs/Nov30_host"), ("version_0/checkpoints", "version_0")],
)
def test_metrics__are_read_from_event_files_beside_checkpoints(tmp_path, folder, events):
    source = checkpoints(tmp_path / folder)
    place = tmp_path / events
    place.mkdir(parents=True, exist_ok=True)
    first = event_file([(0, 0.0, {"train/loss": 2.0}), (10, 1.0, {"train/loss": 1.0, "lr": 0.5})])
    again = event_file([(10, 2.0, {"train/loss": 0.75}), (20, 3.0, {"train/loss": np.nan})])
    (place / f"{NAME}.100.host.1.0").write_bytes(first)
    (place / f"{NAME}.200.host.2.0").write_bytes(again)
    run = trajlab.open(source)
    assert run.steps.tolist() == [0, 10] and run.metrics.step.values.tolist() == [0, 10, 20]
    np.testing.assert_array_equal(run.metrics["train/loss"], [2.0, 0.75, np.nan])
    np.testing.assert_array_equal(run.metrics["lr"], [np.nan, 0.5, np.nan])
    assert run.metrics["train/loss_measured"].values.all()
    assert not [name for name in run.left_aside if NAME in name]


def test_metrics__a_damaged_event_file_is_named(tmp_path):
    source = checkpoints(tmp_path / "run")
    (source / f"{NAME}.1").write_bytes(b"x" * 40)
    with pytest.raises(DamagedData, match=rf"cannot read the events of .*{NAME}.1: the record at byte 0"):
        trajlab.open(source)
