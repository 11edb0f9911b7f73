"""What was measured while training: by our Recorder, or by the Trainer of Hugging Face."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import DamagedData
from trajlab.schema import METRICS_FILE, TRAINER_FILE

Table = dict[int, dict[str, float]]
"""Numbers by step and name."""


def read_metrics(folder: Path, last: str) -> xr.Dataset:
    """Give what was measured at each step, (step) each.

    Parameters
    ----------
    folder
        The folder of checkpoints.
    last
        Name of the last checkpoint in it, in which a Trainer keeps what it logged so far.

    Raises
    ------
    DamagedData
        A line or a row can not be read.
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
    return xr.Dataset(columns, {"step": np.array(steps, np.int64)})


def _lines(path: Path) -> Table:
    rows: Table = {}
    whole_lines, _, _torn = path.read_text(errors="replace").rpartition("\n")  # a killed run may leave part of a line
    for number, line in enumerate(whole_lines.splitlines(), 1):
        try:
            step, row = _row(json.loads(line))
            rows[step] = row
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
            raise DamagedData(
                f"line {number} of {path} was to be read as metrics; it is {line[:60]!r}. Mend or remove the line."
            ) from error
    return rows


def _log(path: Path) -> Table:
    """Read the log of a Trainer, in which training and evaluation at one step are rows of their own."""
    rows: Table = {}
    try:
        for logged in json.loads(path.read_text())["log_history"]:
            step, row = _row(logged)
            rows[step] = rows.get(step, {}) | row
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        raise DamagedData(
            f"{path} was to be read for its log_history; it has none ({error!r}). Restore it, or remove it."
        ) from error
    return rows


def _row(logged: dict[str, Any]) -> tuple[int, dict[str, float]]:
    row = dict(logged)
    step = int(row.pop("step"))
    np.int64(step)
    return step, {name: float(value) for name, value in row.items() if name and isinstance(value, int | float)}
