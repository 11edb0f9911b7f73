"""The same graphs on a cluster: a real scheduler and two worker processes."""

import os
import signal
import threading
import time

import dask
import numpy as np
import pytest
import xarray as xr

import trajlab
from tests.command_line import call
from tests.serving import serve
from trajlab.stages import stage_names

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore")  # of distributed's own shutdown


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    rng = np.random.default_rng(0)
    walk = {f"l{i}.weight": rng.standard_normal((40, 30, 40)).cumsum(0).astype(np.float32) for i in range(4)}
    gradients = {name: rng.standard_normal((39, 30, 40)).astype(np.float32) for name in walk}
    images = {"conv.weight": (4, 3, 5, 5), "plane.weight": (6, 2)}  # which filters and unit_lines ask for
    walk |= {name: rng.standard_normal((40, *shape)).astype(np.float32) for name, shape in images.items()}
    store = tmp_path_factory.mktemp("cluster") / "run.zarr"
    return trajlab.open(trajlab.pack(trajlab.from_arrays(walk, gradients), store))


@pytest.fixture
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        yield cluster


def local(run):
    with dask.config.set(scheduler="sync"):
        return {name: trajlab.run(name, serve(name, run)).compute() for name in stage_names()}


def same(actual, expected):
    """Counts agree to the bit, sums to rounding: each process compiles for itself."""
    assert actual.attrs == expected.attrs
    xr.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_cluster__all_stages_give_the_same_numbers(run, cluster):
    expected = local(run)
    with distributed.Client(cluster):
        for name in stage_names():
            same(trajlab.run(name, serve(name, run)).compute(), expected[name])


@pytest.mark.slow
def test_cluster__a_worker_that_is_killed_does_not_change_the_result(run, cluster, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.BLOCK_BYTES", 10_000)
    expected = local(run)
    with distributed.Client(cluster) as client:
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Timer(0.3, os.kill, (victim, signal.SIGKILL))
        results = [trajlab.run(name, serve(name, run)) for name in stage_names()]
        killer.start()
        actual = dask.compute(*results)
        killer.join()
        time.sleep(0.1)
    for name, result in zip(stage_names(), actual, strict=True):
        same(result, expected[name])


def test_command_line__computes_on_a_scheduler(run, cluster, tmp_path):
    stages = ("--stages", "drift,sign_flips")
    done = call("run", run.source, tmp_path / "out", *stages, "--scheduler", cluster.scheduler_address)
    assert done.returncode == 0, done.stderr
    xr.testing.assert_allclose(xr.open_zarr(tmp_path / "out" / "drift.zarr").compute(), local(run)["drift"], rtol=1e-12)


def test_command_line__a_scheduler_that_does_not_answer(run, tmp_path, monkeypatch):
    monkeypatch.setattr("trajlab.running.cluster.CONNECT_SECONDS", 0.2)
    done = call("drift", run.source, tmp_path / "x.zarr", "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("trajlab: cannot reach the scheduler tcp://127.0.0.1:1")
