"""Compute missing results in the background, the cheapest first."""

import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from trajlab.errors import MissingData, TrajlabError
from trajlab.explorer.progress import Progress, Stopped
from trajlab.explorer.result_store import FINGERPRINT
from trajlab.explorer.stored_result import read_lazily
from trajlab.explorer.turns import Turns
from trajlab.running.compute import write
from trajlab.running.cost import cost_of, seconds_of
from trajlab.running.follow import POLL

if TYPE_CHECKING:
    from trajlab.explorer.result_collection import ResultCollection


WAITING, COMPUTING, READY, MISSING, FAILED = "waiting", "computing", "ready", "not computed", "failed"


class State(NamedTuple):
    """State of a result.

    Attributes
    ----------
    word
        WAITING, COMPUTING, READY, MISSING (the runs lack something) or FAILED.
    detail
        Progress or reason.
    """

    word: str
    detail: str = ""


class Computation:
    """Computation of the missing results of a collection, in a thread.

    Results of followed runs are computed anew whenever the files of the runs change, the oldest result first. After
    each result the thread rests for as long as that took, which leaves at least half of the time to the training.

    Parameters
    ----------
    collection
        Collection that receives the results and their states.
    names
        Names of the results, the cheapest first.

    Attributes
    ----------
    turns
        Order of the results.
    """

    def __init__(self, collection: "ResultCollection", names: Sequence[str]):
        self.collection, self.turns = collection, Turns(names)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="trajlab-explore", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; no half-written result stays behind."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def wait(self) -> None:
        """Wait until all results are computed."""
        self._thread.join()

    def _work(self) -> None:
        runs, follow = self.collection.runs, self.collection.follow
        while not self._stopping.is_set():
            start = time.monotonic()
            name = self.turns.next(runs.fingerprint)
            is_first = name is not None and not self.turns.was_taken(name)
            if name is not None:
                self.turns.take(name, runs.fingerprint)
                try:
                    self._try(name)
                except Stopped:
                    return
            elif not follow:
                return
            if follow:
                self._stopping.wait(0 if is_first else max(POLL, time.monotonic() - start))
                self.collection.look_again()
                if not self.collection.is_busy:
                    self.collection.version += runs.watch()

    def _try(self, name: str) -> None:
        """Compute a result; an error becomes its state, or the collection's trouble if an older result is shown."""
        collection = self.collection
        is_there = name in collection.results
        if not is_there:
            collection.set_state(name, State(COMPUTING))
        try:
            self._compute(name)
        except Stopped:
            raise
        except Exception as error:  # a fault of one stage must not take the page down
            text = str(error) if isinstance(error, TrajlabError) else f"{type(error).__name__}: {error}"
            if is_there:
                collection.trouble = f"{name}: {text}"
            else:
                collection.set_state(name, State(MISSING if isinstance(error, MissingData) else FAILED, text))
        else:
            if collection.trouble.startswith(f"{name}: "):
                collection.trouble = ""

    def _compute(self, name: str) -> None:
        from trajlab.running.run import run  # kernels and their compiler, which the first view does without

        collection, source = self.collection, self.collection.source
        runs = next(iter(source.runs.values())) if source.alone else source.runs
        fingerprint = collection.runs.fingerprint
        lazy = run(name, runs, **collection.settings).assign_attrs({FINGERPRINT: fingerprint})
        if name not in collection.results and self.turns.gives_way(name, seconds_of(lazy), fingerprint):
            collection.set_state(name, State(WAITING))
            return
        path, cost = collection.store.path(name), cost_of(lazy)

        def report(detail: str) -> None:
            if name not in collection.results:
                collection.set_state(name, State(COMPUTING, f"{detail} of {cost}" if cost else detail))

        report("0 %")
        with Progress(report, self._stopping):
            write({path: lazy}, overwrite=True, workers=max(1, (os.cpu_count() or 2) - 1))  # one core answers clicks
        collection.take(name, read_lazily(path), path)
