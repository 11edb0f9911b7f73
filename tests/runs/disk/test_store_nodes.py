import itertools

import fsspec
import pytest

from trajlab.errors import DamagedData
from trajlab.runs.disk.paths import as_path
from trajlab.runs.disk.store_nodes import nodes_of_store, unchanged


def test_nodes_of_store__damaged(tmp_path):
    (tmp_path / "zarr.json").write_text('{"consolidated_metadata": 3}')
    with pytest.raises(DamagedData, match="cannot read zarr.json of .*; the store is damaged, so write it again"):
        nodes_of_store(tmp_path)
    (tmp_path / "zarr.json").write_text("{}")
    assert nodes_of_store(tmp_path) == {}


def test_unchanged__reads_again_what_was_replaced_meanwhile():
    url = as_path("memory://unchanged/x.zarr")
    (url / "zarr.json").write_text("{}")
    reads, written = [], itertools.count(1)

    def read(replacements):
        reads.append(1)
        if len(reads) <= replacements:
            (url / "zarr.json").write_text("{}" + " " * next(written))
            if len(reads) == 1:
                raise DamagedData("a chunk is missing")
        return len(reads)

    try:
        assert unchanged(url, lambda: read(1)) == 2
        reads.clear()
        with pytest.raises(DamagedData, match="it was replaced 3 times meanwhile"):
            unchanged(url, lambda: read(9))
        reads.clear()
        with pytest.raises(ZeroDivisionError):
            unchanged(url, lambda: 1 / 0)
    finally:
        fsspec.filesystem("memory").rm("/unchanged", recursive=True)
