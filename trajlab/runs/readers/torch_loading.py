"""Loading what torch.save wrote without running code, and the headers of what was loaded."""

import argparse
import pathlib
import re
import warnings
from collections.abc import Callable, Mapping
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy._core.multiarray import _reconstruct, scalar

from trajlab.errors import DamagedData
from trajlab.runs.disk.paths import reason
from trajlab.runs.readers.formats import Entry, Header
from trajlab.runs.readers.pickled_modules import describe_objects, describe_pickle
from trajlab.runs.readers.state_dicts import Content
from trajlab.runs.readers.torch_zip import StoredTensor

if TYPE_CHECKING:
    from torch import Tensor

REMEDY = (
    "it is no such file, is damaged, or was cut off while being written, so restore it or move it out of the folder"
)
"""What to do about a file that is no PyTorch checkpoint."""

INERT: list[Any] = [
    argparse.Namespace,
    pathlib.PosixPath,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in "?bhilqBHILQefdU"},
    *((of, f"numpy.{core}.multiarray.{of.__name__}") for of in (scalar, _reconstruct) for core in ("core", "_core")),
]
"""Types of the settings and numbers that scripts store beside the weights; building them has no side effect."""

ADVICE = re.compile(
    r"\(1\)|weights_only|WeightsUnpickler error|Weights only load failed|This file can still be loaded|Please "
)
"""Where torch's messages begin to advise how to run the code of a file."""

FORBIDDEN = re.compile(r"(?:GLOBAL|[Uu]nsupported class|[Uu]nsupported global:?) ([\w.]+\.[\w.]+)")
"""Names of objects that torch's messages say it does not load."""

ONE_AT_A_TIME = Lock()
"""The types that torch.load may build are a setting of the whole process."""


def load_weights_only(file: IO[bytes], path: str, device: str) -> Any:
    """Load what torch.save wrote, with ``weights_only=True``.

    Parameters
    ----------
    file
        The open file, or the part of one.
    path
        Its path, for errors.
    device
        "meta" for shapes and positions alone, "cpu" for the values.

    Raises
    ------
    DamagedData
        The file is damaged, or could only be unpickled by running code.
    """
    import torch

    try:
        with ONE_AT_A_TIME, warnings.catch_warnings(), torch.serialization.safe_globals(INERT):
            warnings.simplefilter("ignore")
            try:
                return _load(file, device)
            except NotImplementedError:  # sparse and quantized tensors do not exist on the meta device
                return _load(file, "cpu")
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # damaged bytes can raise anything
        forbidden = FORBIDDEN.findall(str(error))
        if description := describe_pickle(file) or describe_objects(forbidden):
            raise DamagedData(f"cannot read {path} as weights only: {description}") from error
        raise DamagedData(f"cannot read {path} as a PyTorch checkpoint: {_own_words(error)}; {REMEDY}") from error


def _load(file: IO[bytes], device: str) -> Any:
    import torch

    file.seek(0)
    try:
        return torch.load(file, map_location=device, weights_only=True)
    except Exception:
        # Sparse tensors of a load that failed stay on torch's list of those to validate, and fail the next load.
        pending = getattr(torch._utils, "_get_sparse_tensors_to_validate", None)
        (pending() if pending else torch._utils._sparse_tensors_to_validate).clear()  # type: ignore[attr-defined]
        raise


def header_of(
    content: Content,
    load: Callable[[str, str], np.ndarray],
    *,
    metadata: Mapping[str, str] | None = None,
    start: int | None = None,
) -> Header:
    """Return the header of a file with what it holds.

    Parameters
    ----------
    content
        The networks of the file, on the meta device where its tensors lie raw in it.
    load
        Function of a path and a name that reads a tensor which has no offset.
    metadata
        Notes of the file.
    start
        Position in the file from which the offsets of tensors count; None if its tensors cannot be mapped.
    """
    entries, left_out = {}, {}
    for key, tensors in content.networks.items():
        for name, tensor in tensors.items():
            full = f"{key}.{name}" if key else name
            if reason := _unreadable(tensor):
                left_out[full] = reason
            else:
                entries[full] = _entry(tensor, start)
    beside = dict.fromkeys(content.lone, "it lies beside the network in its file, not in it") if entries else {}
    return Header(
        entries, dict(metadata or {}), load, in_network_order=True, networks=tuple(content.networks),
        left_out=left_out | beside, holds=content.holds,
    )  # fmt: skip


def values_of(content: Content, path: str, name: str) -> np.ndarray:
    """Return the values of one tensor of a file by its name in the header.

    Raises
    ------
    DamagedData
        The file no longer holds the tensor, or holds it without values.
    """
    from torch import uint8

    tensors = {
        f"{key}.{name}" if key else name: tensor
        for key, state in content.networks.items()
        for name, tensor in state.items()
    }
    if name not in tensors:
        raise DamagedData(
            f"cannot read {name} of {path}: the file no longer holds it; it changed after the trajectory was opened, "
            "so open it again"
        )
    tensor = tensors[name].detach().contiguous()
    if tensor.is_meta:
        raise DamagedData(f"cannot read {name} of {path}: it was saved without its values; save it again")
    raw = tensor.reshape(-1).view(uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    return raw.view(stored_type(tensor.dtype)).reshape(tuple(tensor.shape))


def stored_type(dtype: Any) -> np.dtype:
    """Return the element type of a torch dtype; raise TypeError if numpy has none for it."""
    import ml_dtypes

    name = str(dtype).removeprefix("torch.")
    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)


def _entry(tensor: "Tensor | StoredTensor", start: int | None) -> Entry:
    if isinstance(tensor, StoredTensor):
        return Entry(tensor.shape, tensor.dtype, tensor.position if tensor.is_contiguous else None)
    offset = None
    stored = stored_type(tensor.dtype)
    if start is not None and tensor.is_contiguous():
        position = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
        offset = None if position is None else start + position + tensor.storage_offset() * stored.itemsize
    return Entry(tuple(tensor.shape), stored, offset)


def _unreadable(tensor: "Tensor | StoredTensor") -> str:
    """Return why a tensor has no array of numbers; empty if it has one."""
    if isinstance(tensor, StoredTensor):
        return ""
    from torch import strided

    if tensor.is_quantized:
        return f"it is quantized ({str(tensor.dtype).removeprefix('torch.')}); save it dequantized to analyze it"
    if tensor.layout != strided:
        return f"it is sparse ({str(tensor.layout).removeprefix('torch.')}); save it dense to analyze it"
    try:
        stored_type(tensor.dtype)
    except TypeError:
        return f"its type is {str(tensor.dtype).removeprefix('torch.')}, which numpy lacks; save it as float32"
    return ""


def _own_words(error: Exception) -> str:
    """Return the first sentence of torch's message, without its advice to load the file by running code."""
    text = ADVICE.split(reason(error))[0].partition(". ")[0].strip(" .:,;")
    return text or type(error).__name__
