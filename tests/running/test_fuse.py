import dask
import numpy as np
import pytest
import xarray as xr
from dask.array.optimization import optimize

import trajlab
from trajlab import sizes
from trajlab.errors import BadSetting
from trajlab.running.fuse import fuse_scans
from trajlab.scan.graph import Pass
from trajlab.scan.window import _Reader


def fused(results):
    held = {}

    def watch(graph, keys, **kwargs):
        held.update(fuse_scans(graph, keys, **kwargs))
        return dict(held)

    with dask.config.set(array_optimize=watch):
        computed = dask.compute(*results)
    return computed, [key for key in held if str(key).startswith("fused-")], held


@pytest.fixture
def long_run(checkpoints, rng):
    """A run whose rows are long enough to be read a tile at a time."""
    shape = (130, 1 + sizes.SHORT_ENTRIES // 130)
    weights = {f"l{i}.weight": rng.standard_normal((4, *shape)).astype(np.float32) for i in range(2)}
    return trajlab.open(checkpoints(weights))


@pytest.fixture
def run(checkpoints, rng):
    return trajlab.open(checkpoints({f"l{i}.weight": rng.standard_normal((6, 9, 7)) for i in range(3)}))


def test_fuse_scans__several_stages_read_each_block_once(run):
    results = [trajlab.run(name, run) for name in ("drift", "distribution", "sign_flips")]
    plain = dask.compute(*results)
    actual, joint, graph = fused(results)
    assert len(joint) == 1
    assert sum(isinstance(getattr(task, "func", None), Pass) for task in graph.values()) == 1
    for first, second in zip(plain, actual, strict=True):
        xr.testing.assert_identical(first, second)


def test_fuse_scans__does_not_join_what_differs(run):
    results = [trajlab.run("drift", run), trajlab.run("drift", run, reference=3)]
    plain = dask.compute(*results)
    actual, joint, _ = fused(results)
    assert joint == []
    for first, second in zip(plain, actual, strict=True):
        xr.testing.assert_identical(first, second)


@pytest.fixture
def reads(monkeypatch):
    """Collect the bytes that tiles are read from files in, by pass over the data."""
    nbytes = []
    read = _Reader.read
    monkeypatch.setattr(
        _Reader, "read", lambda self, lo, hi: nbytes.append((hi - lo) * self.stored.itemsize) or read(self, lo, hi)
    )
    return nbytes


NAMES = ("drift", "distribution", "sign_flips")


def test_run__several_stages_from_python_read_the_files_once(long_run, reads):
    tree = trajlab.run(NAMES, long_run, drift={"rtol": 0.5}).compute()

    once, reads[:] = list(reads), []
    alone = {
        name: trajlab.run(name, long_run, **({"rtol": 0.5} if name == "drift" else {})).compute() for name in NAMES
    }
    assert once and len(reads) == len(NAMES) * len(once) and sum(reads) == len(NAMES) * sum(once)
    for name in NAMES:
        xr.testing.assert_identical(tree[name].to_dataset(), alone[name])


def test_compute__several_results_read_the_files_once(long_run, reads):
    results = [trajlab.run(name, long_run) for name in NAMES]
    dask.compute(results[0])
    alone, reads[:] = list(reads), []
    dask.compute(*results)
    assert reads == alone


def test_compute__a_setting_of_the_user_holds(long_run, reads):
    results = [trajlab.run(name, long_run) for name in NAMES]
    with dask.config.set(array_optimize=optimize):
        dask.compute(results[0])
        alone, reads[:] = list(reads), []
        dask.compute(*results)
    assert len(reads) == len(NAMES) * len(alone)


@pytest.mark.parametrize(
    ("stages", "settings", "words"),
    [
        ([], {}, "0 different names"),
        (["drift", "drift"], {}, "1 different names"),
        (["drift", "spectrum"], {"reference": -1}, "drift={"),
        (["drift", "spectrum"], {"projection": {}}, "drift={"),
    ],
)
def test_run__several_stages_refuse_what_is_ambiguous(run, stages, settings, words):
    with pytest.raises(BadSetting, match=words):
        trajlab.run(stages, run, **settings)


def test_fuse_scans__leaves_other_graphs_alone():
    array = xr.DataArray(np.arange(10.0)).chunk(3)
    with dask.config.set(array_optimize=fuse_scans):
        assert float((array + 1).sum().compute()) == 55
