"""Where lazy results become files: one pass for all of them, a progress bar, each written whole or not at all."""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import xarray as xr
import zarr
from dask.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from trajlab.errors import MissingData, TrajlabError
from trajlab.running.fuse import fuse_scans
from trajlab.runs.disk.atomic import atomic, check_free
from trajlab.schema import RESULT_VERSION


def write(
    results: Mapping[Path, xr.Dataset],
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    """Compute results in one pass over the data, and write each as a Zarr v3 store.

    Parameters
    ----------
    results
        What to write where.
    overwrite
        Replace results that exist.
    workers
        Number of threads; all cores by default.
    scheduler
        Address of a dask.distributed scheduler to compute on.

    Raises
    ------
    OutputExists
        A result exists and is not to be overwritten; nothing is computed then.
    """
    for path in results:
        check_free(path, RESULT_VERSION if overwrite else None)
    what = next(iter(results)).stem if len(results) == 1 else f"{len(results)} stages"
    with computing(what, workers=workers, scheduler=scheduler):
        computed = dask.compute(*results.values())
    for path, result in zip(results, computed, strict=True):
        with atomic(path, replaces=RESULT_VERSION if overwrite else None) as part, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            warnings.filterwarnings("ignore", category=zarr.errors.UnstableSpecificationWarning)
            result.to_zarr(part, mode="w-" if not part.exists() else "a", zarr_format=3, consolidated=True)


@contextmanager
def computing(what: str, *, workers: int | None = None, scheduler: str | None = None) -> Iterator[None]:
    """Make `dask.compute` fuse scans, run where it is told to, and show its progress on a terminal."""
    settings: dict[str, Any] = {"array_optimize": fuse_scans}
    if workers is not None:
        settings["num_workers"] = workers
    with dask.config.set(settings):
        if scheduler is not None:
            with _client(scheduler):
                yield
        elif sys.stderr.isatty():
            with _Bar(what):
                yield
        else:
            yield


@contextmanager
def _client(address: str) -> Iterator[None]:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingData(
            f"the scheduler {address} was asked for; dask.distributed is not installed. "
            "Install trajlab[distributed], or leave --scheduler out."
        ) from error
    try:
        client = Client(address, timeout="10s")
    except (OSError, TimeoutError, ValueError) as error:
        raise TrajlabError(
            f"the scheduler {address} was to be reached; {error or 'it does not answer'}. Check the address."
        ) from error
    with client:
        Console(stderr=True).print(f"dashboard: {client.dashboard_link}", highlight=False)
        yield


class _Bar(Callback):
    """Counts the tasks of a computation on a bar on standard error."""

    def __init__(self, what: str):
        super().__init__(start_state=self._begin, posttask=self._advance, finish=self._end)
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("tasks"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task = self.progress.add_task(what, total=None)

    def _begin(self, graph: Mapping, state: Mapping) -> None:
        self.progress.update(self.task, total=sum(len(state[kind]) for kind in ("ready", "waiting")))
        self.progress.start()

    def _advance(self, *task: Any) -> None:
        self.progress.advance(self.task)

    def _end(self, graph: Mapping, state: Mapping, errored: bool) -> None:
        self.progress.stop()
