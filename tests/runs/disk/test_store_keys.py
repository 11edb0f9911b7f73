"""Keys of chunks in both encodings, compared with what zarr writes, and the keys of a version."""

import itertools

import numpy as np
import pytest
import zarr

from trajlab.runs.disk.store_keys import (
    FIRST,
    SECOND,
    StoreKeys,
    chunk_key,
    chunk_keys,
    encoding_of,
    other_encoding,
    separate,
)
from trajlab.runs.disk.store_nodes import nodes_of_store

ENCODINGS = [{"name": name, "configuration": {"separator": at}} for name in ("default", "v2") for at in ("/", ".")]

SHAPES = {"scalar": ((), ()), "vector": ((5,), (2,)), "table": ((4, 3), (2, 3)), "empty": ((0, 3), (1, 3))}


def build(folder, encoding=FIRST, fill=1.0):
    """Write a group with arrays of several dims, and return its files."""
    group = zarr.create_group(str(folder), zarr_format=3, overwrite=True)
    for name, (shape, chunks) in SHAPES.items():
        array = group.create_array(
            f"inside/{name}", shape=shape, chunks=chunks, dtype="f8", chunk_key_encoding=encoding
        )
        array[...] = fill
    zarr.consolidate_metadata(str(folder))
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")


@pytest.mark.parametrize(
    "encoding", ENCODINGS, ids=lambda encoding: "{name}{configuration[separator]}".format(**encoding)
)
def test_store_keys__are_those_that_zarr_writes(tmp_path, encoding):
    files = build(tmp_path / "a", encoding)
    nodes = nodes_of_store(tmp_path / "a")
    keys = StoreKeys(nodes)
    assert all(file in keys for file in files)
    chunks = {
        f"{path}/{key}" for path, node in nodes.items() if node["node_type"] == "array" for key in chunk_keys(node)
    }
    assert chunks == {file for file in files if not file.endswith("zarr.json")}
    for other in ("other/zarr.json", "inside/table/c/2/0", "inside/table/2.0", "inside/table/c/0", "inside/scalar/c/0",
                  "inside/vector/c/-1", "inside/vector/c/00", "inside/vector/c/²", "c/0", "x"):  # fmt: skip
        assert other not in keys, other


def test_other_encoding__shares_no_key():
    for encoding in ENCODINGS:
        other = other_encoding(encoding)
        for dims in range(4):
            grid = list(itertools.product(range(12), repeat=dims)) if dims < 3 else [(0, 1, 2), (10, 1, 1)]
            assert not {chunk_key(encoding, at) for at in grid} & {chunk_key(other, at) for at in grid}
    assert other_encoding(FIRST) == SECOND and other_encoding(SECOND) == FIRST


def test_separate__renames_what_the_other_version_uses_and_zarr_reads_it(tmp_path):
    build(tmp_path / "new", fill=2.0)
    nodes = nodes_of_store(tmp_path / "new")
    before = {path: node for path, node in nodes.items() if path != "inside/vector"}
    before["inside/table"] = before["inside/table"] | {"chunk_key_encoding": SECOND}
    separate(tmp_path / "new", before)
    after = nodes_of_store(tmp_path / "new")
    names = {name: encoding_of(after[f"inside/{name}"])["name"] for name in SHAPES}
    assert names == {"scalar": "v2", "vector": "default", "table": "default", "empty": "v2"}
    for consolidated in (True, False):
        group = zarr.open_group(str(tmp_path / "new"), mode="r", use_consolidated=consolidated)
        for name, (shape, _) in SHAPES.items():
            np.testing.assert_array_equal(group[f"inside/{name}"][...], np.full(shape, 2.0))
    separate(tmp_path / "new", after, growing=["inside/scalar"])
    names = {name: encoding_of(nodes_of_store(tmp_path / "new")[f"inside/{name}"])["name"] for name in SHAPES}
    assert names == {"scalar": "v2", "vector": "v2", "table": "v2", "empty": "default"}


@pytest.mark.parametrize(
    "encoding", [{"name": "base64"}, {"name": "default", "configuration": {"separator": "//"}}, {}, None, {"name": []}]
)
def test_encoding_of__what_it_does_not_know_is_an_error(encoding):
    node = {"node_type": "array", "shape": [1], "chunk_key_encoding": encoding}
    with pytest.raises((ValueError, KeyError, TypeError)):
        StoreKeys({"x": node})
