"""`.metadata` of torch.distributed.checkpoint, read without running code: where the shards of each tensor lie."""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trajlab.errors import MissingData
from trajlab.runs.disk.paths import reason

if TYPE_CHECKING:
    import torch

RECORDS = {
    "torch.distributed.checkpoint.metadata": (
        "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata", "TensorProperties",
        "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
    ),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo", "_StoragePrefix"),
    "torch.distributed._shard.sharded_tensor.metadata": ("TensorProperties", "MEM_FORMAT_ENCODING"),
    "torch.distributed._shard.metadata": ("ShardMetadata",),
}  # fmt: skip
"""Classes of torch, by module, in whose place records of their fields are built."""

INERT = {("collections", "OrderedDict"): OrderedDict, ("builtins", "set"): set, ("builtins", "frozenset"): frozenset}
BUILTINS = ("builtins", "__builtin__")
"""Module of the built-in functions, and its name in pickles of protocol 2 and below."""

PATHS = {"PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"}

Span = tuple[str, int, int]
"""A file, the position of the first byte in it, and the number of bytes."""


class _Record:
    """Fields of an object in a pickle, as data: arguments of its class, and its state."""

    def __init__(self, *args: Any):
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.args, self.state = (), state

    def field(self, name: str, default: Any = None) -> Any:
        """Return a field of the state by its name."""
        return self.state.get(name, default) if isinstance(self.state, dict) else default


class _Unpickler(pickle.Unpickler):
    """Unpickler that builds records, element types and containers, and refuses everything else.

    The classes are made anew for each file, so that a pickle that sets their attributes changes nothing outside.
    """

    def __init__(self, file: io.BytesIO):
        super().__init__(file)
        self._records = {
            (module, name): type(name, (_Record,), {}) for module, names in RECORDS.items() for name in names
        }

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function that the pickle names."""
        import torch

        if (module, name) in self._records:
            return self._records[module, name]
        if (module, name) in INERT:
            return INERT[module, name]
        if module in BUILTINS and name == "getattr":
            return _member
        if module == "torch" and name == "Size":
            return torch.Size
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype | torch.layout):
            return getattr(torch, name)
        if (module, name) == ("torch.serialization", "_get_layout") or (module.startswith("pathlib") and name in PATHS):
            return lambda *args: args
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not a part of such a file and is not run")

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to other files."""
        raise pickle.UnpicklingError("it refers to objects in other files")


def _member(record: Any, name: Any) -> _Record:
    """Return a member of an enumeration, which early versions of Python 3.11 pickle as an attribute of its class."""
    if isinstance(record, type) and issubclass(record, _Record) and isinstance(name, str):
        return record(name)
    raise pickle.UnpicklingError("it names an attribute of what is no enumeration, which is not run")


@dataclass(frozen=True)
class Shards:
    """What the file says of each tensor and object.

    Parameters
    ----------
    tensors
        Shape and torch dtype of each tensor by name.
    spans
        Where the shards of each tensor lie, by their offsets in it, with the names of transforms of their bytes.
    chunks
        Offsets and sizes of the shards of each tensor.
    objects
        Where each object that is no tensor lies.
    paths
        Path of each tensor and object in the nested state.
    """

    tensors: "dict[str, tuple[tuple[int, ...], torch.dtype]]"
    spans: dict[str, list[tuple[tuple[int, ...], int, Span, tuple[str, ...]]]]
    chunks: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]
    objects: dict[str, Span]
    paths: dict[str, tuple[str, ...]]

    def files(self) -> dict[str, int]:
        """Return the files of the shards, each with the byte up to which tensors lie in it."""
        stops: dict[str, int] = {}
        spans = [span for shards in self.spans.values() for _, _, span, _ in shards]
        for file, start, length in (*spans, *self.objects.values()):
            stops[file] = max(stops.get(file, 0), start + length)
        return stops

    def metadata_of(self, name: str) -> Any:
        """Return the metadata of one tensor in the form that torch.distributed.checkpoint reads.

        Raises
        ------
        MissingData
            The shards were written with extensions, such as compression, that this version of PyTorch cannot read.
        """
        import torch
        from torch.distributed.checkpoint.filesystem import _StorageInfo
        from torch.distributed.checkpoint.metadata import (
            ChunkStorageMetadata,
            Metadata,
            MetadataIndex,
            StorageMeta,
            TensorProperties,
            TensorStorageMetadata,
        )

        shape, dtype = self.tensors[name]
        chunks = [ChunkStorageMetadata(torch.Size(at), torch.Size(sizes)) for at, sizes in self.chunks[name]]
        tensor = TensorStorageMetadata(TensorProperties(dtype=dtype), torch.Size(shape), chunks)
        changed = any(transforms for _, _, _, transforms in self.spans[name])
        if changed and "transform_descriptors" not in _StorageInfo.__dataclass_fields__:
            raise MissingData(
                f"cannot read {name} with PyTorch {torch.__version__}: its shards were written with extensions; "
                "install a newer version of PyTorch"
            )
        storage = {
            MetadataIndex(name, torch.Size(at), index): _StorageInfo(*span, *([transforms] if transforms else []))
            for at, index, span, transforms in self.spans[name]
        }
        return Metadata({name: tensor}, storage_data=storage, storage_meta=StorageMeta())


def read_shards(raw: bytes) -> Shards:
    """Read the bytes of `.metadata`.

    Raises
    ------
    ValueError
        They are no such file, or name anything else than its own classes.
    """
    try:
        metadata = _Unpickler(io.BytesIO(raw)).load()
        return _shards(metadata)
    except ValueError:
        raise
    except Exception as error:  # damaged bytes can raise anything
        raise ValueError(reason(error)) from error


def _shards(metadata: Any) -> Shards:
    if not _is(metadata, "Metadata"):
        raise ValueError(f"it holds a {type(metadata).__name__}, not Metadata")
    described, storage = metadata.field("state_dict_metadata"), metadata.field("storage_data")
    planner = metadata.field("planner_data")
    if not isinstance(described, dict) or not isinstance(storage, dict):
        raise ValueError("it has no state_dict_metadata or no storage_data")
    shards = Shards({}, {}, {}, {}, {})
    for name, value in described.items():
        if not isinstance(name, str):
            raise ValueError(f"it has the name {name!r}")
        shards.paths[name] = _path(name, planner)
        if _is(value, "TensorStorageMetadata"):
            shards.tensors[name] = _shape(value.field("size")), _dtype(value.field("properties"))
            shards.chunks[name] = [
                (_shape(chunk.field("offsets")), _shape(chunk.field("sizes"))) for chunk in value.field("chunks", ())
            ]
            shards.spans[name] = []
    for index, info in storage.items():
        name = index.field("fqn")
        if name not in described:
            raise ValueError(f"it stores {name!r}, which it does not describe")
        span = _span(info)
        if name in shards.tensors:
            offset = index.field("offset")
            transforms = tuple(map(str, info.field("transform_descriptors") or ()))
            at = _shape(offset) if offset is not None else (0,) * len(shards.tensors[name][0])
            shards.spans[name].append((at, len(shards.spans[name]), span, transforms))
        else:
            shards.objects[name] = span
    for name, spans in shards.spans.items():
        if {at for at, *_ in spans} != {at for at, _ in shards.chunks[name]}:
            raise ValueError(f"it lacks shards of {name!r}")
        _check_cover(name, shards)
    return shards


def _check_cover(name: str, shards: Shards) -> None:
    """Raise ValueError if the shards of a tensor lie outside it, or have another number of entries together."""
    shape = shards.tensors[name][0]
    entries = 0
    for at, sizes in shards.chunks[name]:
        inside = len(at) == len(sizes) == len(shape)
        if not inside or any(a + n > length for a, n, length in zip(at, sizes, shape, strict=True)):
            raise ValueError(f"a shard of {name!r} lies outside of its shape {shape}")
        entries += _product(sizes)
    if entries != _product(shape):
        raise ValueError(f"the shards of {name!r} have {entries} entries, its shape {shape} has {_product(shape)}")


def _product(sizes: tuple[int, ...]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _Record) and type(value).__name__ == name


def _path(name: str, planner: Any) -> tuple[str, ...]:
    """Return the path of a tensor in the nested state, as its planner flattened it; else the parts of its name."""
    path = planner.get(name) if isinstance(planner, Mapping) else None
    if isinstance(path, tuple | list) and path and all(isinstance(part, str | int) for part in path):
        return tuple(map(str, path))
    return (name,)


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or not all(type(n) is int and 0 <= n < 1 << 63 for n in value):
        raise ValueError(f"it has {value!r:.100} where a shape should be")
    return tuple(value)


def _dtype(properties: Any) -> "torch.dtype":
    import torch

    state = getattr(properties, "state", None)
    dtype = state[0] if isinstance(state, tuple) and state else state.get("dtype") if isinstance(state, dict) else None
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"it has {dtype!r:.100} where an element type should be")
    return dtype


def _span(info: Any) -> Span:
    file, offset, length = info.field("relative_path"), info.field("offset"), info.field("length")
    if not isinstance(file, str) or not file or file.startswith(".") or "/" in file or "\\" in file:
        raise ValueError(f"it has {file!r:.100} where the name of a file beside it should be")
    _shape((offset, length))
    return file, offset, length
