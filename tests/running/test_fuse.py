import dask
import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.running.fuse import fuse_scans
from trajlab.scan.graph import Pass


def fused(results):
    held = {}

    def watch(graph, keys, **kwargs):
        held.update(fuse_scans(graph, keys, **kwargs))
        return dict(held)

    with dask.config.set(array_optimize=watch):
        computed = dask.compute(*results)
    return computed, [key for key in held if str(key).startswith("fused-")], held


@pytest.fixture
def run(checkpoints, rng):
    return trajlab.open(checkpoints({f"l{i}.weight": rng.standard_normal((6, 9, 7)) for i in range(3)}))


def test_fuse_scans__several_stages_read_each_block_once(run):
    results = [trajlab.run(name, run) for name in ("drift", "distribution", "sign_flips")]
    plain = dask.compute(*results)
    found, joint, graph = fused(results)
    assert len(joint) == 1
    assert sum(isinstance(getattr(task, "func", None), Pass) for task in graph.values()) == 1
    for one, other in zip(plain, found, strict=True):
        xr.testing.assert_identical(one, other)


def test_fuse_scans__does_not_join_what_differs(run):
    results = [trajlab.run("drift", run), trajlab.run("drift", run, reference=3)]
    plain = dask.compute(*results)
    found, joint, _ = fused(results)
    assert joint == []
    for one, other in zip(plain, found, strict=True):
        xr.testing.assert_identical(one, other)


def test_fuse_scans__leaves_other_graphs_alone():
    array = xr.DataArray(np.arange(10.0)).chunk(3)
    with dask.config.set(array_optimize=fuse_scans):
        assert float((array + 1).sum().compute()) == 55
