import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.explorer.source import source_of
from trajlab.running.compute import write


@pytest.fixture
def results(example, tmp_path):
    folder = tmp_path / "results"
    write({folder / f"{name}.zarr": trajlab.run(name, example) for name in ("drift", "spectrum")})
    return folder


def test_a_strangers_checkpoints_are_one_run(checkpoints):
    source = source_of(checkpoints({"a.w": np.ones((3, 2, 2), np.float32)}))
    assert list(source.runs) == ["checkpoints"] and source.alone and not source.results


def test_reading_options_choose_what_is_read_and_are_part_of_the_fingerprint(checkpoints):
    folder = checkpoints({"a.w": np.ones((3, 2, 2), np.float32), "b.w": np.ones((3, 2), np.float32)})
    plain, chosen = source_of(folder), source_of(folder, parameters="^a", key=None, series=None, step_pattern=r"(\d+)")
    assert list(plain.runs["checkpoints"].weights) == ["a.w", "b.w"]
    assert list(chosen.runs["checkpoints"].weights) == ["a.w"]
    assert plain.fingerprint() == source_of(folder, parameters=None).fingerprint() != chosen.fingerprint()
    with pytest.raises(BadSetting, match="'teacher'"):
        source_of(folder, key="teacher")


def test_a_folder_of_runs_and_a_store(study):
    source = source_of(study)
    assert list(source.runs) == ["run-0", "run-1", "run-2"] and not source.alone
    assert list(source_of(study / "run-1.zarr").runs) == ["run-1"]


def test_a_folder_of_results_a_result_and_both_with_their_run(results, study):
    assert list(source_of(results).results) == ["drift", "spectrum"]
    assert list(source_of(results / "drift.zarr").results) == ["drift"]
    both = source_of([results, study / "run-0.zarr"])
    assert list(both.runs) == ["run-0"] and list(both.results) == ["drift", "spectrum"]


def test_results_of_studies_are_named_after_their_folders(results):
    assert list(source_of(results.parent).results) == ["results/drift", "results/spectrum"]


def test_stored_results_are_not_read(results):
    array = source_of(results).results["drift"]["relative"]
    assert not array.variable._in_memory


def test_a_damaged_result_is_named_and_the_others_are_shown(results):
    (results / "drift.zarr" / "zarr.json").write_text(
        (results / "drift.zarr" / "zarr.json").read_text().replace("trajlab-result-", "trajlab-result-0")
    )
    source = source_of(results)
    assert list(source.results) == ["spectrum"]
    assert "drift" in source.notes[0] and "version" in source.notes[0]
    with pytest.raises(DamagedData):
        source_of(results / "drift.zarr")


def test_runs_and_results_in_memory(example):
    result = trajlab.run("drift", example)
    source = source_of({"a": example, "b": example, "moved": result})
    assert list(source.runs) == ["a", "b"] and list(source.results) == ["moved"]
    assert source_of(example).alone
    assert list(source_of(result).results) == ["drift"]


@pytest.mark.parametrize(("shown", "error"), [([], MissingData), (3, BadSetting), ("nowhere", MissingData)])
def test_what_is_neither_run_nor_result_is_refused(shown, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        source_of(shown)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(MissingData):
        source_of(tmp_path)


def test_two_runs_of_one_name_are_refused(study, tmp_path):
    trajlab.pack(trajlab.example(), tmp_path / "run-0.zarr")
    with pytest.raises(BadSetting, match="run-0"):
        source_of([study, tmp_path / "run-0.zarr"])


def test_a_fingerprint_changes_with_the_files_of_a_run(checkpoints, tmp_path):
    folder = checkpoints({"a.w": np.ones((3, 2, 2), np.float32)})
    before = source_of(folder).fingerprint()
    assert source_of(folder).fingerprint() == before
    checkpoints({"a.w": np.ones((1, 2, 2), np.float32)}, steps=[7], folder=folder)
    assert source_of(folder).fingerprint() != before


def test_a_folder_in_which_nothing_can_be_read_says_what_and_what_to_do(results):
    for name in ("drift", "spectrum"):
        for path in (results / f"{name}.zarr").rglob("*"):
            if path.is_file() and path.name != "zarr.json":
                path.write_bytes(b"xx")
    with pytest.raises(DamagedData, match=r"results: nothing in it can be read: drift: .*compute the stage again"):
        source_of(results)


def test_a_result_that_lost_the_files_of_its_steps_is_not_shown_at_step_zero(results):
    (results / "drift.zarr" / "step" / "c" / "0").unlink()
    source = source_of(results)
    assert list(source.results) == ["spectrum"]
    assert "its steps do not increase (0, 0, 0, …)" in source.notes[0] and "compute the stage again" in source.notes[0]
