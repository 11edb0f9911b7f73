"""Element types of tensors on disk, and the types that they are read as."""

import ml_dtypes
import numpy as np

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "F8_E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "C64": np.dtype("<c8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""Element types by their safetensors name."""


def widened(stored: np.dtype) -> np.dtype:
    """Return the element type that values are read as: float32 for shorter floats, else the stored type.

    >>> widened(np.dtype(ml_dtypes.bfloat16))
    dtype('float32')
    """
    small_float = stored.itemsize < 4 and (stored.kind == "f" or stored.name.startswith(("bfloat", "float")))
    return np.dtype("<f4") if small_float else stored


def widen(values: np.ndarray) -> np.ndarray:
    """Convert values to the type that `widened` returns; exact, and without a copy where the type stays."""
    if values.dtype == ml_dtypes.bfloat16:
        bits = values.view(np.uint16).astype(np.uint32)
        return np.left_shift(bits, 16, out=bits).view(np.float32)
    return values.astype(widened(values.dtype), copy=False)
