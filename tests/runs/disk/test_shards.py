import json
import resource

import numpy as np
import pytest
import zarr
from zarr.codecs import Crc32cCodec

from trajlab.errors import DamagedData
from trajlab.runs.disk.rows import Rows
from trajlab.runs.disk.shards import ALIGNMENT, damaged_rows, raw_rows, write_shard


def node_of(steps, per_chunk, per_shard, row_shape=(2, 3), **codecs):
    """Return the metadata of an array of shards, as Zarr writes it."""
    bytes_codec = {"name": "bytes", "configuration": {"endian": codecs.get("endian", "little")}}
    checked = [bytes_codec, {"name": "crc32c"}]
    index_codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    sharding = {
        "chunk_shape": [per_chunk, *row_shape], "codecs": codecs.get("inner", checked),
        "index_codecs": index_codecs[: codecs.get("index_codecs", 2)], "index_location": codecs.get("location", "end"),
    }  # fmt: skip
    return {
        "zarr_format": 3, "node_type": "array", "shape": [steps, *row_shape], "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [per_shard, *row_shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "fill_value": 0.0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}], "attributes": {},
    }  # fmt: skip


@pytest.fixture
def values(rng):
    return rng.standard_normal((7, 2, 3)).astype(np.float32)


def written(folder, values, per_chunk=2, per_shard=4):
    for number in range(-(-len(values) // per_shard)):
        part = values[number * per_shard : (number + 1) * per_shard]
        write_shard(folder / "c" / str(number) / "0" / "0", lambda part=part: part, per_chunk, per_shard, 24, None)
    return folder


@pytest.mark.parametrize(("per_chunk", "per_shard"), [(1, 1), (2, 4), (3, 9), (7, 7)])
def test_write_shard__is_what_raw_rows_and_plain_zarr_read(tmp_path, values, per_chunk, per_shard):
    written(tmp_path, values, per_chunk, per_shard)
    node = node_of(7, per_chunk, per_shard)
    rows = raw_rows(tmp_path, node)
    np.testing.assert_array_equal(rows.load(), values)
    assert not (rows.offset[::per_chunk] % ALIGNMENT).any()
    (tmp_path / "zarr.json").write_text(json.dumps(node))
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path), mode="r")[:], values)


@pytest.mark.parametrize("checksum", [None, Crc32cCodec()], ids=["no checksum", "checksum"])
@pytest.mark.parametrize(("per_chunk", "per_shard"), [(1, 1), (2, 4), (3, 9), (7, 7)])
def test_raw_rows__are_those_that_plain_zarr_wrote(tmp_path, values, per_chunk, per_shard, checksum):
    array = zarr.create_array(
        str(tmp_path), shape=(7, 2, 3), dtype="float32", chunks=(per_chunk, 2, 3), shards=(per_shard, 2, 3),
        compressors=checksum, filters=None,
    )  # fmt: skip
    array[:] = values
    node = json.loads((tmp_path / "zarr.json").read_text())
    np.testing.assert_array_equal(raw_rows(tmp_path, node).load(), values)


def test_damaged_rows__are_those_of_chunks_with_a_flipped_bit(tmp_path, values):
    written(tmp_path, values)
    node = node_of(7, 2, 4)
    assert list(damaged_rows(tmp_path, node)) == []
    path = tmp_path / "c" / "1" / "0" / "0"
    content = bytearray(path.read_bytes())
    content[ALIGNMENT] ^= 1  # rows 6 and, as filling, 7
    path.write_bytes(content)
    assert list(damaged_rows(tmp_path, node)) == [(str(path), 6, 6)]


@pytest.mark.parametrize(
    "codecs",
    [
        {"inner": [{"name": "bytes"}, {"name": "zstd"}]},
        {"endian": "big"},
        {"location": "start"},
        {"index_codecs": 1},
    ],
    ids=["compressed", "big endian", "index at the start", "no checksum of the index"],
)
def test_raw_rows__leaves_other_layouts_to_zarr(tmp_path, codecs):
    assert raw_rows(tmp_path, node_of(7, 2, 4, **codecs)) is None
    assert raw_rows(tmp_path, node_of(0, 2, 4)) is None
    cut_rows = node_of(7, 2, 4)
    cut_rows["codecs"][0]["configuration"]["chunk_shape"] = [2, 1, 3]
    assert raw_rows(tmp_path, cut_rows) is None


def test_raw_rows__a_chunk_that_was_never_written_is_left_to_zarr(tmp_path, values):
    written(tmp_path, values[:2], per_chunk=2, per_shard=4)
    assert raw_rows(tmp_path, node_of(4, 2, 4)) is None
    np.testing.assert_array_equal(raw_rows(tmp_path, node_of(2, 2, 4)).load(), values[:2])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:], "checksum of its index is wrong"),
        (lambda raw: raw[:10], "cannot read the shard"),
        (lambda raw: raw[20:], "points beyond its 144 bytes"),
        (lambda raw: None, "cannot read the shard"),
    ],
    ids=["bit flip", "cut off", "beginning lost", "gone"],
)
def test_raw_rows__a_damaged_shard_is_named(tmp_path, values, damage, words):
    written(tmp_path, values[:4])
    path = tmp_path / "c" / "0" / "0" / "0"
    raw = damage(path.read_bytes())
    path.unlink() if raw is None else path.write_bytes(raw)
    with pytest.raises(DamagedData, match=rf"c/0/0/0.*{words}|{words}.*c/0/0/0"):
        raw_rows(tmp_path, node_of(4, 2, 4))


def rows_of_files(folder, count, shape=(3, 2)):
    """Write a file for each row; returns their table and their values."""
    values = np.arange(count * np.prod(shape), dtype="<f4").reshape(count, *shape)
    for number, row in enumerate(values):
        (folder / f"{number}.bin").write_bytes(row.tobytes())
    files = tuple(str(folder / f"{number}.bin") for number in range(count))
    return Rows(files, np.arange(count, dtype=np.int32), np.zeros(count, np.int64), shape, np.dtype("<f4")), values


def test_write_shard__of_more_files_than_may_be_open(tmp_path):
    rows, values = rows_of_files(tmp_path, 200)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        write_shard(tmp_path / "shard", rows, 200, 200, 24, None)
        np.testing.assert_array_equal(rows.load(), values)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (tmp_path / "shard").read_bytes().startswith(values.tobytes())


@pytest.mark.parametrize("per_chunk", [1, 4])
def test_write_shard__long_rows_are_read_in_pieces(per_chunk, tmp_path, monkeypatch):
    rows, values = rows_of_files(tmp_path, 4, (50,))
    write_shard(tmp_path / "whole", rows, per_chunk, 4, 200, None)
    monkeypatch.setattr("trajlab.sizes.PACKED_CHUNK_BYTES", 28)
    write_shard(tmp_path / "pieces", rows, per_chunk, 4, 200, None)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "pieces").read_bytes()
    assert values[0].tobytes() in (tmp_path / "pieces").read_bytes()


def test_write_shard__a_file_that_shrinks_is_an_error_and_no_crash(tmp_path):
    rows, _ = rows_of_files(tmp_path, 4)
    (tmp_path / "2.bin").write_bytes(b"123")
    with pytest.raises(DamagedData, match=r"2.bin: it ends before; the file changed after the trajectory was opened"):
        write_shard(tmp_path / "shard", rows, 2, 4, 24, None)
