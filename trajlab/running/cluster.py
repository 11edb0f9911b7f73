"""Compute on a cluster of dask.distributed: nobody waits forever, and what goes wrong there is one line."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from rich.console import Console

from trajlab.errors import MissingData, TrajlabError
from trajlab.terminal import say

CONNECT_SECONDS = 10
"""Time to wait for an answer of the scheduler."""

WORKER_SECONDS = 30
"""Time to wait for the first worker."""

LOST_SECONDS = 60
"""Time that a computation may be without any worker; nannies restart those that died meanwhile."""

POLL_SECONDS = 2


@contextmanager
def on_cluster(address: str) -> Iterator[None]:
    """Let `dask.compute` run on a scheduler.

    Parameters
    ----------
    address
        Address of the scheduler.

    Raises
    ------
    MissingData
        dask.distributed is not installed.
    TrajlabError
        The scheduler does not answer or has no workers, or workers died.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingData(
            f"cannot use the scheduler {address}: dask.distributed is not installed; install trajlab[distributed] or "
            "omit --scheduler"
        ) from error
    try:
        # as a default, one that finds no scheduler would stay the default, for which later computations wait forever
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise TrajlabError(
            f"cannot reach the scheduler {address}: {error or 'it does not answer'}; check the address"
        ) from error
    with client, client.as_current(), dask.config.set(scheduler=client):
        Console(stderr=True).print(f"dashboard: {client.dashboard_link}", highlight=False)
        _wait_for_workers(client, address)
        with _Watch(client) as watch, _one_line(address, watch):
            yield


def _wait_for_workers(client: Any, address: str) -> None:
    if not _workers(client):
        say(f"the scheduler {address} has no workers yet; waiting {WORKER_SECONDS:g} s for the first")
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        raise TrajlabError(
            f"cannot compute on {address}: it has no workers; start some with `dask worker {address}`, on "
            "machines that have trajlab and the same paths"
        ) from error


def _workers(client: Any) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


class _Watch:
    """A thread that cancels the computations of a client once it has been without workers for too long."""

    def __init__(self, client: Any) -> None:
        self.lost = False
        self._client = client
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="trajlab-workers", daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        from distributed import Future

        without = 0.0
        while not self._end.wait(POLL_SECONDS):
            try:
                waits = self._client.futures and not _workers(self._client)
                without = without + POLL_SECONDS if waits else 0.0
            except Exception:  # the scheduler itself is gone, which the computation notices
                return
            if without > LOST_SECONDS:
                self.lost = True
                futures: list[Any] = [Future(key, self._client) for key in list(self._client.futures)]
                self._client.cancel(futures, force=True)


@contextmanager
def _one_line(address: str, watch: _Watch) -> Iterator[None]:
    """Turn errors of a cluster into ours."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise TrajlabError(
            f"cannot compute on {address}: {error.allowed_failures + 1} workers died in the same task, the last one "
            f"{error.last_worker.address}. Most often their memory was full: start them with fewer threads or a higher "
            "--memory-limit, and look into their logs"
        ) from error
    except MemoryError as error:
        raise TrajlabError(
            f"cannot compute on {address}: the memory of a worker is exhausted; start workers with fewer threads each"
        ) from error
    except (CancelledError, CommClosedError) as error:
        if watch.lost:
            raise TrajlabError(
                f"cannot compute on {address}: all its workers have been gone for {LOST_SECONDS:g} s; look into their "
                "logs, start others and run the command again"
            ) from error
        raise TrajlabError(
            f"cannot compute on {address}: the connection to the scheduler was lost; look into its log, and run the "
            "command again"
        ) from error
