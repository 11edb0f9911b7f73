import shutil
import time

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting
from trajlab.explorer.computation import READY, WAITING
from trajlab.explorer.result_collection import ResultCollection
from trajlab.explorer.source import source_of


def computed(source, folder, stages):
    collection = ResultCollection(source_of(source), folder, stages=stages)
    collection.start()
    collection.wait()
    return collection


@pytest.fixture
def folder(checkpoints):
    return checkpoints({"a.w": np.arange(12, dtype=np.float32).reshape(3, 2, 2)})


def test_results_are_those_of_the_stages_and_stay(folder, tmp_path):
    collection = computed(folder, tmp_path / "kept", ["drift"])
    expected = trajlab.run("drift", trajlab.open(folder)).compute()
    assert collection.states["drift"].word == READY and not collection.is_busy
    xr.testing.assert_equal(collection.results["drift"].load(), expected)
    again = ResultCollection(source_of(folder), tmp_path / "kept", stages=["drift"])
    assert again.states["drift"].word == READY


def test_results_of_runs_that_changed_are_computed_anew(folder, checkpoints, tmp_path):
    computed(folder, tmp_path / "kept", ["drift"])
    checkpoints({"a.w": np.zeros((1, 2, 2), np.float32)}, steps=[9], folder=folder)
    again = ResultCollection(source_of(folder), tmp_path / "kept", stages=["drift"])
    assert again.states["drift"].word == WAITING
    collection = computed(folder, tmp_path / "kept", ["drift"])
    assert collection.results["drift"]["step"].values.tolist() == [0, 1, 2, 9]


def until(condition):
    for _ in range(30_000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("the collection did not follow in five minutes")


def test_a_run_that_grows_is_computed_anew_and_old_results_are_removed(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr("trajlab.explorer.computation.POLL", 0.01)
    array = np.arange(12, dtype=np.float32).reshape(2, 6)
    folder = checkpoints({"w": array}, folder=tmp_path / "run")
    collection = ResultCollection(source_of(folder), tmp_path / "kept", stages=["drift", "spectrum"], follow=True)
    collection.start()
    for steps in (2, 3, 4, 5):
        until(lambda steps=steps: collection.results.get("drift", {}).get("step", np.empty(0)).size == steps)
        first = collection.results["drift"]["relative"]
        version = collection.version
        checkpoints({"w": array[:1] + steps}, steps=[steps], folder=folder)
        until(lambda version=version: collection.version > version)
        assert first.sizes["step"] == first.values.shape[0] == steps  # a view that reads late reads what it opened
    collection.stop()
    assert len(list((tmp_path / "kept").glob("*/drift.zarr"))) == 1
    assert collection.source.runs["run"].steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_new_run_appears_and_a_damaged_one_stays_as_it_was(study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    collection = ResultCollection(source_of(folder), tmp_path / "kept", stages=[], follow=True)
    shutil.copytree(study / "run-0.zarr", folder / "run-9.zarr")
    (folder / "run-1.zarr" / "zarr.json").write_text("{")
    collection.look_again()
    assert list(collection.source.runs) == ["run-0", "run-1", "run-2", "run-9"]
    assert collection.runs.readings == 1 and "run-1" in collection.runs.trouble
    collection.look_again()
    assert collection.runs.readings == 1


def test_a_file_that_is_cut_short_is_waited_for(checkpoints, tmp_path):
    folder = checkpoints({"w": np.ones((2, 6), np.float32)}, folder=tmp_path / "run")
    collection = ResultCollection(source_of(folder), tmp_path / "kept", stages=[], follow=True)
    checkpoints({"w": np.ones((1, 6), np.float32)}, steps=[2], folder=folder)
    file = folder / "checkpoint-2" / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:20])
    collection.look_again()
    assert collection.runs.trouble and collection.source.runs["run"].steps.tolist() == [0, 1]
    file.write_bytes(whole)
    collection.look_again()
    assert not collection.runs.trouble and collection.source.runs["run"].steps.tolist() == [0, 1, 2]


def test_runs_in_memory_cannot_be_followed(example):
    with pytest.raises(BadSetting, match="in memory"):
        ResultCollection(source_of(example), follow=True)
