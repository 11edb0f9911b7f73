import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

import trajlab
from trajlab.errors import DamagedData, MissingData
from trajlab.running.compute import write
from trajlab.runs.disk.store_nodes import nodes_of_store
from trajlab.runs.readers.store import is_store, read_store
from trajlab.schema import STORE_FILE
from trajlab.statistics.read import read


@pytest.fixture
def store(tmp_path):
    weights = {"a/b": np.arange(6, dtype=np.float16).reshape(3, 2), "w": np.ones((3, 2, 2), np.float32)}
    run = trajlab.from_arrays(weights, {"w": np.zeros((2, 2, 2), np.float32)}, metrics={"loss": [2.0, 1.0]})
    return trajlab.pack(run, tmp_path / "run.zarr")


def edit(store, change):
    root = json.loads((store / STORE_FILE).read_text())
    change(root)
    (store / STORE_FILE).write_text(json.dumps(root))


def test_read_store__gives_back_names_types_and_values(store, no_compute):
    with no_compute():
        run = read_store(store)
    assert list(run.weights) == ["a/b", "w"] and run.weights["a/b"].attrs["stored_dtype"] == "float16"
    assert run.weights["a/b"].values.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert run.metrics.loss.values.tolist() == [2, 1] and run.gradients["w"].sizes["step"] == 2
    assert is_store(store) and not is_store(store.parent) and "weights/w/value" in nodes_of_store(store)


def metadata(root, path):
    return root["consolidated_metadata"]["metadata"][path]["attributes"]


CHANGES = {
    "version": lambda root: root["attributes"].update(Conventions="trajlab-9"),
    "result": lambda root: root["attributes"].update(Conventions="trajlab-result-1", stage="drift"),
    "metadata": lambda root: root.pop("consolidated_metadata"),
    "facts": lambda root: root["attributes"].update(run=[]),
    "order": lambda root: metadata(root, "weights").update(order=["w", "w"]),
    "shape": lambda root: metadata(root, "weights/w/value").update(shape=[7]),
    "array": lambda root: root["consolidated_metadata"]["metadata"].pop("weights/w/value"),
}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ("version", DamagedData, "'trajlab-9', this trajlab reads"),
        ("result", MissingData, "result of drift"),
        ("metadata", DamagedData, "not written by pack"),
        ("facts", DamagedData, "run"),
        ("order", DamagedData, "distinct names"),
        ("shape", DamagedData, "weights/w"),
        ("array", DamagedData, "weights/w"),
    ],
)
def test_read_store__what_pack_did_not_write_is_named(store, change, error, words):
    edit(store, CHANGES[change])
    with pytest.raises(error, match=words):
        read_store(store)


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def plant(group, array, file):
    """Put an array of Zarr 2 with a pickled object in the place of an array."""
    shutil.rmtree(group / array, ignore_errors=True)
    (group / array).mkdir(parents=True)
    node = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": None, "fill_value": None}
    node |= {"order": "C", "filters": [{"id": "pickle"}]}
    (group / array / ".zarray").write_text(json.dumps(node))
    (group / array / "0").write_bytes(pickle.dumps([Planted(file), [1]]))
    node |= {"node_type": "array", "attributes": {"_ARRAY_DIMENSIONS": ["step"]}}
    edit(group, lambda root: root["consolidated_metadata"]["metadata"].update({array: node}))


@pytest.mark.parametrize("array", ["metrics/loss", "metrics/other", "weights/step", "weights/w/value"])
def test_read_store__runs_no_pickles_of_zarr_2(store, tmp_path, array):
    plant(store, array, tmp_path / "PWNED")
    with pytest.raises(DamagedData):
        np.asarray(read_store(store).weights["w"])
    assert not (tmp_path / "PWNED").exists()
    pickle.loads((store / array / "0").read_bytes())
    assert (tmp_path / "PWNED").exists()  # the attack works


def test_read__runs_no_pickles_of_zarr_2(tmp_path):
    write({tmp_path / "drift.zarr": trajlab.run("drift", trajlab.example(2))})
    plant(tmp_path / "drift.zarr", "changed", tmp_path / "PWNED")
    with pytest.raises(DamagedData):
        read(tmp_path / "drift.zarr")
    assert not (tmp_path / "PWNED").exists()
