"""The order of an upload in fsspec's memory, and all that a reader may meet meanwhile on an S3 server."""

import itertools
import shutil
import socket
import subprocess
import sys
import threading
import warnings

import dask
import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr

import trajlab
from trajlab.errors import OutputExists
from trajlab.running.compute import write
from trajlab.runs.check import check
from trajlab.runs.disk.paths import as_path
from trajlab.runs.disk.store_keys import StoreKeys
from trajlab.runs.disk.store_nodes import nodes_of_store
from trajlab.runs.disk.upload import check_writable, is_unfinished, move, uploaded
from trajlab.schema import RESULT_VERSION, STORE_FILE, UNFINISHED_FILE
from trajlab.statistics.read import read


@pytest.fixture
def target():
    store = fsspec.filesystem("memory")
    yield as_path("memory://upload/run.zarr")
    if store.exists("/upload"):
        store.rm("/upload", recursive=True)


def names(target):
    target.fs.invalidate_cache()
    folder = target.path.rstrip("/") + "/"
    return sorted(key.removeprefix(folder) for key in target.fs.find(target.path))


def fill(part, **files):
    for name, text in files.items():
        path = part / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (part / STORE_FILE).write_text("{}")


def store(part, **arrays):
    """Write a Zarr group."""
    group = zarr.create_group(str(part), zarr_format=3, overwrite=True)
    for name, values in arrays.items():
        group.create_array(name, data=np.array(values))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        zarr.consolidate_metadata(str(part))


def test_uploaded__the_root_comes_last_and_the_mark_goes(target, monkeypatch):
    order = []
    put = type(target.fs).put_file
    monkeypatch.setattr(
        type(target.fs),
        "put_file",
        lambda self, source, key, **more: order.append(key) or put(self, source, key, **more),
    )
    with uploaded(target) as part:
        assert names(target) == [UNFINISHED_FILE] and is_unfinished(target)
        fill(part, weights__a="1", zz="2")
    assert order[-1].endswith(STORE_FILE) and len(order) == 3
    assert names(target) == sorted(["weights/a", "zz", STORE_FILE]) and not is_unfinished(target)


def test_uploaded__replaces_what_was_there_and_keeps_arrays_that_grow(target):
    with uploaded(target) as part:
        store(part, a=[1.0, 2.0], b=[3.0])
    with uploaded(target, streams=True) as part:
        assert not is_unfinished(target) and "a/c/0" in names(target)  # the old one stays
        store(part, a=[4.0, 5.0], c=[6.0])
    assert names(target) == sorted(["a/0", "a/zarr.json", "c/c/0", "c/zarr.json", STORE_FILE])
    with uploaded(target, growing=["a"]) as part:
        store(part, a=[7.0, 8.0], c=[6.0])
        (part / "a" / "c" / "0").rename(part / "a" / "0")
        for document in (part / "a" / STORE_FILE, part / STORE_FILE):
            document.write_text(document.read_text().replace('"default"', '"v2"', 1))
    assert {"a/0", "c/0"} <= set(names(target)) and not {"a/c/0", "c/c/0"} & set(names(target))


@pytest.mark.parametrize("settings", [{}, {"streams": True}, {"streams": True, "growing": ["a"]}])
def test_uploaded__an_error_leaves_the_old_one(target, settings):
    with uploaded(target) as part:
        store(part, a=[1.0])
    with pytest.raises(ZeroDivisionError), uploaded(target, **settings) as part:
        (target / "a" / "0").write_bytes(b"streamed")
        store(part, a=[2.0])
        raise ZeroDivisionError
    assert set(names(target)) - {UNFINISHED_FILE} == {"a/c/0", "a/zarr.json", STORE_FILE}
    assert not is_unfinished(target) and (UNFINISHED_FILE in names(target)) is ("streams" in settings)


@pytest.mark.parametrize("streams", [False, True])
def test_uploaded__an_error_of_a_first_write_leaves_nothing_that_opens(target, streams):
    with pytest.raises(ZeroDivisionError), uploaded(target, streams=streams) as part:
        fill(part, new="2")
        raise ZeroDivisionError
    assert names(target) == ([UNFINISHED_FILE] if streams else [])


@pytest.mark.parametrize("root", ["{}", '{"consolidated_metadata": {"metadata": {"a": 3}}}', "{"])
def test_uploaded__a_damaged_group_is_removed_first(target, root):
    (target / "a" / "c" / "0").write_bytes(b"old")
    (target / STORE_FILE).write_text(root)
    with uploaded(target) as part:
        assert names(target) == [UNFINISHED_FILE]
        store(part, a=[1.0])
    assert names(target) == ["a/c/0", "a/zarr.json", STORE_FILE]


def test_uploaded__refuses_where_a_process_is_writing(target):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = target / UNFINISHED_FILE
    mark.write_text(f"Unfinished.\n{socket.gethostname()} {other.pid} 0a")
    with pytest.raises(OutputExists, match=f"process {other.pid} is writing there; wait for it"), uploaded(target):
        raise AssertionError
    other.communicate(b"\n")
    with uploaded(target) as part:  # it ended without finishing
        store(part, a=[1.0])
    with pytest.raises(OutputExists, match="another process began to write there"), uploaded(target) as part:
        store(part, a=[2.0])
        mark.write_text("Unfinished.\nelsewhere 1 0b")
    assert "a/c/0" in names(target) and mark.exists()


# --- every moment of a replacement, on an S3 server ----------------------------------------------------------------


READ_SECONDS = 10
"""Time-out of requests; see the fixture `proxy`."""

ACCOUNT = "123456789012"
"""Account of moto's server."""


class Bucket:
    """A bucket of the S3 server behind the proxy, read and put back in the server's memory, without a request."""

    def __init__(self, name):
        models = pytest.importorskip("moto.s3.models")
        self.name = name
        self.server = models.s3_backends[ACCOUNT]["aws"]
        fsspec.filesystem("s3").mkdir(f"s3://{name}")

    def objects(self):
        """Return the content of each object by its key."""
        return {name: key.value for name, key in dict(self.server.buckets[self.name].keys.items()).items()}

    def restore(self, objects):
        """Put objects back, and remove all others."""
        for key in self.objects().keys() - objects.keys():
            self.server.delete_object(self.name, key)
        for key, content in objects.items():
            self.server.put_object(self.name, key, content)


@pytest.fixture
def bucket(proxy, request):
    return Bucket(f"upload-{abs(hash(request.node.name))}")


@pytest.fixture
def moments(proxy, bucket, monkeypatch):
    """Return a function that calls another, and returns what the bucket holds before and after each of its requests."""
    monkeypatch.setattr("trajlab.sizes.REQUESTS", 1)

    def moments(action):
        seen, lock = [], threading.Lock()

        def look(number):
            with lock:
                objects = bucket.objects()
                if not seen or seen[-1] != objects:
                    seen.append(objects)
            return ""

        proxy.fault = look
        try:
            with dask.config.set(scheduler="sync"):
                action()
        finally:
            proxy.fault = lambda number: ""
        return [*seen, bucket.objects()]

    return moments


def on_disk(objects, folder):
    """Write the store that objects make to disk, where plain xarray reads it."""
    shutil.rmtree(folder, ignore_errors=True)
    for key, content in objects.items():
        path = folder / key.partition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def result(fill, **shapes):
    """Return a result whose variables have these shapes."""
    dims = ("step", "parameter", "bin")
    data = {
        name: (dims[: len(shape)], np.full(shape, fill) + np.arange(np.prod(shape, dtype=int)).reshape(shape))
        for name, shape in shapes.items()
    }
    return xr.Dataset(data, attrs={"Conventions": RESULT_VERSION, "stage": "drift", "variables": list(shapes)})


OLD = {"scalar": (), "norm": (3,), "table": (3, 2), "gone": (3,), "other": (3, 2, 2)}
NEW = {"scalar": (), "norm": (5,), "table": (5, 4), "new": (5,), "other": ()}


def test_replacement__at_every_moment_the_old_result_or_the_new_one_is_whole(bucket, moments, tmp_path):
    url = as_path(f"s3://{bucket.name}/drift.zarr")
    versions = [result(1.0, **OLD), result(10.0, **NEW), result(100.0, **OLD)]
    write({url: versions[0]})
    for old, new in itertools.pairwise(versions):
        states = moments(lambda new=new: write({url: new}, overwrite=True))
        assert len(states) >= 14
        kinds = []
        for state in states:
            opened = xr.open_zarr(on_disk(state, tmp_path / "state.zarr")).load()
            kinds.append("new" if opened.identical(new) else "old")
            xr.testing.assert_identical(opened, new if kinds[-1] == "new" else old)
            assert check(tmp_path / "state.zarr").damaged == []
        switch = kinds.index("new")
        assert kinds == ["old"] * switch + ["new"] * (len(states) - switch) and 0 < switch < len(states)
        assert set(on_disk(states[-1], tmp_path / "x.zarr").iterdir()) == {tmp_path / "x.zarr" / "zarr.json"} | {
            tmp_path / "x.zarr" / name for name in new.variables
        }


def test_replacement__a_kill_at_any_moment_is_cleaned_up_by_the_next_write(bucket, moments, tmp_path):
    url = as_path(f"s3://{bucket.name}/drift.zarr")
    write({url: result(1.0, **OLD)})
    states = moments(lambda: write({url: result(10.0, **NEW)}, overwrite=True))
    for state in states[1::3]:
        bucket.restore(state)
        assert float(read(url)["scalar"]) in (1.0, 10.0)
        write({url: result(100.0, **OLD)}, overwrite=True)
        xr.testing.assert_identical(xr.open_zarr(str(url)).load(), result(100.0, **OLD))
        files = {name for key in bucket.objects() for name in [key.removeprefix("drift.zarr/")]}
        assert len(files) == 1 + 2 * len(OLD) and UNFINISHED_FILE not in files
        assert all(name in StoreKeys(nodes_of_store(url)) for name in files)


def longer(run, steps):
    """Return the first steps of a run."""
    weights = {name: array.values[:steps] for name, array in run.weights.items()}
    return trajlab.from_arrays(weights, metrics={"loss": run.metrics.loss.values[:steps]})


def test_replacement__at_every_moment_the_old_store_or_the_new_one_is_whole(
    bucket, moments, example, tmp_path, monkeypatch
):
    monkeypatch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", 400)
    monkeypatch.setattr("trajlab.sizes.SHARD_BYTES", 1600)
    url = as_path(f"s3://{bucket.name}/run.zarr")
    runs = [longer(example, 6), longer(example, 9), longer(trajlab.example(7, seed=5), 7)]
    trajlab.pack(runs[0], url)
    for (old, new), replaces in zip(itertools.pairwise(runs), (False, True), strict=True):
        states = moments(lambda new=new, replaces=replaces: trajlab.pack(new, url, overwrite=replaces))
        assert len(states) >= 14
        kinds = []
        for number, state in enumerate(states):
            folder = on_disk(state, tmp_path / "state.zarr")
            tree = xr.open_datatree(folder, engine="zarr").load()
            kinds.append("new" if tree["weights/fc.weight"].value.equals(value(new)) else "old")
            run = new if kinds[-1] == "new" else old
            np.testing.assert_array_equal(tree["metrics"].loss, run.metrics.loss)
            for name in run.weights:
                np.testing.assert_array_equal(tree[f"weights/{name}"].value, run.weights[name])
            if number % 5 == 0 or kinds[-2:] == ["old", "new"]:
                xr.testing.assert_equal(trajlab.open(folder).weights["fc.bias"].compute(), run.weights["fc.bias"])
                assert check(folder).damaged == []
        switch = kinds.index("new")
        assert kinds == ["old"] * switch + ["new"] * (len(states) - switch)
        bucket.restore(states[switch - 1])  # killed just before, all chunks uploaded
        trajlab.pack(new, url, overwrite=replaces)
        assert all(key.removeprefix("run.zarr/") in StoreKeys(nodes_of_store(url)) for key in bucket.objects())
        np.testing.assert_array_equal(trajlab.open(url).weights["fc.weight"], new.weights["fc.weight"])


def value(run):
    """Return a tensor of a run, as it is stored."""
    weights = run.weights["fc.weight"].compute()
    return xr.DataArray(weights.values, dims=weights.dims, coords={"step": weights.step.values})


def test_check_writable__leaves_nothing(target):
    check_writable(target)
    assert not target.exists() or names(target) == []


def test_move__takes_the_local_file_away(target, tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    move(tmp_path / "x", target / "c" / "0")
    assert (target / "c" / "0").read_bytes() == b"abc" and not (tmp_path / "x").exists()
    assert not is_unfinished(tmp_path)
