import numpy as np
import pytest
import torch

from trajlab.replays.dtypes import Arrays, array_type, as_array, as_input


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, np.float32), (torch.float16, np.float32), (torch.float8_e4m3fn, np.float32),
        (torch.float64, np.float64), (torch.int8, np.int8), (torch.bool, np.bool_), (torch.complex64, np.complex64),
    ],
)  # fmt: skip
def test_as_array__widens_short_floats_exactly(dtype, expected):
    values = torch.tensor([0.0, 1.0, 1.0]).to(dtype)
    array = as_array(values)
    assert array.dtype == array_type(dtype) == expected
    assert array.tolist() == [0, 1, 1]


def test_as_array__shares_memory_where_it_can():
    values = torch.zeros(3, requires_grad=True)
    assert np.shares_memory(as_array(values), values.detach().numpy())


def test_as_input__takes_the_type_of_the_networks_floats():
    types = [torch.int64, torch.float16, torch.float32]
    assert as_input(torch.zeros(2), types).dtype == torch.float16
    assert as_input(torch.zeros(2).long(), types).dtype == torch.int64
    assert as_input(torch.zeros(2).double(), [torch.int64]).dtype == torch.float64


def test_arrays__are_read_by_name():
    arrays = Arrays({"w": torch.ones(2, dtype=torch.bfloat16), "b": torch.zeros(1)})
    assert list(arrays) == ["w", "b"] and len(arrays) == 2 and arrays["w"].dtype == np.float32
