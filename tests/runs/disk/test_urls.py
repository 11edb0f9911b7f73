"""Runs and results behind URLs, on a real S3 server of this process; what S3 adds nothing to, in fsspec's memory."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import dask
import fsspec
import numpy as np
import pytest
import torch
import xarray as xr
from fsspec.registry import _registry
from safetensors.numpy import save_file
from upath import UPath
from zarr.core.sync import sync

import trajlab
from tests.runs.disk.faulty_proxy import ENVIRONMENT
from trajlab import sizes
from trajlab.cli import main
from trajlab.errors import BadSetting, DamagedData, MissingData, OutputExists, TrajlabError
from trajlab.running.compute import write
from trajlab.runs.disk import shards
from trajlab.runs.disk import upload as uploading
from trajlab.runs.disk.atomic import atomic
from trajlab.runs.disk.paths import as_path
from trajlab.runs.import_checkpoints import import_checkpoints
from trajlab.schema import RESULT_VERSION, UNFINISHED_FILE
from trajlab.statistics.read import read

s3fs = pytest.importorskip("s3fs")
boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.server")

WEIGHTS_AND_GRADIENTS = ["drift", "zero_gradients"]
"""Stages that read all that a store holds; every stage is tried only where time is allowed."""


@pytest.fixture(scope="module")
def server():
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.delenv("AWS_PROFILE", raising=False)
        s3fs.S3FileSystem.clear_instance_cache()
        yield
        for store in s3fs.S3FileSystem._cache.values():  # ours, and those that zarr made for its own loop
            sync(store._s3.close()) if store.asynchronous else fsspec.asyn.sync(store.loop, store._s3.close)
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def bucket(server, request):
    """Make an empty bucket, and give its URL."""
    url = f"s3://bucket-{abs(hash(request.node.name))}"
    fsspec.filesystem("s3").mkdir(url)
    return url


@pytest.fixture
def asked(monkeypatch):
    """Return the list of requests to S3: method, key and range of each."""
    log = []
    call = s3fs.S3FileSystem._call_s3

    def logged(self, method, *arguments, **keywords):
        log.append((method, keywords.get("Key", ""), keywords.get("Range")))
        return call(self, method, *arguments, **keywords)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", logged)
    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", fsspec.asyn.sync_wrapper(logged))
    return log


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Record a run with weights, buffers, sampled gradients, metrics and a probe."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("recorded") / "first"
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, targets = torch.randn(32, 1, 8, 8), torch.randint(0, 3, (32,))
    when = trajlab.every(2)
    with trajlab.Recorder(model, folder, when=when, gradients=50, probe=(inputs[:5], targets[:5])) as recorder:
        for _ in range(12):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            recorder.step(loss=loss)
            optimizer.step()
    return folder


def upload(folder, url):
    fsspec.filesystem("s3").put(str(folder), url, recursive=True)
    return url


def keys(url):
    store, path = fsspec.core.url_to_fs(url)
    store.invalidate_cache()
    return sorted(key.removeprefix(f"{path}/") for key in store.find(path))


def same(a, b):
    for group in ("weights", "gradients", "buffers"):
        one, other = getattr(a, group), getattr(b, group)
        assert list(one) == list(other)
        for name in one:
            xr.testing.assert_identical(one[name].compute(), other[name].compute())
    xr.testing.assert_identical(a.metrics.compute(), b.metrics.compute())
    xr.testing.assert_identical(a.probe.compute(), b.probe.compute())


STAGES = ("drift", "sign_flips", "projection", "alerts")
"""Stages that read in all ways: blocks of steps, weights beside gradients, spans of entries, and metrics."""


def same_results(run, local, stages=STAGES):
    for name in stages:
        xr.testing.assert_identical(trajlab.run(name, run).compute(), trajlab.run(name, local).compute())


# --- reading -------------------------------------------------------------------------------------------------------


def test_open__a_run_folder(bucket, recorded, no_compute):
    url = upload(recorded, f"{bucket}/study/first")
    with no_compute():
        run = trajlab.open(url)
    assert run.source == url
    assert run.facts == trajlab.open(recorded).facts
    same(run, trajlab.open(recorded))
    same_results(run, trajlab.open(recorded), [*WEIGHTS_AND_GRADIENTS, "alerts", "filters"])
    torch.testing.assert_close(run.at(4), trajlab.open(recorded).at(4), rtol=0, atol=0)


@pytest.mark.slow
def test_open__every_stage_computes_the_same(bucket, recorded):
    same_results(trajlab.open(upload(recorded, f"{bucket}/first")), trajlab.open(recorded))


def test_open__a_packed_store(bucket, recorded, tmp_path, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", 3000)
    monkeypatch.setattr("trajlab.sizes.SHARD_BYTES", 6000)
    store = trajlab.pack(recorded, tmp_path / "run.zarr")
    run = trajlab.open(upload(store, f"{bucket}/run.zarr"))
    assert len(run.weights["4.weight"].data.dask.layers) == 1  # a table of rows, not chunks through zarr
    same(run, trajlab.open(store))
    same_results(run, trajlab.open(store), WEIGHTS_AND_GRADIENTS)


def test_open__a_compressed_store(bucket, example, tmp_path):
    import zarr

    store = trajlab.pack(example, tmp_path / "run.zarr")
    with pytest.warns(UserWarning, match="Consolidated metadata"):
        group = zarr.open_group(str(store), mode="a")["weights/fc.weight"]
        values, attrs = group["value"][:], dict(group["value"].attrs)
        group.create_array("value", data=values, chunks=(4, 3, 16), overwrite=True, attributes=attrs,
                           dimension_names=["step", "out", "in"])  # fmt: skip
        zarr.consolidate_metadata(str(store))
    run = trajlab.open(upload(store, f"{bucket}/run.zarr"))
    same_results(run, trajlab.open(store), WEIGHTS_AND_GRADIENTS)


def test_open__runs_in_a_study(bucket, recorded, example, tmp_path):
    upload(recorded, f"{bucket}/study/first")
    upload(trajlab.pack(example, tmp_path / "other.zarr"), f"{bucket}/study/other.zarr")
    runs = trajlab.runs_in(f"{bucket}/study/")
    assert {name: str(path) for name, path in runs.items()} == {
        "first": f"{bucket}/study/first",
        "other": f"{bucket}/study/other.zarr",
    }
    same(trajlab.open(runs["other"]), trajlab.open(tmp_path / "other.zarr"))
    with pytest.raises(MissingData, match="folder of runs: first, other"):
        trajlab.open(f"{bucket}/study")


@pytest.fixture
def foreign(tmp_path, rng):
    """Write somebody's sharded checkpoints, 800 kB each."""
    for step in (1, 10, 20):
        folder = tmp_path / "foreign" / f"global_step{step}"
        folder.mkdir(parents=True)
        parts = {"layers.2.w": (100, 1000), "layers.10.w": (100, 999), "layers.10.b": (1000,)}
        tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in parts.items()}
        files = {f"model-{i}-of-2.safetensors": {} for i in (1, 2)}
        for i, (name, tensor) in enumerate(tensors.items()):
            files[f"model-{i % 2 + 1}-of-2.safetensors"][name] = tensor
        for name, held in files.items():
            save_file(held, folder / name)
        weight_map = {tensor: name for name, held in files.items() for tensor in held}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        (folder / "optimizer.pt").write_bytes(b"x" * 100_000)
    return tmp_path / "foreign"


def test_open__a_sharded_foreign_folder_by_ranges(bucket, foreign, asked):
    url = upload(foreign, f"{bucket}/foreign")
    asked.clear()
    run = trajlab.open(url)
    assert list(run.weights) == ["layers.2.w", "layers.10.b", "layers.10.w"]
    opening = list(asked)
    asked.clear()
    bias = trajlab.run("drift", {"x": run})
    assert not asked
    bias = trajlab.open(url).weights["layers.10.b"]
    asked.clear()
    bias.compute()
    reading = list(asked)
    assert all(method == "list_objects_v2" or span or key.endswith(".json") for method, key, span in opening + reading)
    assert [method for method, _, span in reading] == ["get_object"] * 3
    assert all(_length(span) == 4000 for _, _, span in reading)
    whole_files = 6 * 400_000
    assert sum(_length(span) for _, _, span in opening if span) < 0.2 * whole_files
    same(run, trajlab.open(foreign))


def _length(span):
    start, stop = span.removeprefix("bytes=").split("-")
    return int(stop) - int(start) + 1


def test_open__few_requests_and_none_of_them_for_each_entry_of_a_folder(bucket, checkpoints, asked):
    url = upload(checkpoints({"a": np.zeros((30, 2)), "b": np.zeros((30, 3))}), f"{bucket}/plain")
    asked.clear()
    trajlab.open(url)
    methods = [method for method, _, _ in asked]
    assert methods.count("get_object") == 30
    assert len(methods) < 30 + 15


def test_rows__large_ones_come_in_pieces(bucket, checkpoints, asked, monkeypatch, rng):
    monkeypatch.setattr("trajlab.sizes.REQUEST_BYTES", 1000)
    walk = rng.standard_normal((2, 700)).astype(np.float32)
    run = trajlab.open(upload(checkpoints({"w": walk}), f"{bucket}/plain"))
    asked.clear()
    np.testing.assert_array_equal(run.weights["w"].values, walk)
    assert sorted(_length(span) for _, _, span in asked) == [800] * 2 + [1000] * 4


@pytest.mark.parametrize("spans", [1, 3])
def test_rows__long_ones_are_fetched_once_in_spans_of_all_steps(bucket, checkpoints, asked, monkeypatch, rng, spans):
    entries = 3 * sizes.TILE_ENTRIES
    values = rng.standard_normal((5, entries)).astype(np.float32)
    local = checkpoints({"w": values})
    url = upload(local, f"{bucket}/run")
    stages = ["drift", "distribution", "sign_flips"]
    expected = dask.compute(*(trajlab.run(name, trajlab.open(local)) for name in stages))
    monkeypatch.setattr(sizes, "WINDOW_ENTRIES", 1)
    monkeypatch.setattr(sizes, "BLOCK_BYTES", values.nbytes // spans)
    results = [trajlab.run(name, trajlab.open(url)) for name in stages]
    asked.clear()
    for actual, same_locally in zip(dask.compute(*results), expected, strict=True):
        xr.testing.assert_identical(actual, same_locally)
    assert [_length(span) for _, _, span in asked] == [4 * entries // spans] * 5 * spans


def test_rows__one_request_for_all_steps_of_a_task_in_a_file(bucket, recorded, asked):
    run = trajlab.open(upload(recorded, f"{bucket}/first"))
    asked.clear()
    assert run.gradients["4.weight"].compute().shape == (12, 50)
    assert len(asked) == len(list((recorded / "gradients").glob("[0-9]*")))


@pytest.mark.parametrize("legacy", [False, True])
def test_open__pytorch_files(bucket, tmp_path, asked, legacy):
    for step in (1, 2):
        state = {"fc.weight": torch.full((300, 1000), float(step)), "fc.bias": torch.arange(3.0) + step}
        (tmp_path / "torch").mkdir(exist_ok=True)
        torch.save(state, tmp_path / "torch" / f"step{step}.pt", _use_new_zipfile_serialization=not legacy)
    url = upload(tmp_path / "torch", f"{bucket}/torch")
    asked.clear()
    run = trajlab.open(url)
    read = sum(_length(span) for _, _, span in asked if span)
    same(run, trajlab.open(tmp_path / "torch"))
    assert legacy or read < 600_000


def test_open__again_sees_what_came_since(bucket, checkpoints):
    url = upload(checkpoints({"w": np.zeros((2, 3))}, steps=[0, 1]), f"{bucket}/plain")
    assert trajlab.open(url).steps.tolist() == [0, 1]
    another_process = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    name, key = url.removeprefix("s3://").split("/")[0], "plain/checkpoint-{}/model.safetensors"
    another_process.copy_object(Bucket=name, Key=key.format(5), CopySource=f"{name}/{key.format(1)}")
    another_process.close()
    assert trajlab.open(url).steps.tolist() == [0, 1, 5]
    assert trajlab.open(as_path(url)).steps.tolist() == [0, 1, 5]


def test_open__in_memory(recorded):
    fsspec.filesystem("memory").put(str(recorded), "/runs/first", recursive=True)
    run = trajlab.open("memory://runs/first")
    same(run, trajlab.open(recorded))
    same_results(run, trajlab.open(recorded), ["drift"])
    fsspec.filesystem("memory").rm("/runs", recursive=True)


def test_open__file_urls_are_mapped(recorded):
    run = trajlab.open(f"file://{recorded}")
    assert run.source == str(recorded)


# --- what goes wrong -----------------------------------------------------------------------------------------------


def test_rows__an_object_that_shrank_changed_or_vanished_is_named(bucket, checkpoints):
    url = upload(checkpoints({"w": np.ones((3, 100))}), f"{bucket}/plain")
    run = trajlab.open(url)
    store = fsspec.filesystem("s3")
    key = f"{url}/checkpoint-1/model.safetensors"
    store.pipe_file(key, store.cat_file(key)[:-8])
    with pytest.raises(DamagedData, match=r"checkpoint-1/model.safetensors: it ends at byte"):
        run.weights["w"].compute()
    store.pipe_file(key, b"short")
    with pytest.raises(DamagedData, match=r"checkpoint-1/model.safetensors: .*range"):
        run.weights["w"].compute()
    store.rm(key)
    with pytest.raises(DamagedData, match=r"checkpoint-1/model.safetensors: .*not exist"):
        trajlab.run("drift", run).compute()


def test_open__nothing_there(bucket):
    with pytest.raises(MissingData, match=f"{bucket}/nothing: there is nothing"):
        trajlab.open(f"{bucket}/nothing")
    with pytest.raises(MissingData, match="s3://no-such-bucket/run: there is nothing"):
        trajlab.open("s3://no-such-bucket/run")
    fsspec.filesystem("s3").pipe_file(f"{bucket}/file", b"1")
    with pytest.raises(MissingData, match="there is a file"):
        trajlab.open(f"{bucket}/file")


def test_place__what_can_not_be_reached():
    with pytest.raises(BadSetting, match="cannot reach nope://bucket/run"):
        trajlab.open("nope://bucket/run")
    with pytest.raises(BadSetting, match="pathlib collapses"):
        trajlab.open(Path("s3://bucket/run"))
    with pytest.raises(BadSetting, match="set them in the environment"):
        trajlab.open(UPath("s3://bucket/run", anon=True))
    with pytest.raises(BadSetting, match="record to a local folder"):
        trajlab.Recorder(torch.nn.Linear(1, 1), "s3://bucket/run")


def test_place__what_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(MissingData, match=r"s3fs to access S3.*`pip install trajlab\[s3\]`"):
        trajlab.open("s3://bucket/run")


# --- writing -------------------------------------------------------------------------------------------------------


def test_pack__to_a_url_and_back(bucket, recorded, tmp_path, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", 3000)
    monkeypatch.setattr("trajlab.sizes.SHARD_BYTES", 6000)
    url = f"{bucket}/runs/first.zarr"
    assert str(trajlab.pack(recorded, url)) == url
    local = trajlab.pack(recorded, tmp_path / "local.zarr")
    assert keys(url) == sorted(str(path.relative_to(local)) for path in local.rglob("*") if path.is_file())
    back = trajlab.pack(url, tmp_path / "back.zarr")
    for path in (path for path in local.rglob("*") if path.is_file()):
        assert (back / path.relative_to(local)).read_bytes() == path.read_bytes()
    tree = xr.open_datatree(url, engine="zarr")
    np.testing.assert_array_equal(tree["weights/4.weight"].value, trajlab.open(recorded).weights["4.weight"])


def longer(run, steps):
    return trajlab.from_arrays(
        {name: array.values[:steps] for name, array in run.weights.items()},
        {name: array.values[: steps - 1] for name, array in run.gradients.items()},
        metrics={"loss": run.metrics.loss.values[: steps - 1]},
    )


def test_pack__packing_again_to_a_url_writes_only_what_is_new(bucket, example, asked, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", 400)
    monkeypatch.setattr("trajlab.sizes.SHARD_BYTES", 1600)
    url = f"{bucket}/run.zarr"
    trajlab.pack(longer(example, 12), url)
    before = trajlab.open(url)
    asked.clear()
    trajlab.pack(example, url)
    written = [key for method, key, _ in asked if method == "put_object"]
    assert not any(key.endswith("weights/fc.weight/value/c/0/0/0") for key in written)
    assert any(key.endswith("weights/fc.weight/value/c/1/0/0") for key in written)
    same(trajlab.open(url), example)
    np.testing.assert_array_equal(before.weights["fc.weight"], example.weights["fc.weight"][:12])
    asked.clear()
    trajlab.pack(example, url)
    assert not [key for method, key, _ in asked if method == "put_object"]
    with pytest.raises(OutputExists, match="holds another run"):
        trajlab.pack(longer(example, 5), url)
    trajlab.pack(longer(example, 5), url, overwrite=True)
    same(trajlab.open(url), longer(example, 5))
    assert not [key for key in keys(url) if "/c/1" in key]


def test_pack__one_that_failed_opens_as_nothing_and_is_written_anew(bucket, example, monkeypatch):
    url = f"{bucket}/run.zarr"
    put = shards.move

    def failing(file, target):
        if "gradients" in str(target):
            raise TrajlabError("the network is down")
        put(file, target)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "move", failing)
        with pytest.raises(TrajlabError, match="network is down"):
            trajlab.pack(example, url)
    with pytest.raises(DamagedData, match="was interrupted"):
        trajlab.open(url)
    with pytest.raises(OutputExists, match="was interrupted"):
        trajlab.pack(example, url)
    trajlab.pack(longer(example, 12), url, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "move", failing)
        with pytest.raises(TrajlabError, match="network is down"):
            trajlab.pack(example, url)
    same(trajlab.open(url), longer(example, 12))
    trajlab.pack(example, url)
    same(trajlab.open(url), example)


def test_pack__never_replaces_what_is_no_store(bucket, example, recorded):
    url = upload(recorded, f"{bucket}/first")
    with pytest.raises(OutputExists, match="something else is there"):
        trajlab.pack(example, url)
    with pytest.raises(OutputExists, match="never overwritten"):
        trajlab.pack(example, url, overwrite=True)
    with pytest.raises(OutputExists, match="into itself"):
        trajlab.pack(url, f"{url}/", overwrite=True)
    same(trajlab.open(url), trajlab.open(recorded))


@pytest.fixture
def cli(server, monkeypatch, capsys):
    """Call the command line in this process, or in one of its own with another environment; give code and errors."""

    def call(*arguments, apart=False, **environment):
        if apart or environment:
            known = {key: value for key, value in (os.environ | environment).items() if value is not None}
            command = [sys.executable, "-W", "error", "-c", "from trajlab.cli import main; main()"]
            done = subprocess.run([*command, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  text=True, timeout=120, env=known)  # fmt: skip
            return done.returncode, done.stderr
        monkeypatch.setattr(sys, "argv", ["trajlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, capsys.readouterr().err

    return call


def cut_off(remove):
    """Return a function that removes what it is told to once, and fails from then on."""
    calls = []

    def removing(*arguments, **keywords):
        calls.append(arguments)
        if len(calls) > 1:
            raise RuntimeError("the process was killed")
        remove(*arguments, **keywords)

    return removing


def test_results__are_written_whole_or_not_at_all(bucket, example, monkeypatch):
    url, other = f"{bucket}/drift.zarr", f"{bucket}/report/thesis.tex"
    result = trajlab.run("drift", example)
    store = fsspec.filesystem("s3")
    store.pipe_file(other, b"years of work")
    put, seen = store.put_file, []

    def failing(file, key):
        seen.append(key)
        if len(seen) == 20:
            raise PermissionError(13, "Access Denied")
        put(file, key)

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_file", failing)
        with pytest.raises(TrajlabError, match=f"cannot reach {url}: Access Denied"):
            write({as_path(url): result})
    assert len(seen) >= 20 and keys(bucket) == ["report/thesis.tex"]

    with monkeypatch.context() as patch:  # as if the process had been killed: nothing is cleaned up
        patch.setattr(store, "put_file", failing)
        patch.setattr(uploading, "_remove", cut_off(uploading._remove))
        seen.clear()
        with pytest.raises(TrajlabError):
            write({as_path(url): result}, overwrite=True)
    assert UNFINISHED_FILE in keys(url) and "zarr.json" not in keys(url) and len(keys(url)) > 10
    with pytest.raises((FileNotFoundError, KeyError, ValueError)):
        xr.open_zarr(url)
    with pytest.raises(DamagedData, match="ompute the stage again"):
        read(url)
    with pytest.raises(OutputExists, match="was interrupted"):
        write({as_path(url): result})
    write({as_path(url): result}, overwrite=True)
    xr.testing.assert_identical(xr.open_zarr(url).compute(), result.compute())
    assert UNFINISHED_FILE not in keys(url)


def test_results__the_old_one_can_be_read_until_the_new_one_is_complete(bucket, example):
    drift = trajlab.run("drift", example)
    target = as_path(f"{bucket}/drift.zarr")
    write({target: drift})
    before = read(target).load()
    with atomic(target, replaces=RESULT_VERSION) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drift.isel(parameter=[0]).to_zarr(part, mode="a", zarr_format=3, consolidated=True)
        xr.testing.assert_identical(read(target).load(), before)
    assert read(target).sizes["parameter"] == 1
    write({target: drift}, overwrite=True)
    with pytest.raises(RuntimeError, match="boom"), atomic(target, replaces=RESULT_VERSION):
        raise RuntimeError("boom")
    xr.testing.assert_identical(read(target).load(), before)
    assert not (target / UNFINISHED_FILE).exists()


def test_results__the_root_is_replaced_in_one_request_between_chunks_and_removals(bucket, example, asked):
    url = f"{bucket}/drift.zarr"
    result = trajlab.run("drift", example)
    write({as_path(url): result})
    asked.clear()
    write({as_path(url): result[["norm"]]}, overwrite=True)
    changes = [(method, key.removeprefix("drift.zarr/")) for method, key, _ in asked if method[:3] in ("put", "del")]
    assert changes[0] == ("put_object", UNFINISHED_FILE) and changes[-1][0].startswith("delete")
    switch = changes.index(("put_object", "zarr.json"))
    assert all(method == "put_object" and "zarr.json" not in key for method, key in changes[:switch])
    assert all(method.startswith("delete") or key.endswith("/zarr.json") for method, key in changes[switch + 1 :])
    assert set(xr.open_zarr(url).data_vars) == {"norm"}
    assert not [key for key in keys(url) if "path_length" in key]


def test_results__never_replace_what_is_no_result(bucket, example, recorded):
    result = trajlab.run("drift", example)
    run = upload(recorded, f"{bucket}/first")
    for target in (run, bucket, trajlab.pack(example, f"{bucket}/run.zarr")):
        with pytest.raises(OutputExists, match="exists already"):
            write({as_path(target): result})
        with pytest.raises(OutputExists, match="never overwritten"):
            write({as_path(target): result}, overwrite=True)
    same(trajlab.open(run), trajlab.open(recorded))


def test_results__in_memory(example):
    result = trajlab.run("drift", example)
    url = as_path("memory://results/drift.zarr")
    write({url: result})
    with pytest.raises(OutputExists, match="exists already"):
        write({url: result})
    other = trajlab.run("drift", example, atol=1.0)
    write({url: other}, overwrite=True)
    xr.testing.assert_identical(read("memory://results/drift.zarr").compute(), other.compute())
    fsspec.filesystem("memory").rm("/results", recursive=True)


def test_import__from_a_url_to_a_url(bucket, foreign, monkeypatch):
    url = upload(foreign, f"{bucket}/foreign")
    run = import_checkpoints(url, f"{bucket}/run")
    same(trajlab.open(run), trajlab.open(foreign))
    fsspec.filesystem("s3").rm(f"{bucket}/run/run.json")
    fsspec.filesystem("s3").pipe_file(f"{bucket}/run/{UNFINISHED_FILE}", b"")
    with pytest.raises(DamagedData, match="was interrupted"):
        trajlab.open(f"{bucket}/run")


def test_command_line__there_and_back(bucket, recorded, tmp_path, cli):
    url = upload(recorded, f"{bucket}/study/first")
    assert cli("info", url) == (0, "")
    assert cli("drift", url, f"{bucket}/drift.zarr") == (0, "")
    assert cli("run", f"{bucket}/study", f"{bucket}/results", "--stages", "drift,sign_flips") == (0, "")
    assert cli("pack", f"{bucket}/study", f"{bucket}/packed") == (0, "")
    assert cli("drift", f"{bucket}/packed/first.zarr", tmp_path / "drift.zarr", "--workers", 8) == (0, "")
    assert cli("figure", f"{bucket}/drift.zarr", tmp_path / "drift.png") == (0, "")
    assert cli("figure", f"{bucket}/drift.zarr", f"{bucket}/drift.png") == (0, "")
    assert cli("report", f"{bucket}/results", tmp_path / "report.html") == (0, "")
    assert cli("report", f"{bucket}/results", f"{bucket}/a.html", "--metrics", f"{bucket}/m.json") == (0, "")
    expected = trajlab.run("drift", trajlab.open(recorded)).compute()
    for path in (f"{bucket}/drift.zarr", tmp_path / "drift.zarr"):
        xr.testing.assert_identical(xr.open_zarr(path).compute(), expected)
    store = fsspec.filesystem("s3")
    assert store.cat_file(f"{bucket}/drift.png") == (tmp_path / "drift.png").read_bytes()
    assert store.cat_file(f"{bucket}/a.html") == (tmp_path / "report.html").read_bytes()
    assert set(json.loads(store.cat_file(f"{bucket}/m.json"))["first"]) == {"drift", "sign_flips"}


def test_command_line__errors_are_one_line(bucket, recorded, tmp_path, cli):
    url = upload(recorded, f"{bucket}/first")
    unreachable = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    for arguments, environment, words in (
        (["drift", "s3://no-such-bucket/run", tmp_path / "x.zarr"], {}, "there is nothing"),
        (["drift", recorded, "s3://no-such-bucket/x.zarr"], {}, "The specified bucket does not exist"),
        (["figure", url, tmp_path / "x.png"], {}, "cannot open the result"),
        (["drift", url, f"{bucket}/first"], {}, "exists already"),
        (["pack", recorded, f"{bucket}/x.zarr"], nobody, "Unable to locate credentials"),
        (["info", url], unreachable, "Could not connect"),
    ):
        code, said = cli(*arguments, **environment)
        assert code == 1 and words in said and said.startswith("trajlab: "), (arguments, said)
        assert len(said.splitlines()) == 1, (arguments, said)
    assert not [key for key in keys(bucket) if "x.zarr" in key]


@pytest.mark.slow
def test_cluster__workers_open_the_object_store_themselves(bucket, recorded, tmp_path, cli):
    distributed = pytest.importorskip("distributed")
    url = upload(recorded, f"{bucket}/first")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        code, _ = cli("run", url, f"{bucket}/results", "--stages", "drift,sign_flips",
                      "--scheduler", cluster.scheduler_address)  # fmt: skip
    assert code == 0
    same_results_of = {
        name: xr.open_zarr(f"{bucket}/results/{name}.zarr").compute() for name in ("drift", "sign_flips")
    }
    for name, actual in same_results_of.items():
        xr.testing.assert_allclose(actual, trajlab.run(name, trajlab.open(recorded)).compute(), rtol=1e-12)
