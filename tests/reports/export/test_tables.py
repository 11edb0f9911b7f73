import csv
import io
import json

import numpy as np
import pytest
import xarray as xr

from trajlab.reports.export.tables import as_csv, as_json, as_parquet, columns_of

RESULTS = {
    "drift": xr.Dataset({"norm": ("step", [1.5, np.nan])}, {"step": [0, 10]}),
    "scores": xr.Dataset({"right": ("layer", [3, np.iinfo(np.int16).max])}, {"layer": ["fc", "head"]}),
}


def test_columns_of__are_the_labels_of_all_results():
    columns = columns_of(RESULTS)
    np.testing.assert_array_equal(columns.pop("value"), [1.5, np.nan, 3, 32767])
    assert columns == {
        "stage": ["drift", "drift", "scores", "scores"],
        "variable": ["norm", "norm", "right", "right"],
        "step": [0, 10, None, None],
        "layer": [None, None, "fc", "head"],
    }


def test_as_csv__an_unknown_number_is_an_empty_field():
    assert as_csv(RESULTS).decode().splitlines() == [
        "stage,variable,step,layer,value", "drift,norm,0,,1.5", "drift,norm,10,,", "scores,right,,fc,3.0",
        "scores,right,,head,32767.0",
    ]  # fmt: skip


def test_as_csv__texts_that_a_spreadsheet_computes_are_marked():
    array = xr.DataArray([1.0, -2.0], {"layer": ["@x", "-1,y\nz"]}, "layer")
    text = as_csv({"s": array.to_dataset(name="v")}).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["layer"] for row in rows] == ["'@x", "'-1,y\nz"] and [row["value"] for row in rows] == ["1.0", "-2.0"]


def test_as_parquet__labels_that_are_numbers_here_and_texts_there_are_texts():
    parquet = pytest.importorskip("pyarrow.parquet")
    named = {"more": xr.Dataset({"norm": ("step", [2.5])}, {"step": ["last"]})}
    table = parquet.read_table(io.BytesIO(as_parquet(RESULTS | named))).to_pydict()
    assert table["step"] == ["0", "10", None, None, "last"]
    np.testing.assert_array_equal(table["value"], [1.5, np.nan, 3, 32767, 2.5])
    assert parquet.read_table(io.BytesIO(as_parquet(RESULTS))).to_pydict()["step"] == [0, 10, None, None]


def test_as_json__is_strict():
    values = xr.Dataset(
        {"v": ("step", [np.nan, np.inf, -np.inf, 0.5])}, {"step": [0, 1, 2, 3]}, {"ε": np.float32(0.5), "at": (1, 2)}
    )
    whole = json.loads(as_json({"s": values}), parse_constant=pytest.fail)["s"]
    assert whole["data_vars"]["v"]["data"] == [None, "Infinity", "-Infinity", 0.5]
    assert whole["coords"]["step"]["data"] == [0, 1, 2, 3] and whole["attrs"] == {"ε": 0.5, "at": [1, 2]}
