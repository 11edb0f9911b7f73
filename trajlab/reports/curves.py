"""The numbers that sum up a study over the steps, as a CSV for each stage, for `dvc plots`."""

import csv
import io
from collections.abc import Mapping

import numpy as np

from trajlab.reports.findings import headline_series
from trajlab.statistics.extremes import typical
from trajlab.statistics.prepare import Result


def curves(results: Mapping[str, Result]) -> dict[str, bytes]:
    """Return a CSV of each result: a row for each step, a column for each headline; of several runs their median.

    Parameters
    ----------
    results
        Prepared results by name.
    """
    tables = {}
    for key, result in results.items():
        series = {name: array for name, array in headline_series(result).items() if "step" in array.dims}
        if not series:
            continue
        columns = {name: typical(array) for name, array in series.items()}
        steps = sorted({step for array in columns.values() for step in array["step"].values.tolist()})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", *columns])
        values = [array.reindex(step=steps).values.astype(np.float64) for array in columns.values()]
        for row, step in enumerate(steps):
            cells = [float(column[row]) for column in values]
            writer.writerow([step, *("" if np.isnan(cell) else cell for cell in cells)])
        tables[key] = text.getvalue().encode()
    return tables
