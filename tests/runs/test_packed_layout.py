import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting
from trajlab.runs.check import check
from trajlab.runs.disk.shards import rows_per_chunk_and_shard
from trajlab.runs.disk.store_nodes import nodes_of_store
from trajlab.runs.packed_layout import all_tensors, fits, types_of


def walk(steps):
    values = np.arange(steps * 6, dtype=np.float32).reshape(steps, 2, 3)
    return trajlab.from_arrays({"w": values}, metrics={"loss": np.ones(steps)})


@pytest.mark.parametrize("bytes_before", [48, 96])
def test_pack__a_store_whose_chunks_have_other_sizes_now_is_written_anew(bytes_before, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", bytes_before)
        patch.setattr("trajlab.sizes.SHARD_BYTES", 2 * bytes_before)
        store = trajlab.pack(walk(10), tmp_path / "run.zarr")
    monkeypatch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", 72)
    monkeypatch.setattr("trajlab.sizes.SHARD_BYTES", 144)
    assert not fits(nodes_of_store(store), walk(14))
    trajlab.pack(walk(14), store)
    np.testing.assert_array_equal(trajlab.open(store).weights["w"], walk(14).weights["w"])
    assert rows_per_chunk_and_shard(nodes_of_store(store)["weights/w/value"]) == (3, 6)
    assert fits(nodes_of_store(store), walk(20)) and check(store).damaged == []


def test_pack__a_name_too_long_for_a_folder_is_refused(tmp_path):
    run = trajlab.from_arrays({"x" * 300: np.ones((2, 3))})
    with pytest.raises(BadSetting, match="cannot pack the tensor 'xxx.*found 300 characters .*, 255 is the limit"):
        trajlab.pack(run, tmp_path / "run.zarr")
    assert list(tmp_path.iterdir()) == []


def test_all_tensors__and_their_types(example):
    weights, gradients, buffers, moments = all_tensors(example)
    assert list(weights) == list(example.weights) and gradients and not moments and len(buffers) == len(example.buffers)
    assert set(types_of(weights.series["fc.bias"])) == {"float32"}
