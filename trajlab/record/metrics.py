"""The metrics of a run: one line of JSON a step."""

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trajlab.errors import BadSetting
from trajlab.record.writer import Writer, naming_failures

FLUSH_SECONDS = 1.0
"""Longest time between two writes while rows arrive."""


class MetricsLog:
    """The file of metrics, one line a step; the last row is held back until the next, so that metrics can be added.

    Parameters
    ----------
    path
        The file; rows are appended if it exists.
    writer
        The thread that writes them.
    """

    def __init__(self, path: Path, writer: Writer) -> None:
        self._path = path
        self._writer = writer
        self._file = open(path, "ab", buffering=0)
        self._waiting: list[Mapping[str, int | float]] = []
        self._last: dict[str, int | float] | None = None
        self._flushed = time.monotonic()

    def append(self, row: Mapping[str, int | float]) -> None:
        """Add a row; the rows before it are written once a second has passed since the last flush."""
        self._release_last()
        self._last = dict(row)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.write_waiting()

    def add(self, metrics: Mapping[str, int | float]) -> bool:
        """Add metrics to the last row; return whether it was not yet written."""
        if self._last is None:
            return False
        self._last |= metrics
        return True

    def flush(self) -> None:
        """Submit the rows to the writer; NaN and infinity stand as ``NaN`` and ``Infinity``, as json writes."""
        self._release_last()
        self.write_waiting()

    def _release_last(self) -> None:
        if self._last is not None:
            self._waiting.append(self._last)
            self._last = None

    def write_waiting(self) -> None:
        """Submit the rows before the last one to the writer."""
        rows, self._waiting = self._waiting, []
        self._flushed = time.monotonic()
        if rows:
            self._writer.submit(partial(self._write, rows), small=True)

    def close(self) -> None:
        """Close the file; the writer has stopped."""
        self._file.close()

    def _write(self, rows: Sequence[Mapping[str, int | float]]) -> None:
        with naming_failures(self._path):
            rest = memoryview("".join(json.dumps(row) + "\n" for row in rows).encode())
            while rest:
                rest = rest[self._file.write(rest) :]


def append_row(path: Path, row: Mapping[str, int | float]) -> None:
    """Write one more row to a file of metrics that was closed."""
    with naming_failures(path), open(path, "ab") as file:
        file.write((json.dumps(row) + "\n").encode())


def metric_row(step: int, metrics: Mapping[str, Any]) -> dict[str, int | float]:
    """Convert metrics to plain numbers.

    >>> metric_row(3, {"loss": torch.tensor(0.5), "epoch": 1})
    {'step': 3, 'loss': 0.5, 'epoch': 1}
    """
    if "step" in metrics:
        raise BadSetting("cannot record a metric called step: the Recorder counts steps itself; choose another name")
    return {"step": step} | {name: _number(name, value) for name, value in metrics.items()}


def _number(name: str, value: Any) -> int | float:
    if isinstance(value, torch.Tensor | np.ndarray) and value.shape.count(1) == value.ndim:
        value = value.item()
    if isinstance(value, Integral | np.bool_):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise BadSetting(
        f"cannot record the metric {name}: it is a {type(value).__name__}"
        f"{list(value.shape) if hasattr(value, 'shape') else ''}, not one number; reduce it first, as with .mean()"
    )
