"""Results by name: those that exist, and those that are computed in the background, the cheapest first."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs
import xarray as xr

from trajlab.errors import MissingData, TrajlabError
from trajlab.explorer.aside import Aside
from trajlab.explorer.progress import Progress, Stopped
from trajlab.explorer.shown_runs import ShownRuns
from trajlab.explorer.source import Source, read_lazily
from trajlab.explorer.turns import Turns, cheapest_first
from trajlab.running.compute import write
from trajlab.running.follow import POLL
from trajlab.schema import STORE_FILE

FINGERPRINT = "explored"
"""Attr of a result that the page computed: the fingerprint of its runs."""

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


class ResultCollection:
    """Results of a source, stored or computed.

    Runs that are followed are opened again whenever their files have changed, which reads headers and metrics. Their
    results are then computed anew, the one that was computed longest ago first. After each the computation rests for as
    long as it took, so that it takes half of the time at most from the training. An old result is shown until the new
    one is there.

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
    follow
        Whether the runs are still being written.

    Attributes
    ----------
    folder
        Where computed results are kept; of followed runs in a folder of its own for each state of their files.
    results
        Results that exist, by name.
    states
        State of each result by name.
    version
        Number that grows whenever a result is there, or changes its state, or the runs have grown; not with the
        progress of a computation.
    runs
        The runs as they are now.
    aside
        Values that views compute from the runs themselves.
    trouble
        Why a result could not be computed anew; empty if it could.

    Raises
    ------
    BadSetting
        Runs in memory are to be followed.
    """

    def __init__(
        self,
        source: Source,
        folder: Path | None = None,
        *,
        stages: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        follow: bool = False,
    ):
        self.runs = ShownRuns(source, follow)
        self.settings = dict(settings or {})
        self.follow = follow
        self.results = dict(source.results)
        self.states = {name: State(READY) for name in self.results}
        self.version, self.trouble = 0, ""
        self.aside = Aside(self._advance)
        self._computed: dict[str, Path] = {}
        self._revisions: dict[str, int] = {}
        self._replaced: dict[str, Path] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._compute_all, name="trajlab-explore", daemon=True)
        self.folder = folder or cache_folder(source, self.runs.fingerprint)
        self._chosen_folder = folder
        wanted = cheapest_first() if stages is None else list(stages)
        self._turns = Turns([name for name in wanted if name not in self.results] if source.runs else [])
        for name in self._turns.names:
            if self._take_stored(name):
                self._turns.take(name, self.runs.fingerprint)
            self.states.setdefault(name, State(WAITING))

    @property
    def source(self) -> Source:
        """What is shown, as it is now."""
        return self.runs.source

    def start(self) -> None:
        """Begin to compute what is missing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the running computation; nothing half-written stays behind."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        for name in list(self._replaced):
            self._remove(self._replaced.pop(name))

    def wait(self) -> None:
        """Wait until all is computed."""
        self._thread.join()

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be computed for the first time."""
        return any(state.word in (WAITING, COMPUTING) for state in self.states.values())

    @property
    def computed(self) -> set[str]:
        """Names of the results that lie in `folder`."""
        return set(self._computed)

    def progress(self) -> str:
        """Write how far the computation is, in one line; empty once it is done."""
        total = len(self.states)
        done = sum(state.word not in (WAITING, COMPUTING) for state in self.states.values())
        current = next((f"{name} {s.detail}" for name, s in self.states.items() if s.word == COMPUTING), "")
        lines = [f"computing {current.strip()} · {done} of {total} results"] if self.is_busy else []
        if self.follow:
            last = max((int(run.steps[-1]) for run in self.source.runs.values() if len(run.steps)), default=0)
            lines.append(" · ".join(filter(None, [f"following · last step {last:,}", self.runs.trouble, self.trouble])))
        return " · ".join(lines)

    def hurry(self, name: str) -> None:
        """Compute a result next, as a view waits for it."""
        self._turns.hurry(name)

    def revision(self, name: str) -> int:
        """Return a number that changes whenever a result is replaced; -1 while there is none."""
        return self._revisions.get(name, 0) if name in self.results else -1

    def path_of(self, name: str) -> Path | None:
        """Return where a result is stored; None if it is in memory only."""
        return self._computed.get(name) or self.source.paths.get(name)

    def look_again(self) -> None:
        """Open the runs again if their files have changed."""
        if self.runs.look_again():
            self.folder = self._chosen_folder or cache_folder(self.source, self.runs.fingerprint)
            self.version += 1

    def _compute_all(self) -> None:
        while not self._stopping.is_set():
            start = time.monotonic()
            name = self._turns.next(self.runs.fingerprint)
            is_first = name is not None and not self._turns.was_taken(name)
            if name is not None:
                self._turns.take(name, self.runs.fingerprint)
                try:
                    self._try(name)
                except Stopped:
                    return
            elif not self.follow:
                return
            if self.follow:
                self._stopping.wait(0 if is_first else max(POLL, time.monotonic() - start))
                self.look_again()
                if not self.is_busy:
                    self.version += self.runs.watch()

    def _try(self, name: str) -> None:
        """Compute a result. An error is its state; of one that is there already, it is the trouble."""
        is_there = name in self.results
        if not is_there:
            self._set(name, State(COMPUTING))
        try:
            self._compute(name)
        except Stopped:
            raise
        except Exception as error:  # a fault of one stage must not take the page down
            text = str(error) if isinstance(error, TrajlabError) else f"{type(error).__name__}: {error}"
            if is_there:
                self.trouble = f"{name}: {text}"
            else:
                self._set(name, State(MISSING if isinstance(error, MissingData) else FAILED, text))

    def _compute(self, name: str) -> None:
        from trajlab.running.run import run  # kernels and their compiler, which the first view does without

        runs = next(iter(self.source.runs.values())) if self.source.alone else self.source.runs
        lazy = run(name, runs, **self.settings).assign_attrs({FINGERPRINT: self.runs.fingerprint})
        path = self._path(name)

        def report(detail: str) -> None:
            if name not in self.results:
                self._set(name, State(COMPUTING, detail))

        with Progress(report, self._stopping):
            write({path: lazy}, overwrite=True, workers=max(1, (os.cpu_count() or 2) - 1))  # one core answers clicks
        self._ready(name, read_lazily(path), path)

    def _path(self, name: str) -> Path:
        """Return where to keep a result: never where one lies that a view may be reading."""
        follows_there = self.follow and self._chosen_folder is not None
        return (self.folder / self.runs.fingerprint[:12] if follows_there else self.folder) / f"{name}.zarr"

    def _take_stored(self, name: str) -> bool:
        """Take a result that is in the folder, if it is of these runs as they are now."""
        path = self._path(name)
        if not (path / STORE_FILE).exists():
            return False
        try:
            stored = read_lazily(path)
        except TrajlabError:
            return False  # of another version or damaged, and so computed anew
        if stored.attrs.get(FINGERPRINT) != self.runs.fingerprint:
            return False
        self._ready(name, stored, path)
        return True

    def _ready(self, name: str, result: xr.Dataset, path: Path) -> None:
        """Show a result. The one that it replaces is removed once it is replaced, too: a view may be reading it."""
        before = self._computed.get(name)
        self.results[name] = result
        self._computed[name] = path
        self._revisions[name] = self._revisions.get(name, 0) + 1
        if before is not None and before != path:
            if name in self._replaced:
                self._remove(self._replaced[name])
            self._replaced[name] = before
        self.version += 1
        self._set(name, State(READY))

    def _remove(self, path: Path) -> None:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # others may lie beside it
            path.parent.rmdir()

    def _advance(self) -> None:
        self.version += 1

    def _set(self, name: str, state: State) -> None:
        before = self.states.get(name)
        self.states[name] = state
        self.version += before is None or before.word != state.word


def cache_folder(source: Source, fingerprint: str) -> Path:
    """Return the folder of the user's cache for the results of runs; a temporary one for runs in memory."""
    if not source.paths:
        return Path(tempfile.mkdtemp(prefix="trajlab-explore-"))
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in source.title)
    return Path(platformdirs.user_cache_dir("trajlab")) / "explore" / f"{name[:60]}-{fingerprint[:12]}"
