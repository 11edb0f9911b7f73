import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.explorer.result_collection import FAILED, MISSING, READY, WAITING, ResultCollection, cheapest_first
from trajlab.explorer.source import source_of
from trajlab.stages import stage_names


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


def test_what_cannot_be_computed_says_why(folder, tmp_path):
    collection = computed(folder, tmp_path, ["zero_gradients", "drift"])
    assert collection.states["zero_gradients"].word == MISSING
    assert "gradient" in collection.states["zero_gradients"].detail
    assert collection.states["drift"].word == READY


def test_a_fault_of_one_stage_leaves_the_others(folder, tmp_path, monkeypatch):
    import trajlab.explorer.result_collection as module

    run = module.run

    def faulty(name, *arguments, **settings):
        if name == "drift":
            raise ZeroDivisionError("by zero")
        return run(name, *arguments, **settings)

    monkeypatch.setattr(module, "run", faulty)
    collection = computed(folder, tmp_path, ["drift", "distribution"])
    assert collection.states["drift"].word == FAILED and "by zero" in collection.states["drift"].detail
    assert collection.states["distribution"].word == READY


def test_a_file_that_is_no_result_is_not_overwritten(folder, tmp_path):
    (tmp_path / "drift.zarr").mkdir()
    (tmp_path / "drift.zarr" / "precious.txt").write_text("mine")
    collection = computed(folder, tmp_path, ["drift"])
    assert collection.states["drift"].word == FAILED
    assert (tmp_path / "drift.zarr" / "precious.txt").read_text() == "mine"


def test_stopping_leaves_nothing_half_written(folder, tmp_path):
    collection = ResultCollection(source_of(folder), tmp_path / "kept", stages=["drift", "distribution", "spectrum"])
    collection._stopping.set()
    collection.start()
    collection.stop()
    assert not list((tmp_path / "kept").glob("*")) if (tmp_path / "kept").exists() else True


def test_all_stages_are_computed_and_sums_of_weights_first():
    assert sorted(cheapest_first()) == stage_names()
    assert cheapest_first()[0] == "drift"
    assert cheapest_first().index("spectrum") < cheapest_first().index("embedding")


def test_a_value_aside_arrives_and_an_error_takes_its_place(folder, tmp_path):
    collection = ResultCollection(source_of(folder), tmp_path, stages=[])
    version = collection.version
    assert collection.aside("sum", lambda: 1 + 1) is None
    assert collection.aside("fault", lambda: 1 / 0) is None
    for _ in range(500):
        if collection.version == version + 2:
            break
        collection._stopping.wait(0.01)
    assert collection.aside("sum", lambda: 3) == 2
    assert isinstance(collection.aside("fault", lambda: 3), ZeroDivisionError)
