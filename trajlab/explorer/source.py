"""What the page is started on: runs, results, or both."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import xarray as xr

from trajlab.errors import BadSetting, DamagedData, MissingData, TrajlabError
from trajlab.explorer.stored_result import read_lazily
from trajlab.runs.disk.fingerprint import fingerprint
from trajlab.runs.disk.paths import as_path, kind_of, reaching
from trajlab.runs.open import open as open_trajectory
from trajlab.runs.open import runs_in
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import RESULT_VERSION, family
from trajlab.statistics.read import conventions, read

Shown = str | Path | Trajectory | xr.Dataset | Mapping[str, Any]
"""A path, a run, a result, or several of these by name."""


@dataclass
class Source:
    """Runs and results by name.

    Attributes
    ----------
    runs
        Trajectories by the name of the run.
    results
        Results by name: of the stage, after that of their folder where that is another one. From disk they are lazy.
    paths
        Path of each run and result that has one.
    notes
        What was found and is not shown.
    alone
        Whether there is a single run that was named itself, so that its results have no dim `run`.
    reading
        Options of `trajlab.open` that choose what is read of the runs.
    folders
        Paths that were named themselves.
    reopen
        Opens all of it again.
    """

    runs: dict[str, Trajectory] = field(default_factory=dict)
    results: dict[str, xr.Dataset] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    alone: bool = False
    reading: Mapping[str, Any] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    reopen: Callable[[], "Source"] | None = None

    @property
    def title(self) -> str:
        """Name of what is shown."""
        if len(self.runs) == 1:
            return next(iter(self.runs))
        return f"{len(self.runs)} runs" if self.runs else "results"

    def fingerprint(self) -> str:
        """Return a hash of the files of the runs, their sizes and times, and of how they are read."""
        digest = sha256(RESULT_VERSION.encode())
        digest.update(json.dumps(sorted(self.reading.items())).encode())
        for name in sorted(self.runs):
            path = self.paths.get(name)
            digest.update(f"{name}\0{path}\0".encode())
            digest.update((fingerprint(path) if path is not None else repr(self.runs[name])).encode())
        return digest.hexdigest()

    def entries(self) -> list[str]:
        """Return the names in the folders that were named themselves, where new runs may appear."""
        return [entry.name for folder in self.folders for entry in sorted(folder.iterdir())]


def source_of(shown: Shown | Iterable[Shown], *, trust: bool = False, **reading: str | None) -> Source:
    """Open what is to be shown; nothing but headers is read.

    Parameters
    ----------
    shown
        A path, a run, a result, several of these by name, or a sequence of all these.
    trust
        As in `trajlab.open`.
    reading
        Options of `trajlab.open` that choose what is read: `step_pattern`, `series`, `key`, `parameters`.

    Raises
    ------
    MissingData
        A path does not exist, or holds neither runs nor results.
    BadSetting
        Two runs or results have the same name, or something else is to be shown.
    DamagedData
        A run is damaged, or all results.
    """
    chosen = {name: value for name, value in reading.items() if value is not None}
    source = Source(reading=chosen, reopen=lambda: source_of(shown, trust=trust, **chosen))
    several = isinstance(shown, list | tuple)
    for item in shown if several else [shown]:  # type: ignore[union-attr]
        if _is_path(item):
            path = as_path(item)  # type: ignore[arg-type]
            source.folders.append(path)
            _add_path(source, path, trust)
        elif isinstance(item, Mapping) and not isinstance(item, xr.Dataset):
            for name, value in item.items():
                _add(source, str(name), value)
        else:
            _add(source, "", item)
    if not source.runs and not source.results:
        if source.notes:
            where = ", ".join(map(str, source.folders))
            raise DamagedData(f"cannot explore {where}: nothing in it can be read: {'; '.join(source.notes)}")
        raise MissingData("cannot explore: there are no runs and no results; name a folder that holds some")
    source.alone = source.alone and len(source.runs) == 1
    return source


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path) or hasattr(value, "iterdir")  # a upath.UPath, of a URL, is no pathlib.Path


def _add(source: Source, name: str, value: Any) -> None:
    """Add a run or a result in memory."""
    if isinstance(value, Trajectory):
        source.alone = not name
        _put(source.runs, name or Path(value.source).name or "run", value)
    elif isinstance(value, xr.Dataset):
        stage = str(value.attrs.get("stage", name or "result"))
        _put(source.results, name or stage, read(value).assign_attrs(stage=stage))
    elif _is_path(value):
        path = as_path(value)
        if name and conventions(path) == family(RESULT_VERSION):
            _put(source.results, name, read_lazily(path))
        else:
            _put(source.runs, name, open_trajectory(path, **source.reading))
        source.paths[name] = path
    else:
        raise BadSetting(
            f"cannot explore a {type(value).__name__}; pass a path, a trajectory, a result, or several of these by name"
        )


def _add_path(source: Source, path: Path, trust: bool) -> None:
    """Add the runs and results at a path."""
    with reaching(path):
        if not path.is_dir():
            raise MissingData(
                f"cannot explore {path}: there is {kind_of(path)}; name a folder of runs, checkpoints or results"
            )
        if conventions(path) == family(RESULT_VERSION):
            _put(source.results, path.stem, read_lazily(path))
            source.paths[path.stem] = path
            return
        stores = [*sorted(path.glob("*.zarr")), *sorted(path.glob("*/*.zarr"))] if not conventions(path) else []
    results = [store for store in stores if conventions(store) == family(RESULT_VERSION)]
    for store in results:
        name = store.stem if store.parent == path else f"{store.parent.name}/{store.stem}"
        try:
            _put(source.results, name, read_lazily(store))
            source.paths.setdefault(name, store)
        except TrajlabError as error:
            source.notes.append(f"{name}: {error}")
    runs = {name: run for name, run in runs_in(path).items() if run not in results}
    for name, run in runs.items():
        try:
            _put(source.runs, name, open_trajectory(run, trust=trust, **source.reading))
            source.paths[name] = run
        except TrajlabError as error:
            source.notes.append(f"{name}: {error}")
    if not runs and not results:
        name = path.name.removesuffix(".zarr") or str(path)
        _put(source.runs, name, open_trajectory(path, trust=trust, **source.reading))
        source.paths[name] = path
        source.alone = True


def _put(table: dict[str, Any], name: str, value: Any) -> None:
    if name in table:
        raise BadSetting(f"cannot explore two things of the name {name}; rename one of them, or name one of them only")
    table[name] = value
