import ml_dtypes
import numpy as np
import pytest
import torch

from trajlab.runs.disk.element_types import DTYPES, widen, widened

SHORT = ["F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"]


@pytest.mark.parametrize("name", DTYPES)
def test_widened__short_floats_become_float32_and_all_else_stays(name):
    assert widened(DTYPES[name]) == (np.float32 if name in SHORT else DTYPES[name])


@pytest.mark.parametrize("name", SHORT)
def test_widen__every_bit_pattern_is_exact(name):
    """Against the conversion of torch."""
    dtype = DTYPES[name]
    bits = np.arange(1 << (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}")
    values = widen(bits.view(dtype))
    names = {"F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
    names |= {"F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu"}
    like = getattr(torch, names[name], None)
    if like is None:
        pytest.skip(f"this version of torch lacks {names[name]}")
    expected = torch.from_numpy(bits.view(f"i{dtype.itemsize}")).view(like).to(torch.float32).numpy()
    np.testing.assert_array_equal(values, expected)


def test_widen__copies_only_what_it_converts():
    values = np.ones(3, np.float32)
    assert widen(values) is values and widen(values.astype(ml_dtypes.bfloat16)).tolist() == [1, 1, 1]
    assert widen(np.array([True])).dtype == bool


def test_types__are_little_endian_on_any_machine():
    assert all(dtype.newbyteorder("<") == dtype for dtype in DTYPES.values())
