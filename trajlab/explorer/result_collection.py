"""Results by name: those that exist, and those that are computed in the background, the cheapest first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from trajlab.explorer.aside import Aside
from trajlab.explorer.computation import COMPUTING, READY, WAITING, Computation, State
from trajlab.explorer.result_store import ResultStore
from trajlab.explorer.shown_runs import ShownRuns
from trajlab.explorer.source import Source
from trajlab.explorer.turns import cheapest_first


class ResultCollection:
    """Results of a source, stored or computed.

    Runs that are followed are opened again whenever their files have changed, which reads headers and metrics; see
    `Computation`. An old result is shown until the new one is computed.

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
    store
        Where computed results are kept.
    computation
        Computes missing results in the background.
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
        self._revisions: dict[str, int] = {}
        self.store = ResultStore(folder, source, self.runs.fingerprint, follow=follow)
        wanted = cheapest_first() if stages is None else list(stages)
        self.computation = Computation(
            self, [name for name in wanted if name not in self.results] if source.runs else []
        )
        for name in self.computation.turns.names:
            stored = self.store.stored(name)
            if stored is not None:
                self.take(name, stored, self.store.path(name))
                self.computation.turns.take(name, self.runs.fingerprint)
            self.states.setdefault(name, State(WAITING))

    @property
    def source(self) -> Source:
        """What is shown, as it is now."""
        return self.runs.source

    @property
    def folder(self) -> Path:
        """Where computed results are kept."""
        return self.store.folder

    def start(self) -> None:
        """Start to compute the missing results."""
        self.computation.start()

    def stop(self) -> None:
        """Stop the running computation; nothing half-written stays behind."""
        self.computation.stop()
        self.store.clear()

    def wait(self) -> None:
        """Wait until all results are computed."""
        self.computation.wait()

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be computed for the first time."""
        return any(state.word in (WAITING, COMPUTING) for state in self.states.values())

    @property
    def computed(self) -> set[str]:
        """Names of the results that lie in `folder`."""
        return set(self.store.paths)

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
        self.computation.turns.hurry(name)

    def revision(self, name: str) -> int:
        """Return a number that changes whenever a result is replaced; -1 while there is none."""
        return self._revisions.get(name, 0) if name in self.results else -1

    def path_of(self, name: str) -> Path | None:
        """Return where a result is stored; None if it is in memory only."""
        return self.store.paths.get(name) or self.source.paths.get(name)

    def look_again(self) -> None:
        """Open the runs again if their files have changed."""
        if self.runs.look_again():
            self.store.update(self.source, self.runs.fingerprint)
            self.version += 1

    def take(self, name: str, result: xr.Dataset, path: Path) -> None:
        """Show a computed result in place of an older one."""
        self.results[name] = result
        self._revisions[name] = self._revisions.get(name, 0) + 1
        self.store.keep(name, path)
        self.version += 1
        self.set_state(name, State(READY))

    def set_state(self, name: str, state: State) -> None:
        """Set the state of a result."""
        before = self.states.get(name)
        self.states[name] = state
        self.version += before is None or before.word != state.word

    def _advance(self) -> None:
        self.version += 1
