"""PyTorch checkpoints: where each tensor's bytes lie, or how to load them where they cannot be mapped.

Files are unpickled with ``weights_only=True`` and never otherwise. In the zip format tensors lie raw in the file: their
positions are read, not their bytes. Files of the old format, and tensors that are not contiguous, are loaded on
demand.
"""

import argparse
import pathlib
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy._core.multiarray import _reconstruct, scalar

from trajlab.errors import DamagedData
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.readers.counters import counters_of
from trajlab.runs.readers.formats import Entry, Header

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")

WEIGHT_KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
"""Keys under which training scripts store the weights beside other things."""

INERT: list[Any] = [
    argparse.Namespace,
    pathlib.PosixPath,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in "?bhilqBHILQefdU"},
    *((of, f"numpy.{core}.multiarray.{of.__name__}") for of in (scalar, _reconstruct) for core in ("core", "_core")),
]
"""Types of the settings and numbers that scripts store beside the weights; building them has no side effect."""

ONE_AT_A_TIME = Lock()
"""The types that torch.load may build are a setting of the whole process."""


def read_header(path: str, cache: dict[Any, Any] | None = None) -> Header:
    """Read what a PyTorch checkpoint holds, without its tensors where the format allows.

    Raises
    ------
    DamagedData
        The file is cut off, holds no weights, or could only be unpickled by running code.
    """
    with open_bytes(path) as file:
        mapped = zipfile.is_zipfile(file)
    content = _load(path, "meta")
    entries = {name: _entry(tensor, mapped) for name, tensor in _tensors(_weights(content, path))}
    return Header(entries, counters_of(content), load_tensor, in_network_order=True)


def load_tensor(path: str, name: str) -> np.ndarray:
    """Load one tensor of a checkpoint that cannot be mapped."""
    from torch import uint8

    tensor = dict(_tensors(_weights(_load(path, "cpu"), path)))[name].detach().contiguous()
    if tensor.is_meta:
        raise DamagedData(f"cannot read {name} of {path}: it was saved without its values; save it again")
    raw = tensor.reshape(-1).view(uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    return raw.view(_stored(tensor)).reshape(tuple(tensor.shape))


def _load(path: str, device: str) -> Any:
    import torch

    try:
        with (
            open_bytes(path) as file,
            ONE_AT_A_TIME,
            warnings.catch_warnings(),
            torch.serialization.safe_globals(INERT),
        ):
            warnings.simplefilter("ignore", UserWarning)
            try:
                return torch.load(file, map_location=device, weights_only=True)
            except NotImplementedError:  # sparse and quantized tensors do not exist on the meta device
                file.seek(0)
                return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DamagedData(
            f"cannot read {path} as weights only: {_reason(error)}; unpickling it would run code from the file, so "
            "load it where you trust it and save the state_dict alone with safetensors.torch.save_file or torch.save"
        ) from error
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # damaged bytes can raise anything
        raise DamagedData(
            f"cannot read {path} as a PyTorch checkpoint: {(str(error) or repr(error)).splitlines()[0]}; it is damaged "
            "or was cut off while being written, so restore it or move it out of the folder"
        ) from error


def _entry(tensor: "Tensor", mapped: bool) -> Entry:
    offset = None
    stored = _stored(tensor)
    if mapped and tensor.is_contiguous():
        start = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
        offset = None if start is None else start + tensor.storage_offset() * stored.itemsize
    return Entry(tuple(tensor.shape), stored, offset)


def _stored(tensor: "Tensor") -> np.dtype:
    import ml_dtypes

    name = str(tensor.dtype).removeprefix("torch.")
    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)


def _tensors(weights: Mapping[str, Any]) -> Iterator[tuple[str, "Tensor"]]:
    from torch import Tensor, strided

    for name, value in weights.items():
        if isinstance(value, Tensor) and value.layout == strided and not value.is_quantized:
            yield str(name), value


def _weights(content: Any, path: str) -> Mapping[str, Any]:
    """Find the state dict in the content of a checkpoint."""
    from torch import Tensor

    if isinstance(content, Mapping):
        for key in WEIGHT_KEYS:
            inner = content.get(key)
            if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
                return inner
        if any(isinstance(value, Tensor) for value in content.values()):
            return content
        kind = f"the keys {', '.join(map(str, list(content)[:6]))}" if content else "nothing"
    else:
        kind = f"a {type(content).__name__}"
    raise DamagedData(
        f"cannot find weights in {path}: it holds {kind}; save a state_dict, or one under one of the keys "
        f"{', '.join(WEIGHT_KEYS[:3])}"
    )


def _reason(error: Exception) -> str:
    """Return the part of torch's message that names what is not allowed."""
    lines = [line.strip() for line in str(error).splitlines()]
    specific = [line for line in lines if line.startswith(("WeightsUnpickler error", "Unsupported", "Please use"))]
    return (specific or lines)[0].rstrip(".")
