import errno
import json
import os
import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

import trajlab
from trajlab.errors import DamagedData, MissingData, OutputExists, TrajlabError
from trajlab.runs import packed_layout


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", 400)
    monkeypatch.setattr("trajlab.sizes.SHARD_BYTES", 1600)


def same(a, b):
    for group in ("weights", "gradients", "buffers"):
        one, other = getattr(a, group), getattr(b, group)
        assert list(one) == list(other)
        for name in one:
            xr.testing.assert_equal(one[name].compute(), other[name].compute())


def longer(run, steps):
    return trajlab.from_arrays(
        {name: array.values[:steps] for name, array in run.weights.items()},
        {name: array.values[: steps - 1] for name, array in run.gradients.items()},
        metrics={"loss": run.metrics.loss.values[: steps - 1]},
    )


def test_pack__round_trip(example, tmp_path, small_shards):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    run = trajlab.open(store)
    same(run, example)
    xr.testing.assert_equal(run.metrics.compute(), example.metrics)


def test_pack__plain_xarray_opens_it_without_a_warning(example, tmp_path, small_shards):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xr.open_datatree(store)
        np.testing.assert_array_equal(tree["weights/conv.weight"].value.values, example.weights["conv.weight"].values)
        assert tree["weights/conv.weight"].value.dims == ("step", "out", "in", "y", "x")
        assert tree["gradients/fc.bias"].step.values.tolist() == list(range(20))


def test_pack__packing_again_adds_only_the_new_steps(example, tmp_path, small_shards):
    store = trajlab.pack(longer(example, 12), tmp_path / "run.zarr")
    shard = store / "weights" / "fc.weight" / "value" / "c" / "0" / "0" / "0"
    inode = os.stat(shard).st_ino
    trajlab.pack(example, store)
    assert os.stat(shard).st_ino == inode
    same(trajlab.open(store), example)
    tree = xr.open_datatree(store)
    np.testing.assert_array_equal(tree["gradients/fc.weight"].value.values, example.gradients["fc.weight"].values)


def test_pack__packing_again_with_nothing_new_touches_nothing(example, tmp_path):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    before = os.stat(store / "zarr.json").st_mtime_ns
    trajlab.pack(example, store)
    assert os.stat(store / "zarr.json").st_mtime_ns == before


def test_pack__another_run_is_not_overwritten(example, tmp_path):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    with pytest.raises(OutputExists, match="holds another run"):
        trajlab.pack(longer(example, 5), store)
    other = trajlab.from_arrays({"x": np.zeros((30, 2), np.float32)})
    with pytest.raises(OutputExists, match="holds another run"):
        trajlab.pack(other, store)
    same(trajlab.open(store), example)
    trajlab.pack(other, store, overwrite=True)
    assert list(trajlab.open(store).weights) == ["x"]


def test_pack__something_else_in_its_place_is_left_alone(example, tmp_path):
    (tmp_path / "run.zarr").mkdir()
    (tmp_path / "run.zarr" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputExists, match="something else"):
        trajlab.pack(example, tmp_path / "run.zarr")
    assert (tmp_path / "run.zarr" / "thesis.tex").exists()


def test_pack__a_full_disk_leaves_the_old_store(example, tmp_path, small_shards, monkeypatch):
    store = trajlab.pack(longer(example, 12), tmp_path / "run.zarr")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packed_layout, "write_shard", full)
    with pytest.raises(TrajlabError, match="the disk is full"):
        trajlab.pack(example, store)
    same(trajlab.open(store), longer(example, 12))
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.zarr"]


def test_pack__what_a_killed_pack_left_is_removed(example, tmp_path):
    (tmp_path / ".run.zarr.part-999999999").mkdir()
    trajlab.pack(example, tmp_path / "run.zarr")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.zarr"]


def test_pack__bfloat16_is_widened_and_remembered(tmp_path):
    values = torch.randn(8).bfloat16()
    save_file({"w": values}, tmp_path / "step0.safetensors")
    run = trajlab.open(trajlab.pack(tmp_path, tmp_path / "run.zarr"))
    assert run.weights["w"].dtype == np.float32
    assert run.weights["w"].attrs["stored_dtype"] == "bfloat16"
    assert torch.equal(run.at(0)["w"], values)


def test_pack__steps_that_differ_between_parameters(tmp_path):
    for step in range(4):
        tensors = {"a": torch.full((2,), float(step))} | ({"late": torch.ones(1)} if step > 1 else {})
        save_file(tensors, tmp_path / f"step{step}.safetensors")
    store = trajlab.pack(tmp_path, tmp_path / "run.zarr")
    same(trajlab.open(store), trajlab.open(tmp_path))
    assert xr.open_datatree(store)["weights/late"].step.values.tolist() == [2, 3]


def test_pack__empty_and_scalar_tensors(tmp_path):
    run = trajlab.from_arrays({"scalar": np.arange(3.0), "empty": np.zeros((3, 0, 2), np.float32)})
    same(trajlab.open(trajlab.pack(run, tmp_path / "run.zarr")), run)


def test_pack__a_run_without_tensors(tmp_path):
    with pytest.raises(MissingData, match="holds no tensors"):
        trajlab.pack(trajlab.from_arrays({}), tmp_path / "run.zarr")


def test_open__a_store_of_another_version(example, tmp_path):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    root = json.loads((store / "zarr.json").read_text())
    root["attributes"]["Conventions"] = "trajlab-0"
    (store / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(DamagedData, match="trajlab-0"):
        trajlab.open(store)


def test_open__a_store_with_a_shard_cut_off(example, tmp_path):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    shard = store / "weights" / "fc.weight" / "value" / "c" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(DamagedData, match="fc.weight"):
        trajlab.open(store).weights["fc.weight"].compute()


def test_open__a_store_that_zarr_compressed(example, tmp_path):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    import zarr

    group = zarr.open_group(str(store), mode="a")["weights/fc.weight"]
    values, attrs = group["value"][:], dict(group["value"].attrs)
    array = group.create_array(
        "value", data=values, chunks=(4, 3, 16), dimension_names=["step", "out", "in"], overwrite=True, attributes=attrs
    )
    assert array.compressors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(store))
    run = trajlab.open(store)
    same(run, example)
    xr.testing.assert_identical(
        trajlab.run("drift", run).compute().drop_attrs(), trajlab.run("drift", example).compute().drop_attrs()
    )


def test_pack__the_same_shapes_with_other_values_are_another_run(example, tmp_path):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    with pytest.raises(OutputExists, match="holds another run"):
        trajlab.pack(trajlab.example(seed=1), store)


def test_pack__new_gradients_and_metrics_alone_are_added(example, tmp_path):
    weights = {name: array.values for name, array in example.weights.items()}
    store = trajlab.pack(trajlab.from_arrays(weights), tmp_path / "run.zarr")
    trajlab.pack(example, store)
    same(trajlab.open(store), example)
    xr.testing.assert_equal(trajlab.open(store).metrics.compute(), example.metrics)


def test_pack__never_replaces_what_is_no_store(example, checkpoints, tmp_path):
    folder = checkpoints({"w": np.zeros((2, 3), np.float32)})
    with pytest.raises(OutputExists, match="into itself"):
        trajlab.pack(folder, folder, overwrite=True)
    with pytest.raises(OutputExists, match="never overwritten"):
        trajlab.pack(example, folder, overwrite=True)
    assert len(trajlab.open(folder).steps) == 2


NAMES = ["step", "", ".", "..", "a/b", "__init__", "zarr.json", "%", "%2E", "a b", "größe", "fc.weight"]


def test_pack__any_name_of_a_tensor(tmp_path, rng):
    weights = {name: rng.standard_normal((3, 2)) for name in NAMES}
    run = trajlab.from_arrays(weights, {"step": np.ones((2, 2))}, metrics={"train/loss": [1, 2, 3]})
    store = trajlab.pack(run, tmp_path / "run.zarr")
    same(trajlab.open(store), run)
    xr.testing.assert_equal(trajlab.open(store).metrics, run.metrics)
    assert len(xr.open_datatree(store)["weights"].children) == len(NAMES)
    assert trajlab.open(store).tree["weights/%73tep"].value.shape == (3, 2)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (("weights", "attributes", "order"), None),
        (("weights", "attributes", "order"), ["fc.weight", "fc.weight"]),
        (("weights", "attributes", "order"), ["nope"]),
        (("weights/fc.weight/value", "attributes", "shape"), [3, 17]),
        (("weights/fc.weight/value", "attributes", "shape"), None),
        (("weights/fc.weight/value", "attributes", "stored_dtype"), "float64"),
        (("weights/fc.weight/value", "attributes", "stored_dtype"), 3),
        (("weights/fc.weight/value", "shape"), [4, 3, 16]),
        (("weights/fc.weight/value", "data_type"), "int64"),
        (("weights/fc.weight/value", "codecs"), [{"name": "nonsense"}]),
        (("weights/fc.weight/value", "chunk_grid"), {}),
        (("weights/fc.weight/value",), None),
        (("weights/step", "shape"), [3]),
        (("weights/step", "data_type"), "float64"),
        (("metrics/loss", "codecs"), []),
    ],
)
def test_open__metadata_that_is_not_by_pack_is_named(example, tmp_path, position, value):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    root = json.loads((store / "zarr.json").read_text())
    *where, last = position
    node = root["consolidated_metadata"]["metadata"]
    for key in where:
        node = node[key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    (store / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(DamagedData, match="store is damaged") as error:
        trajlab.open(store)
    assert str(store) in str(error.value) and "\n" not in str(error.value)


def test_open__facts_of_a_store_that_are_of_the_wrong_kind(example, tmp_path):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    root = json.loads((store / "zarr.json").read_text())
    root["attributes"]["run"] = {"describe": 3}
    (store / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(DamagedData, match="describe"):
        trajlab.open(store)


@pytest.mark.parametrize(
    ("array", "damage"),
    [
        *(("weights/fc.weight/value", damage) for damage in ("gone", "empty", "cut", "flipped")),
        *(("weights/step", damage) for damage in ("gone", "empty", "cut")),
        *(("metrics/loss", damage) for damage in ("empty", "cut")),
    ],
)
def test_open__a_damaged_chunk_is_named(example, tmp_path, small_shards, array, damage):
    store = trajlab.pack(example, tmp_path / "run.zarr")
    chunk = min(path for path in (store / array / "c").rglob("*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    if damage == "gone":
        chunk.unlink()
    elif damage == "flipped":
        content[-8] ^= 1  # in the index of the shard, that its checksum is of
        chunk.write_bytes(content)
    else:
        chunk.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    with pytest.raises(DamagedData, match=str(store)):
        trajlab.open(store).weights["fc.weight"].compute()
