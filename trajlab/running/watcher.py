"""Changes of level in runs that are still being written: each value is read once, when it is new."""

from statistics import median
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.runs.trajectory import Trajectory
from trajlab.scan.select_steps import select_steps
from trajlab.stages.change_points import change_points
from trajlab.stages.change_points.cusum import WINDOW, Cusum
from trajlab.statistics.unusual import Unusual, factor_words, quantity_words

RUN_LENGTH = 100_000
"""Recorded steps between two false alarms of a run, on average and over all its series together."""

TYPICAL = 10
"""Values whose median is the level before a change."""


class Noticed(NamedTuple):
    """A change of level that an online CUSUM noticed.

    Attributes
    ----------
    step
        Step whose value raised the alarm.
    event
        The change, from the step at which the sum began to grow.
    """

    step: int
    event: Unusual

    def __str__(self) -> str:
        return (
            f"{quantity_words(self.event)} {factor_words(self.event)} from step {self.event.step:,} "
            f"(CUSUM, noticed at step {self.step:,})"
        )


class Watcher:
    """Watch the weight norms, updates, gradient norms and metrics of a run that grows.

    Each is watched by `Cusum`. Together they raise one false alarm in `RUN_LENGTH` recorded steps on average, if values
    are normal about a slow trend; values with heavy tails raise more.

    Parameters
    ----------
    smallest_change
        Smallest standard deviation of a series without negative values, as a share.
    """

    def __init__(self, *, smallest_change: float = 0.01):
        self._smallest = smallest_change
        self._read: dict[str, int] = {}
        self._positions: dict[tuple[str, str], int] = {}
        self._cusum: Cusum | None = None
        self._recent: list[list[tuple[int, float]]] = []

    def read(self, run: Trajectory) -> list[Noticed]:
        """Read the values of a run that are new since the last call, and return the changes that they show.

        Parameters
        ----------
        run
            The run as it is now. Of its tensors only new snapshots are read, and the one before them.
        """
        first = dict(self._read)
        tensors = {"weight": run.weights, "gradient": run.gradients}
        parts = {
            kind: _from(dict(of_kind), first.get(kind), with_last=kind == "weight") for kind, of_kind in tensors.items()
        }
        metrics = run.metrics
        if "metrics" in first and metrics.sizes.get("step"):
            metrics = metrics.isel(step=np.flatnonzero(metrics["step"].values > first["metrics"]))
        is_new = [bool(parts["gradient"]), bool(metrics.sizes.get("step")), _is_beyond(parts["weight"], first)]
        if not any(is_new):
            return []
        values = change_points(metrics, parts["gradient"], parts["weight"])["value"].compute()
        for kind, of_kind in tensors.items():
            self._read[kind] = int(of_kind.steps[-1]) if len(of_kind.steps) else -1
        self._read["metrics"] = int(run.metrics["step"].values[-1]) if run.metrics.sizes.get("step") else -1
        return self._watch(values.transpose("step", "series"), first)

    def _watch(self, values: xr.DataArray, first: dict[str, int]) -> list[Noticed]:
        names = list(zip(values["place_of"].values.tolist(), values["quantity_of"].values.tolist(), strict=True))
        for name in names:
            self._positions.setdefault(name, len(self._positions))
        if self._cusum is None:
            self._cusum = Cusum(run_length=RUN_LENGTH * max(1, len(names)), smallest=self._smallest)
        self._recent += [[] for _ in range(len(self._positions) - len(self._recent))]
        columns = [self._positions[name] for name in names]
        read = np.array([first.get(_kind(quantity), -1) for _, quantity in names])
        noticed = []
        for step, row in zip(values["step"].values.tolist(), values.values, strict=True):
            now = np.full(len(self._positions), np.nan)
            now[columns] = np.where(step > read, row, np.nan)
            alarms = np.flatnonzero(self._cusum.update(now))
            for position in np.flatnonzero(np.isfinite(now)).tolist():
                self._recent[position] = [*self._recent[position][-WINDOW:], (step, float(now[position]))]
            noticed += [self._noticed(position, step) for position in alarms.tolist()]
        return noticed

    def _noticed(self, position: int, step: int) -> Noticed:
        assert self._cusum is not None
        place, quantity = next(name for name, at in self._positions.items() if at == position)
        recent = self._recent[position]
        since = max(len(recent) - int(self._cusum.length[position]), 0)
        before, after = recent[max(since - TYPICAL, 0) : since] or recent[:1], recent[since:]
        event = Unusual(
            after[0][0], place, quantity, "jump", float(self._cusum.side[position]),
            median(value for _, value in before), median(value for _, value in after),
        )  # fmt: skip
        return Noticed(step, event)


def _kind(quantity: str) -> str:
    """Return what a quantity is computed of."""
    return {"metric": "metrics", "gradient norm": "gradient"}.get(quantity, "weight")


def _from(tensors: dict[str, xr.DataArray], last: int | None, *, with_last: bool) -> dict[str, xr.DataArray]:
    """Return the steps after the last one that was read, with it if updates are computed; without empty tensors."""
    if last is None:
        return tensors
    parts = {
        name: select_steps(array, array["step"].values >= (last if with_last else last + 1))
        for name, array in tensors.items()
    }
    return {name: part for name, part in parts.items() if part.sizes["step"]}


def _is_beyond(weights: dict[str, xr.DataArray], first: dict[str, int]) -> bool:
    return any(array["step"].values[-1] > first.get("weight", -1) for array in weights.values())
