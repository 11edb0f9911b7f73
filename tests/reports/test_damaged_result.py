"""A result on disk whose numbers cannot be shown is named; in memory, the cause is raised."""

import pytest

import trajlab.figures
from trajlab.errors import DamagedData
from trajlab.reports.page import report
from trajlab.running.compute import write


def test_report__names_the_result_that_its_stage_cannot_show(tmp_path):
    result = trajlab.run("drift", trajlab.example(3)).compute()
    broken = result.assign({"relative": result.relative.astype(str)})
    write({tmp_path / "results" / "drift.zarr": broken})
    with pytest.raises(DamagedData, match=r"cannot read .*results: .*trajlab --debug report") as error:
        report(tmp_path / "results", tmp_path / "report.html")
    with pytest.raises(type(error.value.__cause__)):
        report({"drift": broken}, tmp_path / "report.html")
    with pytest.raises(DamagedData, match=r"drift\.zarr.*trajlab --debug figure"):
        trajlab.figures.save(tmp_path / "results" / "drift.zarr", tmp_path / "x.png", variable="relative")
