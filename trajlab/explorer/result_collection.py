"""Results by name: those that exist, and those that are computed in the background, the cheapest first."""

import os
import tempfile
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs
import xarray as xr
from dask.callbacks import Callback

from trajlab.errors import MissingData, TrajlabError
from trajlab.explorer.source import Source, read_lazily
from trajlab.running.compute import write
from trajlab.running.help import stages_by_panel
from trajlab.running.run import run
from trajlab.schema import STORE_FILE

CHEAPEST = ("drift", "gradient_statistics", "distribution", "alerts")
"""Stages of one pass each, which are computed first. Others follow as the help lists them: replays come last."""

FINGERPRINT = "explored"
"""Attr of a result that the page computed: the fingerprint of its runs."""

ASIDE = 8
"""Values that `ResultCollection.aside` keeps."""

WAITING, COMPUTING, READY, MISSING, FAILED = "waiting", "computing", "ready", "not computed", "failed"


class State(NamedTuple):
    """How far a result is.

    Attributes
    ----------
    word
        WAITING, COMPUTING, READY, MISSING (the runs lack something) or FAILED.
    detail
        Progress or reason.
    """

    word: str
    detail: str = ""


class Stopped(Exception):
    """Raised inside a computation that is to stop."""


class ResultCollection:
    """Results of a source, stored or computed.

    Parameters
    ----------
    source
        What is shown.
    folder
        Where computed results are kept; by default a folder of the user's cache, named after the runs.
    stages
        Stages to compute; by default all that the runs can serve, none if there are no runs.
    settings
        Arguments of `trajlab.run`: model, probe, device.

    Attributes
    ----------
    folder
        Where computed results are kept.
    results
        Results that exist, by name.
    computed
        Names of those that lie in `folder`.
    states
        State of each result by name.
    version
        Number that grows whenever a result is there, or changes its state; not with the progress of one.
    """

    def __init__(
        self,
        source: Source,
        folder: Path | None = None,
        *,
        stages: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        self.source = source
        self.settings = dict(settings or {})
        self.results = dict(source.results)
        self.computed: set[str] = set()
        self.states = {name: State(READY) for name in self.results}
        self.version = 0
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._aside: dict[Hashable, Any] = {}
        self._thread = threading.Thread(target=self._compute_all, name="trajlab-explore", daemon=True)
        self._fingerprint = source.fingerprint() if source.runs else ""
        self.folder = folder or cache_folder(source, self._fingerprint)
        wanted = cheapest_first() if stages is None else list(stages)
        self._queue = [name for name in wanted if name not in self.results] if source.runs else []
        for name in list(self._queue):
            self._take_stored(name)
            self.states.setdefault(name, State(WAITING))

    def start(self) -> None:
        """Begin to compute what is missing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the running computation; nothing half-written stays behind."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def wait(self) -> None:
        """Wait until all is computed."""
        self._thread.join()

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be computed."""
        return any(state.word in (WAITING, COMPUTING) for state in self.states.values())

    def progress(self) -> str:
        """Write how far the computation is, in one line; empty once it is done."""
        total = len(self.states)
        done = sum(state.word not in (WAITING, COMPUTING) for state in self.states.values())
        current = next((f"{name} {s.detail}" for name, s in self.states.items() if s.word == COMPUTING), "")
        return f"computing {current.strip()} · {done} of {total} results" if self.is_busy else ""

    def aside(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return a value that is computed in a thread of its own; None, or the error, while it is not there.

        Parameters
        ----------
        key
            What identifies the value. Of earlier values the last few are kept.
        compute
            Computes it.
        """
        with self._lock:
            if key in self._aside:
                return self._aside[key]
            self._aside[key] = None
            while len(self._aside) > ASIDE:
                self._aside.pop(next(iter(self._aside)))

        def work() -> None:
            try:
                value = compute()
            except Exception as error:  # shown in place of the value
                value = error
            self._aside[key] = value
            self.version += 1

        threading.Thread(target=work, name="trajlab-aside", daemon=True).start()
        return None

    def _take_stored(self, name: str) -> None:
        """Take a result that is in the folder, if it is of these runs as they are now."""
        path = self.folder / f"{name}.zarr"
        if not (path / STORE_FILE).exists():
            return
        try:
            stored = read_lazily(path)
        except TrajlabError:
            return  # of another version or damaged, and so computed anew
        if stored.attrs.get(FINGERPRINT) != self._fingerprint:
            return
        self._ready(name, stored)
        self._queue.remove(name)

    def path_of(self, name: str) -> Path | None:
        """Return where a result is stored; None if it is in memory only."""
        return self.folder / f"{name}.zarr" if name in self.computed else self.source.paths.get(name)

    def _ready(self, name: str, result: xr.Dataset) -> None:
        self.results[name] = result
        self.computed.add(name)
        self._set(name, State(READY))

    def _set(self, name: str, state: State) -> None:
        before = self.states.get(name)
        self.states[name] = state
        self.version += before is None or before.word != state.word

    def _compute_all(self) -> None:
        for name in self._queue:
            if self._stopping.is_set():
                return
            self._set(name, State(COMPUTING))
            try:
                self._compute(name)
            except Stopped:
                return
            except MissingData as error:
                self._set(name, State(MISSING, str(error)))
            except TrajlabError as error:
                self._set(name, State(FAILED, str(error)))
            except Exception as error:  # a fault of one stage must not take the page down
                self._set(name, State(FAILED, f"{type(error).__name__}: {error}"))

    def _compute(self, name: str) -> None:
        runs = next(iter(self.source.runs.values())) if self.source.alone else self.source.runs
        lazy = run(name, runs, **self.settings).assign_attrs({FINGERPRINT: self._fingerprint})
        path = self.folder / f"{name}.zarr"
        with _Progress(lambda detail: self._set(name, State(COMPUTING, detail)), self._stopping):
            write({path: lazy}, overwrite=True, workers=max(1, (os.cpu_count() or 2) - 1))  # one core answers clicks
        self._ready(name, read_lazily(path))


class _Progress(Callback):
    """Report the share of the tasks that are done, and give up when told to."""

    def __init__(self, report: Any, stopping: threading.Event):
        super().__init__(start_state=self._begin, pretask=self._check, posttask=self._advance)
        self.report, self.stopping = report, stopping
        self.total, self.done, self.shown = 1, 0, -1

    def _begin(self, graph: Mapping, state: Mapping) -> None:
        self.total = max(1, sum(len(state[kind]) for kind in ("ready", "waiting")))
        self.done = 0

    def _check(self, *task: Any) -> None:
        if self.stopping.is_set():
            raise Stopped

    def _advance(self, *task: Any) -> None:
        self.done += 1
        percent = min(100, 100 * self.done // self.total)
        if percent != self.shown:
            self.shown = percent
            self.report(f"{percent} %")


def cheapest_first() -> list[str]:
    """Return the names of all stages, the cheapest first."""
    names = [name for name, _, _ in stages_by_panel()]
    return [name for name in CHEAPEST if name in names] + [name for name in names if name not in CHEAPEST]


def cache_folder(source: Source, fingerprint: str) -> Path:
    """Return the folder of the user's cache for the results of runs; a temporary one for runs in memory."""
    if not source.paths:
        return Path(tempfile.mkdtemp(prefix="trajlab-explore-"))
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in source.title)
    return Path(platformdirs.user_cache_dir("trajlab")) / "explore" / f"{name[:60]}-{fingerprint[:12]}"
