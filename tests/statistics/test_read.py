import errno

import pytest
import xarray as xr

import trajlab
from trajlab.errors import DamagedData, TrajlabError
from trajlab.running.compute import write
from trajlab.runs.disk.paths import as_path
from trajlab.schema import RESULT_VERSION
from trajlab.statistics.read import conventions, holds_results, read


@pytest.fixture
def result(example):
    return trajlab.run("drift", example)


def test_read__computes_a_lazy_result_and_reads_a_stored_one_alike(result, tmp_path):
    write({tmp_path / "drift.zarr": result})

    assert not any(variable.chunks for variable in read(result).variables.values())
    xr.testing.assert_equal(read(tmp_path / "drift.zarr"), read(result))


def test_read__tells_a_result_of_another_version(result):
    with pytest.raises(DamagedData, match=f"trajlab-result-1.*{RESULT_VERSION}; compute the stage again"):
        read(result.assign_attrs(Conventions="trajlab-result-1"))
    with pytest.raises(DamagedData, match="version none"):
        read(xr.Dataset({"x": ("step", [1.0, 2.0])}))


def test_read__names_the_variables_that_a_result_lost_and_the_version_that_wrote_them(result):
    with pytest.raises(DamagedData, match=r"lacks `norm` and `total_changed`, which drift of trajlab [\d.]+ wrote"):
        read(result.drop_vars(["norm", "total_changed"]))


def test_read__takes_the_result_of_no_stage(example):
    read(xr.Dataset({"x": ("step", [1.0, 2.0])}, attrs={"stage": "my_own"}))
    read(trajlab.run(lambda weight: weight.mean(weight.dims[1:]), example))


def test_holds_results__tells_results_from_runs(result, example, tmp_path):
    write({tmp_path / "study" / "digits" / "drift.zarr": result})
    store = trajlab.pack(example, tmp_path / "runs" / "a.zarr")
    assert all(holds_results(tmp_path / name) for name in ("study", "study/digits", "study/digits/drift.zarr"))
    assert not any(holds_results(folder) for folder in (store, store.parent, tmp_path / "nowhere"))
    assert (conventions(store), conventions(tmp_path)) == ("trajlab", "")


def test_holds_results__behind_a_url_tells_what_is_absent_from_what_is_out_of_reach(result, monkeypatch):
    write({as_path("memory://holding/study/drift.zarr"): result})
    folder = as_path("memory://holding/study")
    assert holds_results(folder) and not holds_results(folder / "nowhere")

    def refuse(*arguments, **keywords):
        raise PermissionError(errno.EACCES, "Access Denied")

    monkeypatch.setattr(folder.fs, "open", refuse)
    with pytest.raises(TrajlabError, match="cannot reach memory://holding/study: Access Denied"):
        holds_results(folder)
    folder.fs.rm("/holding", recursive=True)
