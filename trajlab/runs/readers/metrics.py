"""Read the metrics of a run: those of a Recorder, or the log of Hugging Face's Trainer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import DamagedData
from trajlab.runs.measured import with_marks
from trajlab.schema import METRICS_FILE, TRAINER_FILE

Table = dict[int, dict[str, float]]
"""Numbers by step and name."""


def read_metrics(folder: Path, last: str) -> xr.Dataset:
    """Read the metrics logged at each step, (step) each.

    A step at which a metric was not logged is NaN; where a metric has NaN, the coord `<metric>_measured` tells these
    from a NaN that was logged.

    Parameters
    ----------
    folder
        The folder of checkpoints.
    last
        Name of the last checkpoint in it, in which a Trainer stores its log.

    Raises
    ------
    DamagedData
        A line or a row cannot be read.
    """
    if (folder / METRICS_FILE).is_file():
        rows = _lines(folder / METRICS_FILE)
    elif (folder / last / TRAINER_FILE).is_file():
        rows = _log(folder / last / TRAINER_FILE)
    else:
        rows = {}
    steps = sorted(rows)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    columns = {name: ("step", [rows[step].get(name, np.nan) for step in steps]) for name in names}
    measured = {name: np.array([name in rows[step] for step in steps], bool) for name in names}
    return with_marks(xr.Dataset(columns, {"step": np.array(steps, np.int64)}), measured)


def _lines(path: Path) -> Table:
    rows: Table = {}
    lines, _, _torn = path.read_text(errors="replace").rpartition("\n")  # a killed run may leave part of a line
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            step, row = _row(json.loads(line))
            rows[step] = rows.get(step, {}) | row
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
            raise DamagedData(
                f"cannot read line {number} of {path} as metrics: it is {line[:60]!r}; correct or remove the line"
            ) from error
    return rows


def _log(path: Path) -> Table:
    """Read the log of a Trainer, in which training and evaluation at one step are two rows."""
    rows: Table = {}
    try:
        for logged in json.loads(path.read_text())["log_history"]:
            step, row = _row(logged)
            rows[step] = rows.get(step, {}) | row
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        raise DamagedData(
            f"cannot read the log_history of {path}: {error!r}; restore the file, or remove it"
        ) from error
    return rows


def _row(logged: dict[str, Any]) -> tuple[int, dict[str, float]]:
    row = dict(logged)
    step = int(row.pop("step"))
    np.int64(step)
    return step, {name: float(value) for name, value in row.items() if name and _is_number(value)}


def _is_number(value: Any) -> bool:
    """Return whether a value is a number, also NaN or infinity as text, as loggers write them to strict JSON."""
    if isinstance(value, str):
        return value.strip().lstrip("+-").lower() in ("nan", "inf", "infinity")
    return isinstance(value, int | float)
