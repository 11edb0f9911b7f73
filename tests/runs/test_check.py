import json

import fsspec
import numpy as np
import pytest
import torch
import xarray as xr

import trajlab
from trajlab.errors import DamagedData, MissingData
from trajlab.running.compute import write
from trajlab.runs.check import check
from trajlab.schema import RESULT_VERSION
from trajlab.statistics.read import read


@pytest.fixture
def store(example, tmp_path, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", 400)
    monkeypatch.setattr("trajlab.sizes.SHARD_BYTES", 1600)
    return trajlab.pack(example, tmp_path / "run.zarr")


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def test_check__every_array_of_a_store_has_checksums(store):
    checked = check(store)
    assert checked.damaged == [] and checked.unchecked == 0
    arrays = [node for node in xr.open_datatree(store).subtree for name in node.variables if name not in node.coords]
    assert checked.read >= len(arrays) > 10


def test_check__a_flipped_bit_in_a_tensor_is_named_with_its_steps(store, example):
    shard = store / "weights" / "conv.weight" / "value" / "c" / "0" / "0" / "0" / "0" / "0"
    flip(shard, 10)
    (piece,) = check(store).damaged
    assert piece.startswith("weights/conv.weight/value: rows 0 to 1 in ")
    with pytest.raises(ValueError, match="checksum"):  # plain xarray
        xr.open_datatree(store)["weights/conv.weight"].value.isel(step=0).load()


@pytest.mark.parametrize("array", ["weights/conv.weight/value", "weights/step", "metrics/loss"])
@pytest.mark.parametrize("encoding", [3, {"name": "base64"}, {"name": "v2", "configuration": {"separator": "//"}}])
def test_check__chunk_keys_of_an_unknown_kind_are_damage(array, encoding, store):
    root = json.loads((store / "zarr.json").read_text())
    root["consolidated_metadata"]["metadata"][array]["chunk_key_encoding"] = encoding
    (store / "zarr.json").write_text(json.dumps(root))
    try:
        assert any(piece.startswith(array) for piece in check(store).damaged)
    except DamagedData as error:
        assert str(error).startswith("cannot read ")
    with pytest.raises(DamagedData, match="cannot read "):
        trajlab.open(store)


@pytest.mark.parametrize("array", ["weights/step", "gradients/step", "metrics/loss"])
def test_open__a_flipped_bit_in_coordinates_and_metrics_is_an_error(store, array):
    flip(next(path for path in (store / array / "c").rglob("*") if path.is_file()), -6)
    with pytest.raises(DamagedData, match="checksum"):
        trajlab.open(store)
    assert len(check(store).damaged) == 1


def test_read__a_flipped_bit_in_a_result_is_an_error(tmp_path):
    result = xr.Dataset({"relative": ("step", np.arange(9.0))}, attrs={"stage": "drift", "Conventions": RESULT_VERSION})
    write({tmp_path / "drift.zarr": result})
    assert check(tmp_path / "drift.zarr").damaged == []
    chunk = next(path for path in (tmp_path / "drift.zarr" / "relative" / "c").rglob("*") if path.is_file())
    flip(chunk, -1)
    with pytest.raises(DamagedData, match=r"drift\.zarr.*checksum"):
        read(tmp_path / "drift.zarr")
    assert "relative" in check(tmp_path / "drift.zarr").damaged[0]


def test_open__stores_of_earlier_versions_without_checksums_open_and_are_extended(example, tmp_path):
    import zarr

    store = trajlab.pack(trajlab.from_arrays({"w": np.arange(6.0).reshape(3, 2)}), tmp_path / "run.zarr")
    array = zarr.open_group(store, use_consolidated=False)["weights/w"]
    values = array["value"][:]
    attributes = dict(array["value"].attrs)
    del array["value"]
    array.create_array(
        "value", shape=(3, 2), dtype="float64", chunks=(2, 2), shards=(4, 2), compressors=None, filters=None,
        dimension_names=["step", "out"], attributes=attributes,
    )[:] = values  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        zarr.consolidate_metadata(store)
    assert check(store).unchecked == 1
    np.testing.assert_array_equal(trajlab.open(store).weights["w"].values, values)
    trajlab.pack(trajlab.from_arrays({"w": np.arange(8.0).reshape(4, 2)}), store)
    assert check(store) == (2, [], 0)
    np.testing.assert_array_equal(trajlab.open(store).weights["w"].values, np.arange(8.0).reshape(4, 2))


def test_check__a_recorded_run(tmp_path):
    model = torch.nn.Linear(2, 1)
    with trajlab.Recorder(model, tmp_path / "run", gradients=1) as recorder:
        for _ in range(3):
            model(torch.ones(4, 2)).sum().backward()
            recorder.step(loss=1.0)
    files = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert check(tmp_path / "run") == (len(files) - 1, [], 0)
    flip(tmp_path / "run" / "checkpoint-1" / "model.safetensors", -1)
    assert check(tmp_path / "run").damaged == ["checkpoint-1/model.safetensors: its checksum is wrong"]
    with trajlab.Recorder(model, tmp_path / "run", gradients=1, resume=1) as recorder:
        model(torch.ones(4, 2)).sum().backward()
        recorder.step(loss=1.0)
    assert check(tmp_path / "run").damaged == []


def test_check__a_run_that_is_resumed_has_no_damage_and_a_segment_cut_short_keeps_a_checksum(tmp_path):
    model = torch.nn.Linear(2, 1)

    def record(steps, **how):
        recorder = trajlab.Recorder(model, tmp_path / "run", segment_rows=4, **how)
        for _ in range(steps):
            model(torch.ones(4, 2)).sum().backward()
            recorder.step(loss=1.0)
        recorder.flush()
        return recorder

    record(6).close()
    resumed = record(2, resume=True)  # metrics.jsonl grows, and has no checksum until the run is closed
    assert check(tmp_path / "run").damaged == []
    resumed.close()
    record(0, resume=3)
    flip(tmp_path / "run" / "gradients" / "0-2.safetensors", -1)
    assert check(tmp_path / "run").damaged == ["gradients/0-2.safetensors: its checksum is wrong"]


def test_check__what_has_no_checksums(tmp_path, checkpoints):
    folder = checkpoints({"w": np.ones((2, 2), np.float32)})
    with pytest.raises(MissingData, match="pack it"):
        check(folder)
    store = fsspec.filesystem("memory")
    store.pipe("/check/run/manifest.jsonl", b"{}")
    with pytest.raises(MissingData, match="runs behind URLs are not checked"):
        check("memory://check/run")
    store.rm("/check", recursive=True)
    with pytest.raises(MissingData, match="no such folder"):
        check(tmp_path / "nowhere")
    store = trajlab.pack(trajlab.from_arrays({"w": np.ones((2, 2))}), tmp_path / "run.zarr")
    (store / "zarr.json").write_text(json.dumps({"attributes": {}}))
    with pytest.raises(DamagedData, match=r"zarr\.json"):
        check(store)
