"""A format of checkpoint files is one module; one from outside is passed to `trajlab.open`."""

import sys

import numpy as np
import pytest

import trajlab
from trajlab.errors import DamagedData, MissingData
from trajlab.runs.readers.formats import Entry, Header, format_of, own_formats


class Arrays:
    """Checkpoints of numpy, as a user would add them."""

    SUFFIXES = (".arrays",)

    def read_header(self, path, cache):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                entries = {name: Entry(arrays[name].shape, arrays[name].dtype) for name in arrays.files}
        except ValueError as error:
            raise DamagedData(f"cannot read {path}: {error}") from error
        return Header(entries, {}, load)


def load(path, name):
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name]


def save(path, **arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)


@pytest.fixture
def folder(tmp_path, rng):
    for step in (5, 20, 100):
        save(tmp_path / f"step{step}.arrays", **{"fc.weight": rng.standard_normal((3, 4)).astype(np.float32)})
    return tmp_path


def test_open__a_format_from_outside_gives_a_trajectory_like_any_other(folder):
    run = trajlab.open(folder, formats=[Arrays()])
    rows = np.stack([load(folder / f"step{step}.arrays", "fc.weight") for step in (5, 20, 100)]).astype(np.float64)
    assert run.steps.tolist() == [5, 20, 100]
    np.testing.assert_array_equal(run.weights["fc.weight"], rows)
    distance = np.linalg.norm((rows - rows[0]).reshape(3, -1), axis=1)
    drift = trajlab.run("drift", run).compute()
    np.testing.assert_allclose(drift["distance_l2"].sel(parameter="fc.weight"), distance, rtol=1e-12)


def test_pack__stores_checkpoints_of_a_format_from_outside(folder, tmp_path):
    run = trajlab.open(folder, formats=[Arrays()])
    packed = trajlab.open(trajlab.pack(run, tmp_path / "run.zarr"))
    np.testing.assert_array_equal(packed.weights["fc.weight"], run.weights["fc.weight"])


def test_runs_in__finds_runs_of_a_format_from_outside(folder):
    (folder / "study" / "a").mkdir(parents=True)
    (folder / "step5.arrays").rename(folder / "study" / "a" / "step5.arrays")
    assert list(trajlab.runs_in(folder / "study", formats=[Arrays()])) == ["a"]
    assert not trajlab.runs_in(folder / "study")


def test_open__without_its_format_the_folder_holds_no_checkpoints(folder):
    with pytest.raises(MissingData, match="cannot find checkpoints"):
        trajlab.open(folder)


def test_open__a_format_never_runs_code_from_a_file(folder):
    save(folder / "step5.arrays", w=np.array([object()]))
    with pytest.raises(DamagedData, match="allow_pickle"):
        trajlab.open(folder, formats=[Arrays()])


def test_own_formats__are_the_modules_of_the_folder_safetensors_first():
    assert [one.__name__.rpartition(".")[2] for one in own_formats()] == [
        "safetensors", "distributed", "torch_files", "keras", "npz", "stable_baselines",
    ]  # fmt: skip
    suffixes = [suffix for one in own_formats() for suffix in one.SUFFIXES]
    assert len(set(suffixes)) == len(suffixes)
    assert format_of("step3.ckpt", own_formats()) is sys.modules["trajlab.runs.readers.formats.torch_files"]
    assert format_of("notes.txt", own_formats()) is None
