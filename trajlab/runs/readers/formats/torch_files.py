"""PyTorch checkpoints: where each tensor's bytes lie, or how to load them where they cannot be mapped.

Files are unpickled with ``weights_only=True`` and never otherwise. In the zip format tensors lie raw in the file: their
positions are read, not their bytes. Files of the old format, and tensors that are not contiguous, are loaded on
demand.
"""

import zipfile
from contextlib import AbstractContextManager
from typing import IO, Any

import numpy as np

from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.readers.counters import counters_of
from trajlab.runs.readers.formats import Header
from trajlab.runs.readers.state_dicts import find_networks
from trajlab.runs.readers.torch_loading import REMEDY, header_of, load_weights_only, values_of
from trajlab.runs.readers.torch_zip import Unknown, read_content

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pth.tar", ".pt.tar", ".ckpt.tar")


def read_header(path: str, cache: dict[Any, Any] | None = None) -> Header:
    """Read what a PyTorch checkpoint holds, without its tensors where the format allows.

    Raises
    ------
    DamagedData
        The file is cut off, or could only be unpickled by running code.
    """
    with _reading(path), open_bytes(path) as file:
        mapped = zipfile.is_zipfile(file)
        content = _content(file, path, mapped)
        networks = find_networks(content)
        return header_of(networks, load_tensor, metadata=counters_of(content), start=0 if mapped else None)


def _content(file: IO[bytes], path: str, mapped: bool) -> Any:
    """Return the content of a file without the values of its tensors; import torch only if nothing else can read it."""
    if mapped:
        try:
            return read_content(file)
        except Unknown:
            pass
    return load_weights_only(file, path, "meta")


def load_tensor(path: str, name: str) -> np.ndarray:
    """Load one tensor of a checkpoint that cannot be mapped."""
    with _reading(path), open_bytes(path) as file:
        return values_of(find_networks(load_weights_only(file, path, "cpu")), path, name)


def _reading(path: str) -> AbstractContextManager[None]:
    return reading(path, REMEDY, form="a PyTorch checkpoint")
