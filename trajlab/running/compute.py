"""Compute lazy results in one pass over the data, with a progress bar, and write each atomically."""

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

from trajlab.running.cluster import on_cluster
from trajlab.runs.disk.atomic import atomic, check_free
from trajlab.runs.disk.checksums import checked_encoding
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
        Results by the path to write them to.
    overwrite
        Replace existing results.
    workers
        Number of threads; by default one per core.
    scheduler
        Address of a dask.distributed scheduler to compute on.

    Raises
    ------
    OutputExists
        A path exists and must not be overwritten; nothing is computed.
    """
    for path in results:
        check_free(path, RESULT_VERSION if overwrite else None)
    title = next(iter(results)).stem if len(results) == 1 else f"{len(results)} stages"
    with computing(title, workers=workers, scheduler=scheduler):
        computed = dask.compute(*results.values())
    for path, result in zip(results, computed, strict=True):
        with atomic(path, replaces=RESULT_VERSION if overwrite else None) as part, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            warnings.filterwarnings("ignore", category=zarr.errors.UnstableSpecificationWarning)
            result.to_zarr(
                part, mode="w-" if not part.exists() else "a", zarr_format=3, consolidated=True,
                encoding=checked_encoding(result),
            )  # fmt: skip


def computed(results: Mapping[str, xr.Dataset], *, title: str, workers: int | None = None) -> dict[str, xr.Dataset]:
    """Compute results in one pass over the data, and return them in memory.

    Parameters
    ----------
    results
        Results by name.
    title
        What the progress bar says is computed.
    workers
        Number of threads; by default one per core.
    """
    with computing(title, workers=workers):
        return dict(zip(results, dask.compute(*results.values()), strict=True))


@contextmanager
def computing(title: str, *, workers: int | None = None, scheduler: str | None = None) -> Iterator[None]:
    """Configure `dask.compute`: use these workers or this scheduler, and show progress on a terminal.

    Parameters
    ----------
    title
        What the progress bar says is computed.
    workers
        Number of threads; by default one per core.
    scheduler
        Address of a dask.distributed scheduler.
    """
    with dask.config.set({} if workers is None else {"num_workers": workers}):
        if scheduler is not None:
            with on_cluster(scheduler):
                yield
        elif sys.stderr is not None and sys.stderr.isatty():
            with _Bar(title):
                yield
        else:
            yield


class _Bar(Callback):
    """Progress bar on stderr that counts the tasks of a computation."""

    def __init__(self, title: str):
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
        self.task = self.progress.add_task(title, total=None)

    def _begin(self, graph: Mapping, state: Mapping) -> None:
        self.progress.update(self.task, total=sum(len(state[kind]) for kind in ("ready", "waiting")))
        self.progress.start()

    def _advance(self, *task: Any) -> None:
        self.progress.advance(self.task)

    def _end(self, graph: Mapping, state: Mapping, errored: bool) -> None:
        self.progress.stop()
