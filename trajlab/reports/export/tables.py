"""Results as one long table, a row for each value, or as JSON."""

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import MissingData
from trajlab.reports.export.labels import labels_of

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet computes."""


def columns_of(results: Mapping[str, xr.Dataset]) -> dict[str, list[Any]]:
    """Return the columns of the table of all values: stage, variable, labels (None where there is none) and value."""
    parts, names = [], dict.fromkeys(["stage", "variable"])
    for stage, result in results.items():
        for variable, array in result.data_vars.items():
            labels = labels_of(array)
            names |= dict.fromkeys(labels)
            parts.append((stage, str(variable), labels, array.values.ravel()))
    columns: dict[str, list[Any]] = {name: [] for name in [*names, "value"]}
    for stage, variable, labels, values in parts:
        fixed = {"stage": stage, "variable": variable}
        for name in names:
            column = [fixed[name]] * values.size if name in fixed else [None] * values.size
            columns[name] += labels[name].tolist() if name in labels else column
        columns["value"] += values.astype(np.float64).tolist()
    return columns


def as_csv(results: Mapping[str, xr.Dataset]) -> bytes:
    """Return the table as CSV in UTF-8; NaN is an empty field."""
    columns = columns_of(results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return what stands in a field: texts that a spreadsheet would compute begin with an apostrophe.

    >>> _cell("=1+1"), _cell(-1.5), _cell(float("nan")), _cell("fc.weight")
    ("'=1+1", -1.5, '', 'fc.weight')
    """
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def as_parquet(results: Mapping[str, xr.Dataset]) -> bytes:
    """Return the table as Parquet.

    Raises
    ------
    MissingData
        pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingData(
            "cannot write Parquet: pyarrow is not installed; pip install 'trajlab[parquet]', or write a .csv"
        ) from error
    columns = {name: _of_one_type(values) for name, values in columns_of(results).items()}
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def _of_one_type(values: list[Any]) -> list[Any]:
    """Return values of one type: texts, where labels of a dim are numbers in one result and texts in another."""
    kinds = {isinstance(value, str) for value in values if value is not None}
    return [None if value is None else str(value) for value in values] if len(kinds) > 1 else values


def as_json(results: Mapping[str, xr.Dataset]) -> bytes:
    """Return results as strict JSON: attrs, coords and variables of each; NaN is null, infinities are texts."""
    whole = {stage: _jsonable(result.to_dict()) for stage, result in results.items()}
    return (json.dumps(whole, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(part) for part in value]
    if isinstance(value, np.generic | np.ndarray):
        return _jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
