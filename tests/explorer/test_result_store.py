import xarray as xr

import trajlab
from trajlab.explorer.result_store import FINGERPRINT, ResultStore
from trajlab.explorer.source import source_of
from trajlab.running.compute import write


def store_of(run, folder, fingerprint="a" * 64, **options):
    return ResultStore(folder, source_of(run), fingerprint, **({"follow": False} | options))


def keep(store, result):
    path = store.path("drift")
    write({path: result.assign_attrs({FINGERPRINT: store.fingerprint})}, overwrite=True)
    store.keep("drift", path)
    return path


def test_a_result_is_found_again_unless_its_runs_have_changed(example, tmp_path):
    result = trajlab.run("drift", example)
    keep(store_of(example, tmp_path), result)
    xr.testing.assert_equal(store_of(example, tmp_path).stored("drift").load(), result.compute())
    assert store_of(example, tmp_path, "b" * 64).stored("drift") is None
    assert store_of(example, tmp_path).stored("spectrum") is None


def test_a_damaged_result_is_not_taken(example, tmp_path):
    path = keep(store_of(example, tmp_path), trajlab.run("drift", example))
    (path / "zarr.json").write_text("{")
    assert store_of(example, tmp_path).stored("drift") is None


def test_of_runs_that_grow_the_last_two_results_stay_until_the_end(example, tmp_path):
    store, result = store_of(example, tmp_path, follow=True), trajlab.run("drift", example)
    paths = []
    for letter in "abc":
        store.update(source_of(example), letter * 64)
        paths.append(keep(store, result))
    assert [path.exists() for path in paths] == [False, True, True], "a view may still read the one before"
    store.clear()
    assert [path.exists() for path in paths] == [False, False, True]


def test_results_of_runs_in_memory_lie_in_a_temporary_folder_and_others_in_the_cache(example, study, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    assert "trajlab-explore-" in store_of(example, None).folder.name
    assert store_of(study, None).folder.as_posix().startswith("/nowhere/trajlab/explore/3-runs-aaaa")
