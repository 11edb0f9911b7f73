"""Files with the states of optimizers: beside the weights of a checkpoint, or in the same file."""

import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from trajlab.runs.disk.inside import check_inside
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.readers.checkpoints import Checkpoint
from trajlab.runs.readers.formats import Entry, torch_files
from trajlab.runs.readers.formats import distributed as dcp
from trajlab.runs.readers.optimizer_content import Key, StoredState, find_states
from trajlab.runs.readers.state_dicts import Content
from trajlab.runs.readers.torch_loading import REMEDY, header_of, load_weights_only, stored_type, values_of

BESIDE = re.compile(r"^optim(izer)?(_\d+)?\.(pt|pth|bin|ckpt)$")
"""Files of optimizers that Trainer, accelerate and scripts write beside the weights."""

FOLDER = re.compile(r"^optim(izer)?(_\d+)?$")
"""Folders of torch.distributed.checkpoint with optimizers, beside the weights."""

Position = tuple[int, Key, str]
"""Which state of a file, which parameter, and which of its moments."""


@dataclass
class OptimizerFile:
    """What a file says of optimizers.

    Attributes
    ----------
    path
        The file.
    states
        Their states, with numbers in place of tensors of one.
    entries
        Where each moment lies.
    load
        Function of the path and the name of a moment that reads one which has no offset.
    names
        Name of each moment for `load`.
    left_out
        Moments that cannot be analyzed, with the reason.
    unusable
        Why a state in it cannot be used; empty if it can.
    """

    path: str
    states: list[StoredState]
    entries: dict[Position, Entry] = field(default_factory=dict)
    load: Callable[[str, str], np.ndarray] | None = None
    names: dict[Position, str] = field(default_factory=dict)
    left_out: dict[Position, str] = field(default_factory=dict)
    unusable: str = ""


def optimizer_files(folder: Path, checkpoint: Checkpoint, *, alone: bool, root: Path | None) -> list[str]:
    """Return the files of a checkpoint that may hold states of optimizers.

    Parameters
    ----------
    folder
        The folder of checkpoints, or the only one.
    checkpoint
        The checkpoint.
    alone
        Whether it is the only one, so that what lies in the folder is its own.
    root
        Folder that no link may leave; None if the folder is trusted.
    """
    paths = [path for path in checkpoint.headers if path.endswith((*torch_files.SUFFIXES, *dcp.SUFFIXES))]
    home = folder / checkpoint.name
    home = folder if alone and not home.is_dir() else home
    for entry in sorted(home.iterdir(), key=lambda path: path.name) if home.is_dir() else ():
        if BESIDE.match(entry.name) and entry.is_file():
            paths.append(str(entry))
        elif FOLDER.match(entry.name) and (entry / ".metadata").is_file():
            paths.append(str(entry / ".metadata"))
    if root is not None:
        for path in paths:
            check_inside(path, root)
    return paths


def read_optimizer_file(path: str) -> OptimizerFile:
    """Read what a file says of optimizers, without the moments where the format allows.

    Raises
    ------
    DamagedData
        The file is damaged, or could only be unpickled by running code.
    """
    if path.endswith(dcp.SUFFIXES):
        return _read_distributed(path)
    with reading(path, REMEDY, form="a PyTorch checkpoint"), open_bytes(path) as file:
        mapped = zipfile.is_zipfile(file)
        states, unusable = find_states(load_weights_only(file, path, "meta" if mapped else "cpu"))
        read = partial(_number_in, file) if mapped else _number
        if any(_lies_nowhere(number) for state in states for number in _numbers(state)):  # PyTorch before 2.11
            loaded, _ = find_states(load_weights_only(file, path, "cpu"))
            for state, whole in zip(states, loaded, strict=True):
                state.settings, state.counts = whole.settings, whole.counts
            read = _number
        for state in states:
            _resolve(state, read)
        flat = {f"{at}/{key}/{entry}": tensor for (at, key, entry), tensor in _moments(states).items()}
        header = header_of(Content({"": flat}, [], ""), load_moment, start=0 if mapped else None)
    result = OptimizerFile(path, states, load=load_moment, unusable=unusable)
    for at, key, entry in _moments(states):
        name = f"{at}/{key}/{entry}"
        result.names[at, key, entry] = name
        if name in header.entries:
            result.entries[at, key, entry] = header.entries[name]
        else:
            result.left_out[at, key, entry] = header.left_out[name]
    return result


def load_moment(path: str, name: str) -> np.ndarray:
    """Load one moment of a file that cannot be mapped, by "<state>/<parameter>/<entry>"."""
    with reading(path, REMEDY, form="a PyTorch checkpoint"), open_bytes(path) as file:
        states, _ = find_states(load_weights_only(file, path, "cpu"))
    flat = {f"{at}/{key}/{entry}": tensor for (at, key, entry), tensor in _moments(states).items()}
    return values_of(Content({"": flat}, [], ""), path, name)


def _read_distributed(path: str) -> OptimizerFile:
    with reading(path, "restore the folder, or move it away", form="torch.distributed.checkpoint"):
        content, names_of = dcp.optimizer_content(path)
        states, unusable = find_states(content)
        for state in states:
            _resolve(state, _number)
    result = OptimizerFile(path, states, load=dcp.load_tensor, unusable=unusable)
    for position, tensor in _moments(states).items():
        result.names[position] = names_of[id(tensor)]
        result.entries[position] = Entry(tuple(tensor.shape), stored_type(tensor.dtype), None)
    return result


def _moments(states: list[StoredState]) -> dict[Position, Any]:
    return {
        (at, key, entry): tensor
        for at, state in enumerate(states)
        for key, entries in state.entries.items()
        for entry, tensor in entries.items()
    }


def _resolve(state: StoredState, read: Callable[[Any], float]) -> None:
    """Replace tensors of one among the settings and counts of a state by their values."""
    cache: dict[int, float] = {}

    def value(number: Any) -> float:
        return cache.setdefault(id(number), read(number)) if hasattr(number, "dim") else float(number)

    state.settings = [{name: value(number) for name, number in group.items()} for group in state.settings]
    state.counts = {key: value(number) for key, number in state.counts.items()}


def _numbers(state: StoredState) -> list[Any]:
    return [*state.counts.values(), *(number for group in state.settings for number in group.values())]


def _lies_nowhere(number: Any) -> bool:
    """Return whether a number is a tensor without values whose position in the file torch does not state."""
    return hasattr(number, "dim") and number.is_meta and _position(number) is None


def _position(value: Any) -> int | None:
    return getattr(value.untyped_storage(), "_checkpoint_offset", None)


def _number(value: Any) -> float:
    return float(value) if value.numel() == 1 and not value.is_meta else float("nan")


def _number_in(file: IO[bytes], value: Any) -> float:
    """Read a tensor of one that lies raw in a file."""
    position = _position(value)
    if not value.is_meta or position is None or value.numel() != 1:
        return _number(value)
    stored = stored_type(value.dtype)
    file.seek(position + value.storage_offset() * stored.itemsize, os.SEEK_SET)
    raw = file.read(stored.itemsize)
    if len(raw) < stored.itemsize:
        raise ValueError("it ends before the count of its updates")
    return float(np.frombuffer(raw, stored)[0])


def shapes_of(state: StoredState) -> dict[Key, tuple[int, ...] | None]:
    """Return the shape of each parameter of a state: that of all its moments with dims, None if they say none.

    Moments that are factored or quantized have other shapes than the parameter, and tell nothing.
    """
    shapes: dict[Key, tuple[int, ...] | None] = {}
    for keys in state.keys:
        for key in keys:
            sizes = {tuple(tensor.shape) for tensor in state.entries.get(key, {}).values() if tensor is not None}
            shapes[key] = next(iter(sizes)) if len(sizes) == 1 else None
    return shapes
