import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting, MissingData


def test_open__a_folder_of_runs_and_a_result_say_what_they_are(example, tmp_path):
    from trajlab.running.compute import write

    for name in ("a", "b"):
        trajlab.pack(example, tmp_path / "runs" / f"{name}.zarr")
    with pytest.raises(MissingData, match="folder of runs: a, b"):
        trajlab.open(tmp_path / "runs")
    assert list(trajlab.runs_in(tmp_path / "runs")) == ["a", "b"]
    write({tmp_path / "drift.zarr": trajlab.run("drift", example)})
    with pytest.raises(MissingData, match="it is the result of drift"):
        trajlab.open(tmp_path / "drift.zarr")


def test_runs_in__are_in_the_order_of_the_numbers_in_their_names(example, tmp_path):
    for name in ("adam-10", "adam-2", "10", "9", "sgd"):
        trajlab.pack(example, tmp_path / f"{name}.zarr")

    assert list(trajlab.runs_in(tmp_path)) == ["9", "10", "adam-2", "adam-10", "sgd"]


def test_runs_in__folders_of_checkpoints_that_somebody_left_behind(checkpoints, tmp_path):
    for name in ("seed-0", "seed-1"):
        checkpoints({"w": np.zeros((3, 2), np.float32)}, folder=tmp_path / "theirs" / name)
    (tmp_path / "theirs" / "logs").mkdir()
    runs = trajlab.runs_in(tmp_path / "theirs")
    assert list(runs) == ["seed-0", "seed-1"]
    drift = trajlab.run("drift", {name: trajlab.open(path) for name, path in runs.items()})
    assert drift.sizes["run"] == 2
    with pytest.raises(MissingData, match="folder of runs: seed-0, seed-1; open one of them"):
        trajlab.open(tmp_path / "theirs")


def test_runs_in__a_run_that_is_there_twice(example, checkpoints, tmp_path):
    trajlab.pack(example, tmp_path / "runs" / "one.zarr")
    checkpoints({"w": np.zeros((1, 2), np.float32)}, folder=tmp_path / "runs" / "one")
    (tmp_path / "runs" / "one" / "run.json").write_text('{"format": "trajlab-snapshots-1"}')
    with pytest.raises(BadSetting, match=r"the run one .*both one and one\.zarr"):
        trajlab.runs_in(tmp_path / "runs")
