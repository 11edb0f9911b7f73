"""Tensors over a series of checkpoints: at which steps each is there, and where its values lie."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import dask
import dask.array as da
import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.element_types import widen, widened
from trajlab.runs.disk.rows import Rows
from trajlab.runs.readers.checkpoints import Checkpoint
from trajlab.runs.readers.formats import Entry, Header
from trajlab.runs.tensors import Series, natural

BUFFER = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")
PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile add to every name."""


def read_checkpoints(checkpoints: Sequence[Checkpoint]) -> tuple[dict[str, Series], dict[str, str]]:
    """Return the series of each tensor over checkpoints, from the files' headers alone.

    Names lose the prefixes of wrappers, such as ``module.`` and ``_orig_mod.``, if all names have them.

    Returns
    -------
    series
        Tensors by name, each with the steps that hold it: in network order where all files keep it, as PyTorch's do,
        else in natural order of the names.
    unusable
        Tensors whose shape or element type changes between steps, with the reason.
    """
    files = [path for checkpoint in checkpoints for path in checkpoint.headers]
    steps = np.array([checkpoint.step for checkpoint in checkpoints], np.int64)
    first = np.cumsum([0, *(len(checkpoint.headers) for checkpoint in checkpoints)])
    layouts: dict[tuple[Header, ...], list[int]] = {}
    for position, checkpoint in enumerate(checkpoints):
        layouts.setdefault(tuple(checkpoint.headers.values()), []).append(position)
    sources: dict[str, list[_Source]] = {}
    for headers, positions in layouts.items():
        prefix = common_prefix(name for header in headers for name in header.entries)
        at = np.array(positions)
        for number, header in enumerate(headers):
            for name, entry in header.entries.items():
                parts = sources.setdefault(name.removeprefix(prefix), [])
                if parts and parts[-1].checkpoints is at:
                    start = first[at[0]]
                    raise DamagedData(
                        f"cannot tell which values of {name} are those of step {steps[at[0]]}: it is in "
                        f"{files[start + parts[-1].number]} and in {files[start + number]}; move one of these files "
                        "out of the folder"
                    )
                parts.append(_Source(at, number, name, entry, header.load))
    series, unusable = {}, {}
    in_order = all(header.in_network_order for headers in layouts for header in headers)
    for name in sources if in_order else sorted(sources, key=natural):
        parts = sources[name]
        at = np.concatenate([part.checkpoints for part in parts])
        which = np.repeat(np.arange(len(parts)), [len(part.checkpoints) for part in parts])
        order = np.argsort(at)
        at, which = at[order], which[order]
        kinds = [(part.entry.shape, part.entry.stored) for part in parts]
        if len(set(kinds)) > 1:
            unusable[name] = _change(name, [kinds[part] for part in which], steps[at])
            continue
        shape, stored = kinds[0]
        file = (first[at] + np.array([part.number for part in parts])[which]).astype(np.int32)
        values: Rows | da.Array
        if any(part.entry.offset is None for part in parts):
            values = _on_demand([(parts[part], files[i]) for part, i in zip(which, file, strict=True)], shape, stored)
        else:
            offset = np.array([part.entry.offset for part in parts], np.int64)[which]
            values = Rows(tuple(files), file, offset, shape, stored)[:]
        series[name] = Series(steps[at], values, shape, origin=stored)
    return series, unusable


class _Source(NamedTuple):
    """Where a tensor lies in the checkpoints that share a header.

    Attributes
    ----------
    checkpoints
        Positions of the checkpoints, rising.
    number
        Which of the files of each checkpoint holds it.
    name, entry, load
        Its name there, its entry in the header, and the function that reads it if the entry has no offset.
    """

    checkpoints: np.ndarray
    number: int
    name: str
    entry: Entry
    load: Callable[[str, str], np.ndarray] | None


def _change(name: str, kinds: list[tuple[tuple[int, ...], np.dtype]], steps: np.ndarray) -> str:
    """Return why a tensor is not one array over the steps."""
    shape, stored = kinds[0]
    at = next(i for i, kind in enumerate(kinds) if kind != kinds[0])
    return (
        f"cannot open {name} as one array: it is {stored} {shape} at step {steps[0]}, but {kinds[at][1]} "
        f"{kinds[at][0]} at step {steps[at]}; open the two parts of the run as two folders"
    )


def _on_demand(sources: list[tuple[_Source, str]], shape: tuple[int, ...], stored: np.dtype) -> da.Array:
    """Return tensors that cannot be mapped as an array that loads each file when its step is computed."""
    load = dask.delayed(_load, pure=True)
    return da.stack(
        [
            da.from_delayed(load(part.load, path, part.name, shape), shape, dtype=widened(stored))
            for part, path in sources
        ]
    )


def _load(load: Callable[[str, str], np.ndarray], path: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    values = widen(np.asarray(load(path, name)))
    if values.shape != shape:
        raise DamagedData(f"cannot read {name} of {path}: its shape is {values.shape}, the header says {shape}")
    return values


def tied(series: dict[str, Series]) -> dict[str, str]:
    """Return the names of tensors that share their bytes with another, as tied weights do in PyTorch's files."""
    first: dict[tuple, str] = {}
    aliases = {}
    for name, tensor in series.items():
        if isinstance(tensor.values, Rows) and tensor.values.size:
            other = first.setdefault(tensor.values.__dask_tokenize__(), name)
            if other != name:
                aliases[name] = other
    return aliases


def common_prefix(names: Iterable[str]) -> str:
    """Return the prefix that wrappers added to all of some names.

    >>> common_prefix(["module._orig_mod.fc.weight", "module._orig_mod.fc.bias"])
    'module._orig_mod.'
    """
    left, prefix = list(names), ""
    while left:
        added = next((p for p in PREFIXES if all(name.startswith(p) for name in left)), None)
        if added is None:
            break
        left, prefix = [name.removeprefix(added) for name in left], prefix + added
    return prefix


def is_buffer(name: str, series: Series) -> bool:
    """Return whether a tensor of an unknown network is a buffer: running statistics, counters, masks."""
    return bool(BUFFER.search(name)) or series.stored.kind in "iub"


def split(series: dict[str, Series], parameters: Iterable[str] | None) -> tuple[dict[str, Series], dict[str, Series]]:
    """Split weights from buffers; by the names of the parameters, in their order, where these are known."""
    if parameters is None:
        buffers = {name: tensor for name, tensor in series.items() if is_buffer(name, tensor)}
        return {name: tensor for name, tensor in series.items() if name not in buffers}, buffers
    weights = {name: series[name] for name in parameters if name in series}
    return weights, {name: tensor for name, tensor in series.items() if name not in weights}
