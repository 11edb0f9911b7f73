"""The metrics of a run: one line of JSON a step."""

import json
import time
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trajlab.errors import BadSetting
from trajlab.record.writer import naming_failures

FLUSH_SECONDS = 1.0
"""Longest time between two writes while rows arrive."""


class MetricsLog:
    """The file of metrics, one line a step.

    Parameters
    ----------
    path
        The file; rows are appended if it exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "ab", buffering=0)
        self._waiting: list[Mapping[str, int | float]] = []
        self._flushed = time.monotonic()

    def append(self, row: Mapping[str, int | float]) -> None:
        """Add a row; it is written at the next flush, or once a second has passed since the last one."""
        self._waiting.append(row)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows; NaN and infinity are written as ``NaN`` and ``Infinity``, as Python's json does."""
        lines = "".join(json.dumps(row) + "\n" for row in self._waiting)
        self._waiting.clear()
        self._flushed = time.monotonic()
        with naming_failures(self._path):
            rest = memoryview(lines.encode())
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Write the waiting rows and close the file."""
        try:
            self.flush()
        finally:
            self._file.close()


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
