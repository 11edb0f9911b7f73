"""Tensors through a series of checkpoints: at which steps each is there, and what it is."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import dask
import dask.array as da
import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.rows import Rows, widened
from trajlab.runs.readers.checkpoints import TORCH_SUFFIXES, Checkpoint
from trajlab.runs.readers.safetensors import Entry, Header
from trajlab.runs.tensors import Series, natural

BUFFER = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""


def read_checkpoints(checkpoints: list[Checkpoint]) -> tuple[dict[str, Series], dict[str, str]]:
    """Give the life of each tensor in a series of checkpoints, from the files' headers alone.

    Names lose the prefixes of wrappers, such as ``module.`` and ``_orig_mod.``, if all of them have it.

    Returns
    -------
    lives
        Tensors by name, each with the steps that hold it: in the order of PyTorch's files, which is the network's, and
        in natural order for safetensors, which keep none.
    unusable
        Tensors whose shape or type changes on the way, with the reason.
    """
    files = [path for checkpoint in checkpoints for path in checkpoint.headers]
    steps = np.array([checkpoint.step for checkpoint in checkpoints], np.int64)
    first = np.cumsum([0, *(len(checkpoint.headers) for checkpoint in checkpoints)])
    alike: dict[tuple[Header, ...], list[int]] = {}
    for position, checkpoint in enumerate(checkpoints):
        alike.setdefault(tuple(checkpoint.headers.values()), []).append(position)
    places: dict[str, list[_Place]] = {}
    for headers, positions in alike.items():
        prefix = common_prefix(name for header in headers for name in header.entries)
        held = np.array(positions)
        for number, header in enumerate(headers):
            for name, entry in header.entries.items():
                own = places.setdefault(name.removeprefix(prefix), [])
                if own and own[-1].held is held:
                    at = first[held[0]]
                    raise DamagedData(
                        f"{name} was expected once at step {steps[held[0]]}; it is in {files[at + own[-1].number]} and "
                        f"in {files[at + number]}. Move one of these files out of the folder."
                    )
                own.append(_Place(held, number, name, entry))
    lives, unusable = {}, {}
    in_order = all(path.endswith(TORCH_SUFFIXES) for path in files)
    for name in places if in_order else sorted(places, key=natural):
        own = places[name]
        held = np.concatenate([place.held for place in own])
        order = np.argsort(held)
        held, which = held[order], np.repeat(np.arange(len(own)), [len(place.held) for place in own])[order]
        kinds = [(place.entry.shape, place.entry.stored) for place in own]
        if len(set(kinds)) > 1:
            start = kinds[which[0]]
            other = next(i for i, place in enumerate(which) if kinds[place] != start)
            unusable[name] = (
                f"{name} was asked for as one array; it is {start[1]} {start[0]} at step {steps[held[0]]}, but "
                f"{kinds[which[other]][1]} {kinds[which[other]][0]} at step {steps[held[other]]}. Open the two parts "
                "of the run as two folders."
            )
            continue
        shape, stored = kinds[0]
        file = (first[held] + np.array([place.number for place in own])[which]).astype(np.int32)
        values: Rows | da.Array
        if any(place.entry.offset is None for place in own):
            values = _loaded([files[i] for i in file], [own[i].name for i in which], shape, stored)
        else:
            offset = np.array([place.entry.offset for place in own], np.int64)[which]
            values = Rows(tuple(files), file, offset, shape, stored)[:]
        lives[name] = Series(steps[held], values, shape, origin=stored)
    return lives, unusable


class _Place(NamedTuple):
    """Where a tensor lies in checkpoints whose files say the same of it.

    Attributes
    ----------
    held
        Positions of the checkpoints, rising.
    number
        Which of the files of each holds it.
    name, entry
        Its name there, and what the header says.
    """

    held: np.ndarray
    number: int
    name: str
    entry: Entry


def tied(lives: dict[str, Series]) -> dict[str, str]:
    """Give the tensors that are others under a second name, as the weights of tied layers in PyTorch's files."""
    first: dict[tuple, str] = {}
    aliases = {}
    for name, life in lives.items():
        if isinstance(life.values, Rows) and life.values.size:
            other = first.setdefault(life.values.__dask_tokenize__(), name)
            if other != name:
                aliases[name] = other
    return aliases


def common_prefix(names: Iterable[str]) -> str:
    """Give what wrappers put before every name.

    >>> common_prefix(["module._orig_mod.fc.weight", "module._orig_mod.fc.bias"])
    'module._orig_mod.'
    """
    left, prefix = list(names), ""
    while left:
        found = next((p for p in PREFIXES if all(name.startswith(p) for name in left)), None)
        if found is None:
            break
        left, prefix = [name.removeprefix(found) for name in left], prefix + found
    return prefix


def _loaded(paths: list[str], names: list[str], shape: tuple[int, ...], stored: np.dtype) -> da.Array:
    """Give tensors that can not be mapped as a dask array that loads each file when its step is asked for."""
    from trajlab.runs.readers.torch_files import load_tensor

    load = dask.delayed(load_tensor, pure=True)
    rows = [
        da.from_delayed(load(path, name), shape, dtype=widened(stored)) for path, name in zip(paths, names, strict=True)
    ]
    return da.stack(rows)


def is_buffer(name: str, life: Series) -> bool:
    """Tell whether a tensor that nobody described is a buffer: running statistics, counters, masks."""
    return bool(BUFFER.search(name)) or life.stored.kind in "iub"


def split(lives: dict[str, Series], parameters: Iterable[str] | None) -> tuple[dict[str, Series], dict[str, Series]]:
    """Part weights from buffers; by the names of the parameters, in their order, where these are known."""
    if parameters is None:
        buffers = {name: life for name, life in lives.items() if is_buffer(name, life)}
        return {name: life for name, life in lives.items() if name not in buffers}, buffers
    weights = {name: lives[name] for name in parameters if name in lives}
    return weights, {name: life for name, life in lives.items() if name not in weights}
