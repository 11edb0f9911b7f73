"""Folders of torch.distributed.checkpoint: `.metadata`, and shards of tensors in `.distcp` files.

`.metadata` is a pickle. It is read with an unpickler that builds nothing but records of its fields; tensors are loaded
by torch.distributed.checkpoint, which reads them with ``weights_only=True``.
"""

import io
import math
import os
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.paths import is_url, reason
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.disk.zip_members import Part
from trajlab.runs.readers.counters import COUNTERS, as_count
from trajlab.runs.readers.distributed_metadata import Shards, read_shards
from trajlab.runs.readers.formats import Header
from trajlab.runs.readers.state_dicts import find_networks
from trajlab.runs.readers.torch_loading import ONE_AT_A_TIME, header_of, load_weights_only, stored_type

SUFFIXES = (".metadata",)

MOST_OVERHEAD = 65_536
"""Most bytes that torch.save adds to those of a tensor."""

LONGEST_COUNTER = 65_536
"""Most bytes of an object beside the tensors that is read as a counter."""

LONGEST_SETTING = 64 << 20
"""Most bytes of a setting of an optimizer, such as the names of its parameters."""


def read_header(path: str, cache: dict[Any, Any] | None = None) -> Header:
    """Read which tensors a folder of torch.distributed.checkpoint holds.

    Parameters
    ----------
    path
        Its file `.metadata`.
    cache
        Not used.

    Raises
    ------
    DamagedData
        The file is damaged, names anything but tensors and their shards, or a shard is missing.
    """
    shards = _shards(path)
    _check_files(path, shards)
    _check_sizes(path, shards)
    try:
        content = find_networks(_nested(shards))
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return header_of(content, load_tensor, metadata=_counters(path, shards))


def load_tensor(path: str, name: str) -> np.ndarray:
    """Load one tensor from its shards."""
    import torch
    from torch.distributed.checkpoint import DefaultLoadPlanner, FileSystemReader
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

    shards = _shards(path)
    stored = next((stored for stored in shards.tensors if ".".join(shards.paths[stored]) == name), None)
    if stored is None:
        raise _damaged(path, f"it no longer holds {name}")
    metadata = shards.metadata_of(stored)
    reader_class: Any = FsspecReader if is_url(path) else FileSystemReader

    class Reader(reader_class):
        """Reader of shards that are known; it never reads `.metadata`, which it would unpickle."""

        def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
            return metadata

    class Planner(DefaultLoadPlanner):
        """Planner that loads tensors only."""

        def load_bytes(self, *args: Any) -> None:
            raise ValueError("it has an object where a tensor should be")

    size, dtype = shards.tensors[stored]
    _check_stored(path, name, shards, stored)
    try:
        tensor = torch.empty(size, dtype=dtype)
        with ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            planner = Planner(flatten_state_dict=False, flatten_sharded_tensors=False)
            _load_state_dict({stored: tensor}, Reader(_folder(path)), planner=planner, no_dist=True)
    except CheckpointException as error:  # it is no Exception
        first = next(iter(error.failures.values()))[0]
        raise _damaged(path, f"{name}: {reason(first)}") from error
    except Exception as error:  # damaged bytes can raise anything
        raise _damaged(path, f"{name}: {reason(error)}") from error
    raw = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    return raw.view(stored_type(dtype)).reshape(tuple(tensor.shape))


def optimizer_content(path: str) -> tuple[Mapping[str, Any], dict[int, str]]:
    """Return the nested state of a folder with the settings and counts of optimizers, and all else on the meta device.

    Parameters
    ----------
    path
        Its file `.metadata`.

    Returns
    -------
    content
        Nested mappings.
    names
        Name of each tensor for `load_tensor`, by its id.
    """
    import torch

    shards = _shards(path)
    content = _nested(shards)
    names = {}
    for name, parts in shards.paths.items():
        node: Any = content
        for part in parts[:-1]:
            node = node[part]
        if name in shards.objects and "param_groups" in parts and shards.objects[name][2] <= LONGEST_SETTING:
            file, start, length = shards.objects[name]
            with open_bytes(f"{_folder(path)}/{file}") as shard:
                shard.seek(start)
                node[parts[-1]] = load_weights_only(io.BytesIO(shard.read(length)), f"{path} ({name})", "cpu")
        elif name in shards.tensors and parts[-1] == "step" and shards.tensors[name][0] in ((), (1,)):
            node[parts[-1]] = torch.from_numpy(load_tensor(path, ".".join(parts)).astype(np.float64))
        elif name in shards.tensors:
            names[id(node[parts[-1]])] = ".".join(parts)
    return content, names


def _shards(path: str) -> Shards:
    """Read `.metadata`, once for all tensors of a local folder."""
    try:
        if is_url(path):
            with open_bytes(path) as file:
                return read_shards(file.read())
        status = os.stat(path)
        return _local_shards(path, status.st_mtime_ns, status.st_size)
    except ValueError as error:
        raise _damaged(path, str(error)) from error


@lru_cache(maxsize=64)
def _local_shards(path: str, changed: int, size: int) -> Shards:
    with open_bytes(path) as file:
        return read_shards(file.read())


def _check_files(path: str, shards: Shards) -> None:
    """Raise DamagedData if a shard is missing or ends before a tensor does."""
    if is_url(path):
        return
    for file, stop in shards.files().items():
        shard = os.path.join(_folder(path), file)
        if not os.path.isfile(shard):
            raise _damaged(path, f"its shard {file} is missing")
        if os.path.getsize(shard) < stop:
            raise _damaged(path, f"its shard {file} ends at byte {os.path.getsize(shard)}, tensors in it at {stop}")


def _check_sizes(path: str, shards: Shards) -> None:
    """Raise DamagedData if the bytes of a shard are fewer than its element type and shape take, or many more."""
    for name, spans in shards.spans.items():
        itemsize, sizes = shards.tensors[name][1].itemsize, dict(shards.chunks[name])
        for at, _, (file, _, length), transforms in spans:
            expected = math.prod(sizes[at]) * itemsize
            if not transforms and not expected <= length <= expected + MOST_OVERHEAD:
                raise _damaged(
                    path,
                    f"its shard of {name!r:.100} in {file} has {length:,} bytes, its type and shape take {expected:,}",
                )


def _check_stored(path: str, name: str, shards: Shards, stored: str) -> None:
    """Raise DamagedData if shards hold another element type, or another shape, than `.metadata` says."""
    dtype, sizes = shards.tensors[stored][1], dict(shards.chunks[stored])
    for at, _, (file, start, length), transforms in shards.spans[stored]:
        if transforms:
            continue
        with open_bytes(f"{_folder(path)}/{file}") as opened:
            part: Any = Part(opened, start, length)
            tensor = load_weights_only(part, f"{_folder(path)}/{file}", "meta")
        if getattr(tensor, "dtype", None) != dtype or tuple(tensor.shape) != sizes[at]:
            is_what = f"{tensor.dtype} {tuple(tensor.shape)}" if hasattr(tensor, "dtype") else type(tensor).__name__
            raise _damaged(path, f"its shard of {name} in {file} is {is_what}, it says {dtype} {sizes[at]}")


def _nested(shards: Shards) -> Mapping[str, Any]:
    """Return the tensors as nested mappings, on the meta device, with marks of objects that are no tensors."""
    import torch

    content: dict[str, Any] = {}
    for name, path in shards.paths.items():
        node = content
        for part in path[:-1]:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ValueError(f"it has {name!r} below a tensor")
            node = inner
        if path[-1] in node:
            raise ValueError(f"it has two tensors named {'.'.join(path)!r}")
        tensor = shards.tensors.get(name)
        node[path[-1]] = None if tensor is None else torch.empty(tensor[0], dtype=tensor[1], device="meta")
    return content


def _counters(path: str, shards: Shards) -> dict[str, str]:
    """Return the counters of training among the objects beside the tensors."""
    counters = {}
    for name, (file, start, length) in shards.objects.items():
        *parents, last = shards.paths[name]
        if last not in COUNTERS or "param_groups" in parents or "state" in parents or length > LONGEST_COUNTER:
            continue
        with open_bytes(f"{_folder(path)}/{file}") as shard:
            shard.seek(start)
            count = as_count(load_weights_only(io.BytesIO(shard.read(length)), f"{path} ({name})", "cpu"))
        if count is not None:
            counters[".".join((*parents, last))] = str(count)
    return counters


def _folder(path: str) -> str:
    return path.rpartition("/")[0] if is_url(path) else str(PurePosixPath(path).parent)


def _damaged(path: str, reason: str) -> DamagedData:
    return DamagedData(
        f"cannot read {path} of torch.distributed.checkpoint: {reason}; it is damaged or was cut off while being "
        "written, so restore the folder or move it away"
    )
