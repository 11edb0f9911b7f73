import io
import zipfile

import numpy as np
import pytest

import trajlab
from tests.runs.readers.formats.hostile import Thief, cut, flipped
from trajlab.errors import DamagedData, TrajlabError
from trajlab.runs.disk.rows import Rows
from trajlab.runs.readers.formats import npz


def arrays(step):
    rng = np.random.default_rng(step)
    return {"fc.weight": rng.standard_normal((3, 4)).astype(np.float32), "fc.bias": rng.standard_normal(3)}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_open__arrays_by_name(tmp_path, save):
    for step in (1, 20):
        save(tmp_path / f"step_{step}.npz", **arrays(step))
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1, 20] and list(run.weights) == ["fc.weight", "fc.bias"]
    assert run.weights["fc.bias"].dtype == np.float64
    for row, step in enumerate((1, 20)):
        for name, array in arrays(step).items():
            np.testing.assert_array_equal(run.weights[name].values[row], array)
    in_place = save is np.savez
    assert all(isinstance(series.values, Rows) == in_place for series in run.weights.series.values())
    norm = trajlab.run("drift", run).compute()["norm"].sel(parameter="fc.weight")
    np.testing.assert_allclose(norm, [np.linalg.norm(arrays(step)["fc.weight"]) for step in (1, 20)], rtol=1e-6)


def test_open__orders_and_types_that_are_not_read_in_place(tmp_path):
    base = np.arange(12.0).reshape(3, 4)
    stored = {
        "fortran": np.asfortranarray(base), "big": base.astype(">f4"), "vector": np.asfortranarray(base[0]),
        "scalar": np.float32(2.5), "empty": np.empty((0, 3), np.float32), "half": base.astype(np.float16),
    }  # fmt: skip
    np.savez(tmp_path / "step1.npz", **stored)
    run = trajlab.open(tmp_path)
    for name, array in stored.items():
        np.testing.assert_array_equal(run.weights[name].values[0], array)
    assert run.weights["big"].attrs["stored_dtype"] == "float32"
    assert isinstance(run.weights.series["vector"].values, Rows)


def test_open__what_is_no_number_is_named(tmp_path):
    np.savez(
        tmp_path / "step1.npz",
        w=np.ones(2),
        text=np.array(["a"]),
        record=np.zeros(2, [("a", "f4")]),
        raw=np.zeros(2, "V2"),
    )
    run = trajlab.open(tmp_path)
    assert list(run.weights) == ["w"] and set(run.weights.omitted) == {"text", "record", "raw"}


def test_open__the_step_may_stand_in_the_file(tmp_path):
    for number, step in enumerate((300, 700)):
        np.savez(tmp_path / f"snapshot{number}.npz", step=step, w=np.ones(2) * step)
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [300, 700] and list(run.weights) == ["w"] and not run.buffers


def test_open__pickles_are_never_loaded(tmp_path):
    np.savez(tmp_path / "step1.npz", w=np.ones(2), x=np.array([Thief(tmp_path / "trace")]))
    with pytest.raises(DamagedData, match=r"step1\.npz.*objects"):
        trajlab.open(tmp_path)
    assert not (tmp_path / "trace").exists()


def written(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members:
            archive.writestr(name, raw)


def array_bytes(shape, data=b"", dtype="<f4"):
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": dtype, "fortran_order": False, "shape": shape})
    return raw.getvalue() + data


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("w.npy", array_bytes((1 << 40,)))], "has 0 bytes"),
        ([("w.npy", array_bytes((2,), b"1234"))], "has 4 bytes"),
        ([("w.npy", array_bytes((-1, -4), b"1234" * 4))], "shape"),
        ([("w.npy", array_bytes((1 << 62, 1 << 62)))], "has 0 bytes"),
        ([("w.npy", b"\x93NUMPY\x09\x00")], "version"),
        ([("w.npy", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70000)], "cannot read"),
        ([("w.npy", b"nothing")], "magic"),
        ([("w.npy", array_bytes((1,), b"1234")), ("w.npy", array_bytes((1,), b"1234"))], "twice"),
    ],
)
def test_open__headers_that_lie_are_one_line(tmp_path, members, words):
    written(tmp_path / "step1.npz", members)
    with pytest.raises(DamagedData, match=words) as error:
        trajlab.open(tmp_path)
    assert "step1.npz" in str(error.value) and "\n" not in str(error.value)


def test_open__a_file_that_is_cut_off_or_changed_is_one_line(tmp_path, rng):
    path = tmp_path / "step1.npz"
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays(1))
        for _ in cut(path):
            with pytest.raises(DamagedData, match=r"step1\.npz"):
                trajlab.open(tmp_path)
        for _ in flipped(path, rng, 25):
            try:
                run = trajlab.open(tmp_path)
                for name in (*run.weights, *run.buffers):
                    (run.weights if name in run.weights else run.buffers)[name].values  # noqa: B018
            except TrajlabError as error:
                assert "\n" not in str(error)


def test_read_header__many_names_are_read_in_one_pass(tmp_path):
    written(tmp_path / "step1.npz", [(f"w{number}.npy", array_bytes((), b"1234")) for number in range(3000)])
    assert len(npz.read_header(str(tmp_path / "step1.npz")).entries) == 3000


def test_read_header__an_archive_without_arrays_holds_no_weights(tmp_path):
    written(tmp_path / "step1.npz", [("notes.txt", b"hello")])
    assert npz.read_header(str(tmp_path / "step1.npz")).holds == "no arrays"
