import json

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import DamagedData
from trajlab.running.compute import write
from trajlab.runs.check import check
from trajlab.schema import RESULT_VERSION
from trajlab.statistics.read import read


def inflate(root, node):
    """Let the metadata of an array state a trillion values."""
    for path, at in (
        (root / "zarr.json", ("consolidated_metadata", "metadata", node)),
        (root / node / "zarr.json", ()),
    ):
        document = json.loads(path.read_text())
        inner = document
        for key in at:
            inner = inner[key]
        inner["shape"] = [1 << 40]
        path.write_text(json.dumps(document))


def test_open__metrics_of_a_trillion_steps_without_chunks_take_no_memory(tmp_path):
    run = trajlab.from_arrays({"w": np.ones((3, 2))}, metrics={"loss": [1.0, 2.0, 3.0]})
    store = trajlab.pack(run, tmp_path / "run.zarr")
    for node in ("metrics/loss", "metrics/step"):
        inflate(store, node)
    with pytest.raises(DamagedData, match=r"states 8,796,093,022,208 bytes, but has"):
        check(store)
    with pytest.raises(DamagedData, match=r"metrics of .*loss states 8,796,093,022,208 bytes, but has"):
        trajlab.open(store)


def test_read__a_result_of_a_trillion_values_without_chunks_takes_no_memory(tmp_path):
    result = xr.Dataset({"relative": ("step", np.ones(3))}, attrs={"stage": "drift", "Conventions": RESULT_VERSION})
    write({tmp_path / "drift.zarr": result})
    assert read(tmp_path / "drift.zarr").relative.size == 3
    inflate(tmp_path / "drift.zarr", "relative")
    with pytest.raises(DamagedData, match="relative states 8,796,093,022,208 bytes, but has"):
        read(tmp_path / "drift.zarr")
