"""Progress of a computation in the background, which can be stopped."""

import threading
from collections.abc import Callable, Mapping

from dask.callbacks import Callback


class Stopped(Exception):
    """Raised inside a computation that is to stop."""


class Progress(Callback):
    """Report the share of the tasks that are done, and give up when told to.

    Parameters
    ----------
    report
        Called with the share as text whenever it has changed.
    stopping
        Set to stop the computation, which then raises Stopped.
    """

    def __init__(self, report: Callable[[str], None], stopping: threading.Event):
        super().__init__(start_state=self._begin, pretask=self._check, posttask=self._advance)
        self.report, self.stopping = report, stopping
        self.total, self.done, self.shown = 1, 0, -1

    def _begin(self, graph: Mapping, state: Mapping) -> None:
        self.total = max(1, sum(len(state[kind]) for kind in ("ready", "waiting")))
        self.done = 0

    def _check(self, *task: object) -> None:
        if self.stopping.is_set():
            raise Stopped

    def _advance(self, *task: object) -> None:
        self.done += 1
        percent = min(100, 100 * self.done // self.total)
        if percent != self.shown:
            self.shown = percent
            self.report(f"{percent} %")
