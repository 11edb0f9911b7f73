"""Read files of torch.save without importing torch: tensors become their shapes and positions in the file.

Importing torch takes longer than reading the headers of hundreds of files. An unpickler that builds only dictionaries
and descriptions of dense tensors reads most files; torch reads all others.
"""

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import IO, Any, NamedTuple

import ml_dtypes
import numpy as np

STORAGES = {
    "Float": np.float32, "Double": np.float64, "Half": np.float16, "BFloat16": ml_dtypes.bfloat16, "Byte": np.uint8,
    "Char": np.int8, "Short": np.int16, "Int": np.int32, "Long": np.int64, "Bool": np.bool_,
    "ComplexFloat": np.complex64, "ComplexDouble": np.complex128,
}  # fmt: skip
"""Element types by the names of torch's storages, such as FloatStorage."""

MOST_BYTES = 50_000_000
"""Largest size in bytes of a pickle that is read here."""

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Header before each file of a zip archive: signature, and the lengths of the name and of the extra field."""


class Unknown(Exception):
    """The file holds objects that only torch reads, or is damaged, which torch reports better."""


class Sealed:
    """Object that a pickle can name or build, and cannot change: the opcode BUILD would set any attribute."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise Unknown


class Builder(Sealed):
    """A function that a pickle can call."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[..., Any]):
        self.build = build

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self.build(*arguments)


class StorageType(Sealed):
    """A type of storage that a pickle can name."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype)


@dataclass(frozen=True)
class StoredTensor(Sealed):
    """A dense tensor in a file.

    Attributes
    ----------
    dtype, shape
        Element type and shape.
    position
        Position of the first byte in the file.
    is_contiguous
        Whether the values lie in C order.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    position: int
    is_contiguous: bool

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    def is_floating_point(self) -> bool:
        """Return whether the values are real floats; those of ml_dtypes have the kind V."""
        return self.dtype.kind in "fV"

    def is_complex(self) -> bool:
        """Return whether the values are complex numbers."""
        return self.dtype.kind == "c"

    is_quantized = False


class _Storage(NamedTuple):
    dtype: np.dtype
    position: int
    numel: int


def read_content(file: IO[bytes]) -> Any:
    """Return what a file of the zip format holds, with a `StoredTensor` for each tensor.

    Parameters
    ----------
    file
        The open file.

    Raises
    ------
    Unknown
        Only torch can read the file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            pickled = [info for info in archive.infolist() if info.filename.endswith("data.pkl")]
            if len(pickled) != 1 or pickled[0].file_size > MOST_BYTES:
                raise Unknown
            root = pickled[0].filename.removesuffix("data.pkl")
            names = set(archive.namelist())
            if f"{root}constants.pkl" in names:
                raise Unknown
            if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
                raise Unknown
            return _Unpickler(archive, root, archive.open(pickled[0])).load()
    except Unknown:
        raise
    except Exception as error:  # damaged bytes can raise anything
        raise Unknown from error


class _Unpickler(pickle.Unpickler):
    """Unpickler of dictionaries, lists, numbers, texts and descriptions of tensors; it refuses other objects."""

    def __init__(self, archive: zipfile.ZipFile, root: str, file: IO[bytes]):
        super().__init__(file)
        self._archive, self._root = archive, root
        self._storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return an object of `BUILT`."""
        built = BUILT.get((module, name))
        if built is None:
            raise Unknown
        return built

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the type, position and length of a storage."""
        kind, storage_type, key, _, count = pid
        if kind != "storage" or not isinstance(storage_type, StorageType) or not isinstance(key, str):
            raise Unknown
        dtype = storage_type.dtype
        if key not in self._storages:
            info = self._archive.getinfo(f"{self._root}data/{key}")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != count * dtype.itemsize:
                raise Unknown
            self._storages[key] = _Storage(dtype, self._position(info), count)
        storage = self._storages[key]
        if (storage.dtype, storage.numel) != (dtype, count):
            raise Unknown
        return storage

    def _position(self, info: zipfile.ZipInfo) -> int:
        """Return the position of the first byte of a file of the archive."""
        file = self._archive.fp
        assert file is not None
        file.seek(info.header_offset)
        signature, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise Unknown
        return info.header_offset + LOCAL_HEADER.size + name + extra


def _rebuilt(storage: Any, offset: Any, shape: Any, strides: Any, *others: Any) -> StoredTensor:
    """Describe the view of a storage that ``torch._utils._rebuild_tensor_v2`` would build."""
    _, _, *metadata = others
    if any(metadata):
        raise Unknown  # a conjugate or negative view
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise Unknown
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise Unknown
    reach = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1 if all(shape) else 0
    if offset + reach > storage.numel:
        raise Unknown
    expected = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    is_contiguous = not all(shape) or all(
        size == 1 or stride == c for size, stride, c in zip(shape, strides, expected, strict=True)
    )
    return StoredTensor(storage.dtype, tuple(shape), storage.position + offset * storage.dtype.itemsize, is_contiguous)


def _parameter(tensor: Any, *others: Any) -> StoredTensor:
    if not isinstance(tensor, StoredTensor):
        raise Unknown
    return tensor


BUILT: dict[tuple[str, str], Sealed | type] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): Builder(_rebuilt),
    ("torch._utils", "_rebuild_parameter"): Builder(_parameter),
    **{("torch", f"{name}Storage"): StorageType(dtype) for name, dtype in STORAGES.items()},
}
"""All objects that a file can name; none runs code, reads or writes."""
