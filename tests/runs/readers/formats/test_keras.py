import sys

import numpy as np
import pytest

import trajlab
from tests.runs.readers.formats.hostile import cut, flipped
from trajlab.errors import DamagedData, MissingData, TrajlabError
from trajlab.runs.disk.rows import Rows


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
