"""Read the metrics of a run: those of a Recorder, the log of Hugging Face's Trainer, or TensorBoard's event files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.event_files import NAME, scalars_in
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.measured import with_marks
from trajlab.schema import METRICS_FILE, TRAINER_FILE

OF_TRAINING = "loss"
"""Metric of the rows of a Trainer's log that are of training."""

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
        rows = _events(_event_files(folder))
    steps = sorted(rows)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    columns = {name: ("step", [rows[step].get(name, np.nan) for step in steps]) for name in names}
    measured = {name: np.array([name in rows[step] for step in steps], bool) for name in names}
    return with_marks(xr.Dataset(columns, {"step": np.array(steps, np.int64)}), measured)


def _lines(path: Path) -> Table:
    rows: Table = {}
    text = read_bytes(path).decode(errors="replace")
    lines, _, _torn = text.rpartition("\n")  # a killed run may leave part of a line
    for number, line in enumerate(lines.splitlines(), 1):
        with reading(path, f"correct or remove the line {line[:60]!r}", part=f"line {number}", form="metrics"):
            step, row = _row(parse_json(line))
            rows[step] = rows.get(step, {}) | row
    return rows


def _log(path: Path) -> Table:
    """Read the log of a Trainer, in which training and evaluation at one step are two rows.

    What training logs after update t is the loss, gradient and learning rate of that update, and so of the weights of
    step t − 1, the last of those since the row before. Evaluation after it is of the weights of step t.
    """
    rows: Table = {}
    with reading(path, "restore the file, or remove it", part="the log_history"):
        for logged in parse_json(read_bytes(path))["log_history"]:
            step, row = _row(logged)
            step -= OF_TRAINING in row and step > 0
            rows[step] = rows.get(step, {}) | row
    return rows


def _event_files(folder: Path) -> list[Path]:
    """Return TensorBoard's event files of a run, the oldest first.

    They lie in its folder, in runs/<name> as the Trainer writes them, or above checkpoints/ as Lightning does. Links
    are not followed.
    """
    places = [(folder, f"{NAME}*"), (folder, f"runs/*/{NAME}*")]
    places += [(folder.parent, f"{NAME}*")] if folder.name == "checkpoints" else []
    files = next((files for place, pattern in places if (files := list(place.glob(pattern)))), [])
    return sorted((path for path in files if not path.is_symlink()), key=lambda path: (path.name, str(path)))


def _events(files: Sequence[Path]) -> Table:
    """Read event files; of a step that was logged again, as after a restart, the last value counts."""
    rows: Table = {}
    for path in files:
        with reading(path, "restore the file, or remove it", part="the events"):
            for step, tag, value in scalars_in(read_bytes(path)):
                rows.setdefault(step, {})[tag] = value
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
