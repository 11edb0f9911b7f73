"""PyTorch checkpoints: where each tensor's bytes lie, or how to load them where they can not be mapped.

Files are unpickled with ``weights_only=True`` and nothing else. In the zip format tensors lie raw in the file: their
places are read, not their bytes. Files of the old format, and tensors that are not contiguous, are loaded when asked
for.
"""

import argparse
import pathlib
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from numbers import Integral
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar

from trajlab.errors import DamagedData
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.disk.rows import widen
from trajlab.runs.readers.safetensors import Entry, Header

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
"""Keys under which training scripts keep the weights beside other things."""

STEP_KEYS = ("global_step", "step", "iteration", "iter", "num_updates")
"""Keys under which they keep the step."""


INERT: list[Any] = [
    argparse.Namespace,
    pathlib.PosixPath,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in "?bhilqBHILQefdU"},
    *((of, f"numpy.{core}.multiarray.{of.__name__}") for of in (scalar, _reconstruct) for core in ("core", "_core")),
]
"""What scripts keep beside the weights as their settings and numbers; building it does nothing."""

ONE_AT_A_TIME = Lock()
"""What torch.load may build is a setting of the whole process."""


def read_torch(path: str) -> Header:
    """Read what a PyTorch checkpoint holds, without its tensors where the format allows.

    Raises
    ------
    DamagedData
        The file is cut off, would have to run code to be unpickled, or holds no weights.
    """
    with open_bytes(path) as file:
        mapped = zipfile.is_zipfile(file)
    content = _load(path, "meta")
    entries = {name: _entry(tensor, mapped) for name, tensor in _tensors(_weights(content, path))}
    return Header(entries, _step(content))


def load_tensor(path: str, name: str) -> np.ndarray:
    """Load one tensor of a checkpoint that can not be mapped."""
    tensor = dict(_tensors(_weights(_load(path, "cpu"), path)))[name].detach().contiguous()
    if tensor.is_meta:
        raise DamagedData(f"{name} was to be read from {path}; it was saved without its values. Save it again.")
    stored = _stored(tensor)
    raw = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    return widen(raw.view(stored)).reshape(tuple(tensor.shape))


def _load(path: str, device: str) -> Any:
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
            except NotImplementedError:  # tensors of a kind that can not be without values: sparse, quantized
                file.seek(0)
                return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DamagedData(
            f"{path} was to be read as weights only; {_reason(error)}. Unpickling it would run code that it brings: "
            "load it where you trust it, and save the state_dict alone with safetensors.torch.save_file or torch.save."
        ) from error
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # what unpickling damaged bytes raises has no end
        raise DamagedData(
            f"{path} was to be read as a PyTorch checkpoint; {(str(error) or repr(error)).splitlines()[0]}. "
            "It is damaged or was cut off while being written: restore it, or move it out of the folder."
        ) from error


def _entry(tensor: torch.Tensor, mapped: bool) -> Entry:
    offset = None
    stored = _stored(tensor)
    if mapped and tensor.is_contiguous():
        start = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
        offset = None if start is None else start + tensor.storage_offset() * stored.itemsize
    return Entry(tuple(tensor.shape), stored, offset)


def _stored(tensor: torch.Tensor) -> np.dtype:
    import ml_dtypes

    name = str(tensor.dtype).removeprefix("torch.")
    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)


def _tensors(weights: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in weights.items():
        if isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized:
            yield str(name), value


def _weights(content: Any, path: str) -> Mapping[str, Any]:
    """Find the state dict in what a checkpoint holds."""
    if isinstance(content, Mapping):
        for key in WRAPPERS:
            inner = content.get(key)
            if isinstance(inner, Mapping) and any(isinstance(value, torch.Tensor) for value in inner.values()):
                return inner
        if any(isinstance(value, torch.Tensor) for value in content.values()):
            return content
    found = f"keys {', '.join(map(str, list(content)[:6]))}" if isinstance(content, Mapping) else type(content).__name__
    raise DamagedData(
        f"weights were looked for in {path}; it holds {found or 'nothing'}. Save a state_dict, or one under one of the "
        f"keys {', '.join(WRAPPERS[:3])}."
    )


def _step(content: Any) -> dict[str, str]:
    if isinstance(content, Mapping):
        for key in STEP_KEYS:
            if isinstance(content.get(key), Integral):
                return {"step": str(int(content[key]))}
    return {}


def _reason(error: Exception) -> str:
    """Give the part of torch's message that names what is not allowed."""
    lines = [line.strip() for line in str(error).splitlines()]
    named = [line for line in lines if line.startswith(("WeightsUnpickler error", "Unsupported", "Please use"))]
    return (named or lines)[0].rstrip(".")
