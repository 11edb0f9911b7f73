import numpy as np
import pytest

from trajlab.explorer.computation import FAILED, MISSING, READY
from trajlab.explorer.progress import Stopped
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


def test_what_cannot_be_computed_says_why(folder, tmp_path):
    collection = computed(folder, tmp_path, ["zero_gradients", "drift"])
    assert collection.states["zero_gradients"].word == MISSING
    assert "gradient" in collection.states["zero_gradients"].detail
    assert collection.states["drift"].word == READY


def test_a_fault_of_one_stage_leaves_the_others(folder, tmp_path, monkeypatch):
    import trajlab.running.run as module

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
    collection = ResultCollection(source_of(folder), tmp_path / "kept", stages=["drift"])
    collection.computation._stopping.set()
    with pytest.raises(Stopped):
        collection.computation._compute("drift")
    assert not list((tmp_path / "kept").rglob("*"))


def test_trouble_with_a_result_ends_once_it_is_computed(folder, tmp_path, monkeypatch):
    import trajlab.running.run as module

    collection, run = computed(folder, tmp_path, ["drift"]), module.run

    def faulty(*arguments, **settings):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(module, "run", faulty)
    collection.computation._try("drift")
    assert collection.trouble == "drift: ZeroDivisionError: by zero" and collection.states["drift"].word == READY
    collection.trouble, other = "distribution: it failed", collection.trouble
    monkeypatch.setattr(module, "run", run)
    collection.computation._try("drift")
    assert collection.trouble == "distribution: it failed"
    collection.trouble = other
    collection.computation._try("drift")
    assert collection.trouble == ""


def test_how_long_a_result_takes_is_said_while_it_is_computed(folder, tmp_path, monkeypatch):
    import trajlab.running.run as module

    run, said = module.run, []
    monkeypatch.setattr(module, "run", lambda *given, **settings: run(*given, **settings).assign_attrs(operations=1e13))
    monkeypatch.setattr(ResultCollection, "set_state", lambda collection, name, state: said.append(state.detail))
    computed(folder, tmp_path, ["drift"])
    assert "0 % of about 8 minutes of a core" in said


def test_a_stage_whose_estimate_is_long_is_computed_after_the_others(folder, tmp_path, monkeypatch):
    import trajlab.running.run as module

    run, finished = module.run, []
    take = ResultCollection.take
    costly = lambda name, *given, **settings: run(name, *given, **settings).assign_attrs(  # noqa: E731
        operations=1e13 if name == "drift" else 0.0
    )
    monkeypatch.setattr(module, "run", costly)
    monkeypatch.setattr(
        ResultCollection,
        "take",
        lambda collection, name, *given: (finished.append(name), take(collection, name, *given))[1],
    )
    collection = computed(folder, tmp_path, ["drift", "distribution", "spectrum"])
    assert finished == ["distribution", "spectrum", "drift"]
    assert {state.word for state in collection.states.values()} == {READY}
