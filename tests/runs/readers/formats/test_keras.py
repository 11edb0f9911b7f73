import sys

import numpy as np
import pytest

import trajlab
from tests.runs.readers.formats.hostile import cut, flipped
from trajlab.errors import DamagedData, MissingData, TrajlabError
from trajlab.runs.disk.rows import Rows
from trajlab.runs.readers.formats import keras


def test_open__without_h5py_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "weights.1.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(MissingData, match=r"weights\.1\.h5.*Keras.*h5py.*pip install trajlab\[keras\]"):
        trajlab.open(tmp_path)


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


@pytest.fixture
def folder(tmp_path, h5py, rng):
    for step in (1, 2):
        with h5py.File(tmp_path / f"epoch_{step}.weights.h5", "w") as file:
            file["layers/dense/vars/0"] = rng.standard_normal((4, 8)).astype(np.float32)
            file["layers/dense/vars/1"] = np.arange(8, dtype=np.float32) * step
            file["layers/conv2d/vars/0"] = rng.standard_normal((3, 5, 2, 6)).astype(np.float32)
            file["layers/depthwise_conv2d/vars/0"] = rng.standard_normal((3, 5, 2, 1)).astype(np.float32)
            file["layers/embedding/vars/0"] = rng.standard_normal((10, 3)).astype(np.float32)
            file["optimizer/vars/0"] = np.ones(99)
            file.create_group("layers/dropout/vars")
    return tmp_path


def test_open__weights_of_keras_3_with_their_units_first(folder, h5py):
    run = trajlab.open(folder)
    names = ["conv2d.0", "dense.0", "dense.1", "depthwise_conv2d.0", "embedding.0"]
    assert run.steps.tolist() == [1, 2] and list(run.weights) == names
    with h5py.File(folder / "epoch_2.weights.h5") as file:
        kernel, conv = file["layers/dense/vars/0"][()], file["layers/conv2d/vars/0"][()]
        depthwise, embedding = file["layers/depthwise_conv2d/vars/0"][()], file["layers/embedding/vars/0"][()]
    np.testing.assert_array_equal(run.weights["dense.0"].values[1], kernel.T)
    assert run.weights["conv2d.0"].dims == ("step", "out", "in", "y", "x")
    np.testing.assert_array_equal(run.weights["conv2d.0"].values[1, 4, 1], conv[:, :, 1, 4])
    np.testing.assert_array_equal(run.weights["depthwise_conv2d.0"].values[1, 1, 0], depthwise[:, :, 1, 0])
    np.testing.assert_array_equal(run.weights["embedding.0"].values[1], embedding)
    assert run.weights["dense.1"].values.tolist() == [list(range(8)), list(range(0, 16, 2))]
    assert isinstance(run.weights.series["dense.1"].values, Rows)


def test_open__weights_of_keras_2(tmp_path, h5py):
    with h5py.File(tmp_path / "weights.1.h5", "w") as file:
        group = file.create_group("model_weights/dense_1/dense_1")
        group["kernel:0"] = np.arange(6.0, dtype=np.float32).reshape(2, 3)
        group["bias:0"] = np.ones(3, ">f4")
        file.create_dataset("model_weights/bn/bn/moving_mean:0", data=np.arange(5.0), compression="gzip")
        file["optimizer_weights/Adam/m:0"] = np.ones(4)
        file["model_weights/names"] = np.array([b"dense_1"])
    run = trajlab.open(tmp_path)
    assert list(run.weights) == ["dense_1.bias", "dense_1.kernel"] and list(run.buffers) == ["bn.moving_mean"]
    assert run.weights["dense_1.kernel"].values[0].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert run.buffers["bn.moving_mean"].values.tolist() == [[0, 1, 2, 3, 4]]
    assert list(run.weights.omitted) == ["names"]


def test_open__layers_are_in_the_order_that_keras_2_lists(tmp_path, h5py):
    weights = {
        "stem": ["stem/kernel:0", "stem/bias:0"],
        "block": ["block/second/kernel:0", "block/first/kernel:0"],
        "act": [],
        "dense": ["dense/kernel:0"],
    }
    with h5py.File(tmp_path / "weights.1.h5", "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names0"], group.attrs["layer_names1"] = [b"stem", b"block"], ["act", "dense", "lost"]
        for layer, names in weights.items():
            group.create_group(layer).attrs["weight_names"] = np.array(names, "S")
            for name in names:
                group[f"{layer}/{name}"] = np.ones(3)
        group["aside/aside/kernel:0"] = np.ones(3)
    names = ["stem.kernel", "stem.bias", "block.second.kernel", "block.first.kernel", "dense.kernel", "aside.kernel"]
    assert list(trajlab.open(tmp_path).weights) == names


def test_open__layers_are_in_order_of_creation_where_it_is_tracked_else_of_names_and_numbers(tmp_path, h5py):
    layers = [*(f"dense_{i}" if i else "dense" for i in range(11)), "conv2d"]
    for tracked, expected in ((True, layers), (False, ["conv2d", *layers[:-1]])):
        with h5py.File(tmp_path / "weights.1.h5", "w") as file:
            group = file.create_group("layers", track_order=tracked)
            for layer in layers:
                group[f"{layer}/vars/0"] = np.ones(3)
        assert list(trajlab.open(tmp_path).weights) == [f"{layer}.0" for layer in expected]


def test_open__a_list_of_layers_that_is_too_long_is_refused(tmp_path, h5py, monkeypatch):
    monkeypatch.setattr(keras, "MOST_LISTED", 2)
    with h5py.File(tmp_path / "weights.1.h5", "w") as file:
        file["a/kernel:0"] = np.ones(3)
        file.attrs["layer_names"] = ["a", "b", "c"]
    with pytest.raises(DamagedData, match="list of layers is too long"):
        trajlab.open(tmp_path)


def test_open__links_to_other_files_are_not_followed(tmp_path, h5py):
    with h5py.File(tmp_path / "secret.hdf", "w") as file:
        file["w"] = np.ones(3)
    with h5py.File(tmp_path / "weights.1.h5", "w") as file:
        file["layers/a/vars/0"] = np.zeros(2)
        file["layers/b"] = h5py.ExternalLink("secret.hdf", "w")
        file["layers/loop"] = h5py.SoftLink("/layers")
    assert list(trajlab.open(tmp_path).weights) == ["a.0"]
    with h5py.File(tmp_path / "weights.1.h5", "a") as file:
        file["layers/a/itself"] = file["layers"]
    with pytest.raises(DamagedData, match="nested"):
        trajlab.open(tmp_path)


def test_open__a_file_that_is_cut_off_or_changed_is_one_line(folder, rng):
    path = folder / "epoch_2.weights.h5"
    for _ in cut(path, (0.02, 0.3, 0.6, 0.95)):
        with pytest.raises(DamagedData, match=r"epoch_2\.weights\.h5.*Keras"):
            trajlab.open(folder)
    for _ in flipped(path, rng, 25):
        try:
            run = trajlab.open(folder)
            for name in run.weights:
                run.weights[name].values  # noqa: B018
        except TrajlabError as error:
            assert "\n" not in str(error)
