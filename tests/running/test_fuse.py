import dask
import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting
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


def test_run__several_stages_from_python_share_one_pass(run, monkeypatch):
    passes = []
    call = Pass.__call__
    monkeypatch.setattr(Pass, "__call__", lambda self, *args: passes.append(len(self.reducers)) or call(self, *args))
    names = ["drift", "distribution", "sign_flips"]

    tree = trajlab.run(names, run, drift={"rtol": 0.5}).compute()

    assert len(passes) == 1
    for name in names:
        settings = {"rtol": 0.5} if name == "drift" else {}
        xr.testing.assert_identical(tree[name].to_dataset(), trajlab.run(name, run, **settings).compute())


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
