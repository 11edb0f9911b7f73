import csv
import io
import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import trajlab
from trajlab.cli import app
from trajlab.errors import BadSetting, MissingData, OutputExists
from trajlab.reports.export import export
from trajlab.running.compute import write
from trajlab.runs.disk.event_files import scalars_in


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "results"
    runs = {name: trajlab.example(seed=seed) for seed, name in enumerate(("=a", "b/../c"))}
    for seed, run in enumerate(runs.values()):
        run.facts["describe"] = {"seed": seed}
    write({folder / f"{stage}.zarr": trajlab.run(stage, runs) for stage in ("drift", "spectrum")})
    return folder


def rows_in(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_export__a_table_has_a_row_for_each_value(results, tmp_path):
    export(results / "drift.zarr", tmp_path / "drift.csv", variables=["relative", "total_*"])
    drift = xr.open_zarr(results / "drift.zarr").load()
    names = ["relative", *(name for name in drift.data_vars if str(name).startswith("total_"))]
    rows = rows_in((tmp_path / "drift.csv").read_text())
    assert len(rows) == sum(drift[name].size for name in names)
    for row in rows[:: len(rows) // 50]:
        run = row["run"].removeprefix("'")
        part = drift[row["variable"]].sel(run=run)
        part = part.sel({dim: type(part[dim].values[0])(row[dim]) if dim == "step" else row[dim] for dim in part.dims})
        assert row["value"] == "" if np.isnan(part) else float(row["value"]) == float(part)
        assert row["seed"] == str(drift.seed.sel(run=run).item()) and row["stage"] == "drift"


def test_export__texts_that_a_spreadsheet_computes_are_marked(results, tmp_path):
    export(results, tmp_path / "all.csv", variables=["relative", "stable_rank"])
    rows = rows_in((tmp_path / "all.csv").read_text())
    assert {row["run"] for row in rows} == {"'=a", "b/../c"} and {row["stage"] for row in rows} == {"drift", "spectrum"}


def test_export__json_is_strict(results, tmp_path):
    export(results, tmp_path / "all.json")
    whole = json.loads((tmp_path / "all.json").read_text(), parse_constant=pytest.fail)
    drift = xr.open_zarr(results / "drift.zarr").load()
    values = np.array(whole["drift"]["data_vars"]["relative"]["data"], float)
    np.testing.assert_array_equal(values, drift.relative)
    assert whole["drift"]["coords"]["run"]["data"] == ["=a", "b/../c"] and whole["drift"]["attrs"]["stage"] == "drift"


def test_export__parquet_holds_the_same_table(results, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    export(results, tmp_path / "all.parquet", variables=["relative", "stable_rank"])
    table = parquet.read_table(tmp_path / "all.parquet").to_pydict()
    drift = xr.open_zarr(results / "drift.zarr").load()
    assert len(table["value"]) == sum(len(values) for values in [table["run"]]) and set(table["run"]) == {
        "=a",
        "b/../c",
    }
    ours = [value for value, name in zip(table["value"], table["variable"], strict=True) if name == "relative"]
    np.testing.assert_array_equal(ours, drift.relative.values.ravel())


def test_export__tensorboard_has_a_scalar_for_each_series_and_escaped_names(results, tmp_path):
    left_out = export(results, tmp_path / "events", variables=["relative", "total_relative", "bin_edges"])
    assert left_out == {}
    drift = xr.open_zarr(results / "drift.zarr").load()
    folders = sorted(path.name for path in (tmp_path / "events" / "drift").iterdir())
    assert folders == ["=a", "b%2F..%2Fc"]
    (file,) = (tmp_path / "events" / "drift" / "=a").iterdir()
    values = {(step, tag): value for step, tag, value in scalars_in(file.read_bytes())}
    expected = drift.sel(run="=a")
    assert len(values) == int(expected.relative.notnull().sum() + expected.total_relative.notnull().sum())
    name = str(drift.parameter.values[0])
    assert values[20, f"relative/{name}"] == np.float32(expected.relative.sel(step=20, parameter=name))
    assert values[20, "total_relative"] == np.float32(expected.total_relative.sel(step=20))


def test_export__says_what_is_wrong(results, tmp_path):
    with pytest.raises(BadSetting, match=r"its ending must be one of .csv, .json, .parquet"):
        export(results, tmp_path / "all.xlsx")
    with pytest.raises(MissingData, match="cannot export nothing: the variables are "):
        export(results, tmp_path / "all.csv", variables=["nothing"])
    (tmp_path / "all.csv").touch()
    with pytest.raises(OutputExists):
        export(results, tmp_path / "all.csv")
    done = CliRunner().invoke(
        app, ["export", str(results), str(tmp_path / "all.csv"), "--overwrite", "--variable", "alpha"]
    )
    assert done.exit_code == 0 and (tmp_path / "all.csv").read_text().startswith("stage,variable,")
