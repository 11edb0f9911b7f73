"""Clusters without workers, with workers that die, and schedulers that vanish: one clear error each."""

import os
import time

import dask
import numpy as np
import pytest

from tests.command_line import call
from trajlab.errors import TrajlabError
from trajlab.running import cluster
from trajlab.running.compute import computing

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore")  # of distributed's own shutdown


@pytest.fixture
def scheduler(monkeypatch):
    """Start a scheduler in this process, with no workers."""
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 0.2)
    monkeypatch.setattr(cluster, "LOST_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.05)
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as local:
        yield local


def test_on_cluster__without_workers_says_so(scheduler, capsys):
    address = scheduler.scheduler_address
    with pytest.raises(TrajlabError, match=f"cannot compute on {address}: it has no workers; start some with"):
        with computing("x", scheduler=address):
            pass
    assert "has no workers yet; waiting 0.2 s for the first" in capsys.readouterr().err


def test_on_cluster__all_workers_gone_is_an_error(scheduler):
    scheduler.scale(1)

    with pytest.raises(TrajlabError, match=r"all its workers have been gone for 0.05 s; look into their logs"):
        with computing("x", scheduler=scheduler.scheduler_address):
            scheduler.scale(0)
            while distributed.default_client().scheduler_info()["workers"]:
                time.sleep(0.01)
            dask.delayed(sum)([1, 2]).compute()


def test_on_cluster__computes_and_ends_its_watch(scheduler):
    scheduler.scale(1)
    with computing("x", scheduler=scheduler.scheduler_address):
        assert dask.delayed(sum)([1, 2]).compute() == 3


@pytest.mark.parametrize("error", [MemoryError("worker"), OSError("other")])
def test_on_cluster__errors_of_tasks(error, scheduler):
    scheduler.scale(1)

    def fail():
        raise error

    expected = "memory of a worker is exhausted" if isinstance(error, MemoryError) else "other"
    with pytest.raises((TrajlabError, OSError), match=expected):
        with computing("x", scheduler=scheduler.scheduler_address):
            dask.delayed(fail)().compute()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_on_cluster__one_that_does_not_answer_is_no_default_of_later_computations(address, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    clients = []
    made = distributed.Client.__init__

    def kept(client, *arguments, **settings):
        clients.append(client)  # as the traceback of a notebook keeps it
        made(client, *arguments, **settings)

    monkeypatch.setattr(distributed.Client, "__init__", kept)
    with pytest.raises(TrajlabError, match="cannot reach the scheduler"), computing("x", scheduler=address):
        pass
    assert clients and dask.config.get("scheduler", None) is None
    with pytest.raises(ValueError, match="No client"):
        distributed.default_client()
    assert dask.delayed(sum)([1, 2]).compute() == 3


@pytest.mark.slow
def test_on_cluster__a_worker_that_dies_again_and_again_is_one_error(capsys):
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", protocol="tcp") as local,
        pytest.raises(TrajlabError, match=r"1 workers died in the same task, .* fewer threads or a higher"),
        computing("x", scheduler=local.scheduler_address),
    ):
        dask.delayed(os._exit)(1).compute()


def test_command_line__no_traceback_without_workers(scheduler, tmp_path, checkpoints):
    folder = checkpoints({"weight": np.ones((2, 3), np.float32)})
    done = call("drift", folder, tmp_path / "out.zarr", "--scheduler", scheduler.scheduler_address)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "it has no workers" in done.stderr
