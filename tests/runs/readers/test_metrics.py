import json

import numpy as np
import pytest
import torch

import trajlab
from trajlab.errors import DamagedData
from trajlab.runs.disk.event_files import event_file
from trajlab.runs.readers.metrics import read_metrics

NAME = "events.out.tfevents"


def lines(folder, *rows, end="\n"):
    (folder / "metrics.jsonl").write_text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + end
    )
    return read_metrics(folder, "last")


def test_read_metrics__rows_of_one_step_are_joined_and_sorted(tmp_path):
    table = lines(tmp_path, {"step": 5, "loss": 1}, {"step": 0, "loss": 2, "note": "x"}, {"step": 5, "acc": 0.5, "": 3})
    assert table.step.values.tolist() == [0, 5] and table.loss.values.tolist() == [2, 1]
    np.testing.assert_array_equal(table.acc, [np.nan, 0.5])
    assert set(table.data_vars) == {"loss", "acc"}


def test_read_metrics__a_nan_that_was_logged_is_told_from_none(tmp_path):
    table = lines(
        tmp_path, '{"step": 0, "loss": NaN}', {"step": 1}, {"step": 2, "loss": "-Infinity"}, {"step": 3, "loss": 1}
    )
    assert table.loss_measured.values.tolist() == [True, False, True, True] and table.loss[2] == -np.inf


@pytest.mark.parametrize(
    "row", ["{", "[1]", '{"loss": 1}', '{"step": "x"}', '{"step": 1e400}', '{"step": 99999999999999999999}']
)
def test_read_metrics__a_line_that_is_none_is_named(tmp_path, row):
    with pytest.raises(DamagedData, match="metrics.jsonl.*line 2|line 2.*metrics.jsonl"):
        lines(tmp_path, {"step": 0, "loss": 1}, row)


def test_read_metrics__of_a_killed_run_a_torn_line_is_left_out(tmp_path):
    assert lines(tmp_path, {"step": 0, "loss": 1}, '{"step": 1, "lo', end="").step.values.tolist() == [0]


def test_read_metrics__of_a_trainer_join_training_and_evaluation(tmp_path):
    (tmp_path / "last").mkdir()
    log = [{"step": 10, "loss": 2.0}, {"step": 10, "eval_loss": 3.0}, {"step": 20, "loss": 1.0}]
    (tmp_path / "last" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    table = read_metrics(tmp_path, "last")
    assert table.step.values.tolist() == [9, 10, 19]  # the loss of update 10 is that of the weights of step 9
    np.testing.assert_array_equal(table.loss, [2, np.nan, 1])
    np.testing.assert_array_equal(table.eval_loss, [np.nan, 3, np.nan])
    assert not read_metrics(tmp_path, "other").sizes["step"]


def folder_of_checkpoints(folder):
    folder.mkdir(parents=True)
    for step in (0, 10):
        torch.save({"w": torch.full((2, 2), float(step))}, folder / f"step_{step}.pt")
    return folder


@pytest.mark.parametrize(
    ("folder", "events"),
    [("run", "run"), ("out", "out/runs/Nov30_host"), ("version_0/checkpoints", "version_0")],
)
def test_metrics__are_read_from_event_files_beside_folder_of_checkpoints(tmp_path, folder, events):
    source = folder_of_checkpoints(tmp_path / folder)
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
    source = folder_of_checkpoints(tmp_path / "run")
    (source / f"{NAME}.1").write_bytes(b"x" * 40)
    with pytest.raises(DamagedData, match=rf"cannot read the events of .*{NAME}.1: the record at byte 0"):
        trajlab.open(source)
