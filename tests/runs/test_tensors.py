import numpy as np
import pytest

from trajlab.errors import MissingData
from trajlab.runs.tensors import (
    Series,
    Tensors,
    attributes_of,
    common_steps,
    common_type,
    dims_of,
    natural,
    widest,
)


def series(*shape, steps=3, **more):
    return Series(np.arange(steps), np.zeros((steps, *shape)), shape, **more)


@pytest.mark.parametrize(
    ("shape", "dims"),
    [((), ()), ((2,), ("out",)), ((2, 3), ("out", "in")), ((2, 3, 4), ("out", "in", "x")),
     ((2, 3, 4, 5), ("out", "in", "y", "x")), ((2, 3, 4, 5, 6), ("out", "in", "z", "y", "x")),
     ((1,) * 6, tuple(f"dim_{i}" for i in range(6)))],
)  # fmt: skip
def test_dims_of__name_the_axes(shape, dims):
    assert dims_of(series(*shape)) == ("step", *dims)
    assert dims_of(Series(np.arange(1), np.zeros((1, 2)), (9, 9), np.array([3, 5]))) == ("step", "sample")


def test_tensors__become_arrays_once_and_keep_their_order():
    tensors = Tensors(
        {"b": series(2), "a": series(3)}, lambda name: {"kind": name.upper()}, {"gone": "its shape changes"}
    )
    assert list(tensors) == ["b", "a"] and tensors["b"] is tensors["b"]
    assert tensors["a"].attrs == {"shape": [3], "stored_dtype": "float64", "kind": "A"}
    with pytest.raises(MissingData, match="gone as one array: its shape changes"):
        tensors["gone"]
    with pytest.raises(KeyError, match="^cannot find the tensor 'aa': name one of 2, such as a"):
        tensors["aa"]
    with pytest.raises(MissingData, match="such as b, a$"):
        tensors["nothing"]
    with pytest.raises(KeyError, match="there are none$"):
        Tensors({})["a"]
    assert tensors.get("nothing") is None and "nothing" not in tensors
    assert tensors.steps.tolist() == [0, 1, 2] and Tensors({}).steps.tolist() == []


def test_series__of_several_types_name_each():
    types = np.array([np.dtype("f4"), np.dtype("f2"), np.dtype("f4")], object)
    mixed = series(2, origin=np.dtype("f4"), types=types)
    assert mixed.type_names == "float32, float16" and mixed.stored_at(1) == np.float16 and mixed.stored == np.float32


def test_natural__sorts_numbers_by_size_and_before_letters():
    names = ["b10", "b9", "b", "a", "b9.x", "b09", "10", "9"]
    assert sorted(names, key=natural) == ["9", "10", "a", "b", "b9", "b09", "b9.x", "b10"]


@pytest.mark.parametrize(
    ("types", "expected"),
    [(["f2", "f4"], "f4"), (["f2", "f2"], "f4"), (["i1", "i8"], "i8"), (["f4", "i4"], None), (["c8", "f4"], None)],
)
def test_common_type__holds_all_values_exactly(types, expected):
    assert common_type([np.dtype(name) for name in types]) == (None if expected is None else np.dtype(expected))


def test_common_steps_and_widest():
    assert common_steps([]).tolist() == [] and common_steps([np.array([1, 2]), np.array([3])]).tolist() == []
    assert widest([np.dtype("f2"), np.dtype("i2"), np.dtype("f4")]) == np.float32
    attributes = attributes_of({"modules": {"fc": "Linear"}}, {"fc.weight": series(2, 3)})
    assert attributes("fc.weight")["module"] == "fc" and attributes("fc.weight")["kind"] == "linear"
