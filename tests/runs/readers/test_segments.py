import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import trajlab
from trajlab.errors import DamagedData


def write(folder, first, rows, *, name="w", absent=None, file=None):
    target = folder / "gradients"
    target.mkdir(exist_ok=True)
    steps = list(range(first, first + len(rows) + len(absent or [])))
    metadata = {"rows": json.dumps({"steps": steps, "absent": {name: absent} if absent else {}})}
    save_file({name: rows}, target / (file or f"{steps[0]}-{steps[-1]}.safetensors"), metadata)


@pytest.fixture
def folder(checkpoints):
    return checkpoints({"w": np.zeros((1, 3, 2), np.float32)})


def test_segments__are_one_array_over_the_steps(folder, rng):
    rows = rng.standard_normal((7, 3, 2)).astype(np.float32)
    write(folder, 0, rows[:4])
    write(folder, 4, rows[4:])
    gradient = trajlab.open(folder).gradients["w"]
    assert gradient["step"].values.tolist() == list(range(7))
    np.testing.assert_array_equal(gradient.values, rows)


def test_segments__sampled_entries_know_where_they_belong(folder, rng):
    rows = rng.standard_normal((4, 2)).astype(np.float32)
    write(folder, 0, rows)
    save_file({"w": np.array([1, 5])}, folder / "gradients" / "indices.safetensors")
    gradient = trajlab.open(folder).gradients["w"]
    assert gradient.dims == ("step", "sample")
    assert gradient["index"].values.tolist() == [1, 5]
    assert gradient.attrs["shape"] == [3, 2]


def test_segments__a_parameter_without_a_gradient_at_some_steps(folder, rng):
    write(folder, 0, rng.standard_normal((3, 3, 2)).astype(np.float32), absent=[1, 2])
    assert trajlab.open(folder).gradients["w"]["step"].values.tolist() == [0, 3, 4]


def test_segments__a_step_recorded_twice_is_an_error(folder, rng):
    write(folder, 0, rng.standard_normal((4, 3, 2)).astype(np.float32))
    write(folder, 3, rng.standard_normal((4, 3, 2)).astype(np.float32))
    with pytest.raises(DamagedData, match=r"step 3: it is in 0-3\.safetensors and in 3-6\.safetensors"):
        trajlab.open(folder)


def test_segments__a_file_without_steps_is_named(folder):
    (folder / "gradients").mkdir()
    save_file({"w": np.zeros((2, 3, 2), np.float32)}, folder / "gradients" / "0-1.safetensors")
    with pytest.raises(DamagedData, match="not a segment of gradients"):
        trajlab.open(folder)


def test_segments__rows_that_do_not_fit_the_steps_are_named(folder):
    metadata = {"rows": '{"steps": [0, 1, 2], "absent": {}}'}
    (folder / "gradients").mkdir()
    save_file({"w": np.zeros((2, 3, 2), np.float32)}, folder / "gradients" / "0-2.safetensors", metadata)
    with pytest.raises(DamagedData, match="cannot read w .* 3 rows"):
        trajlab.open(folder)


@pytest.mark.parametrize("index", [[1, 6], [-1, 2], [2, 1], [1], [1, 2, 3]])
def test_segments__positions_that_do_not_fit_are_an_error(folder, index):
    write(folder, 0, np.zeros((2, 2), np.float32))
    save_file({"w": np.array(index)}, folder / "gradients" / "indices.safetensors")
    with pytest.raises(DamagedData, match="gradients of w"):
        trajlab.open(folder)


def test_segments__gradients_of_another_shape_are_an_error(folder):
    write(folder, 0, np.zeros((2, 2), np.float32))
    with pytest.raises(DamagedData, match=r"gradients of w .*shape \(3, 2\)"):
        trajlab.open(folder)
