"""Tensors over a series of checkpoints: at which steps each is there, and where its values lie."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import dask
import dask.array as da
import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.element_types import widen, widened
from trajlab.runs.disk.lazy import lazy
from trajlab.runs.disk.rows import Rows
from trajlab.runs.network_order import network_order
from trajlab.runs.readers.checkpoints import Checkpoint
from trajlab.runs.readers.formats import Entry, Header
from trajlab.runs.readers.tensor_names import Names
from trajlab.runs.tensors import Series, common_type, widest

BUFFER = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked|moving_mean|moving_variance)$")
PACKED = re.compile(r"(^|\.)(q?weight|qweight|qzeros|g_idx|W_q|[^.]*_packed)(\.|$)|weight$")
"""Names of quantized weights, or of parts of them, that are stored as integers, as GPTQ, AWQ and bitsandbytes do."""


def read_checkpoints(
    checkpoints: Sequence[Checkpoint], *, key: str | None = None, literal: Collection[str] = ()
) -> tuple[dict[str, Series], dict[str, str], dict[str, str]]:
    """Return the series of each tensor over checkpoints, from the files' headers alone.

    Names lose the components that wrappers add, such as ``module.`` and ``_orig_mod.``. Those of several networks begin
    with their keys.

    Parameters
    ----------
    checkpoints
        The checkpoints, rising in their steps.
    key
        Key of the networks to read; None reads all.
    literal
        Names that are kept as they are.

    Returns
    -------
    series
        Tensors by name, each with the steps that hold it: in network order where all files keep it, as PyTorch's do,
        else as the names tell, see `network_order`. Floats of several precisions are one series of the widest.
    unusable
        Tensors whose shape or kind of number changes between steps, with the reason.
    left_out
        Tensors that cannot be read as arrays of numbers, with the reason.

    Raises
    ------
    BadSetting
        No network has the key.
    DamagedData
        Two files of a step hold a tensor of the same name.
    """
    files = [path for checkpoint in checkpoints for path in checkpoint.headers]
    steps = np.array([checkpoint.step for checkpoint in checkpoints], np.int64)
    first = np.cumsum([0, *(len(checkpoint.headers) for checkpoint in checkpoints)])
    layouts: dict[tuple[Header, ...], list[int]] = {}
    for position, checkpoint in enumerate(checkpoints):
        layouts.setdefault(tuple(checkpoint.headers.values()), []).append(position)
    names = Names(list(layouts), key, literal)
    sources: dict[str, list[_Source]] = {}
    left_out: dict[str, str] = {}
    for headers, positions in layouts.items():
        at = np.array(positions)
        for number, header in enumerate(headers):
            renamed = {names.of(header, name): reason for name, reason in header.left_out.items()}
            left_out |= {name: reason for name, reason in renamed.items() if name}
            for name, entry in header.entries.items():
                series_name = names.of(header, name)
                if series_name is None:
                    continue
                parts = sources.setdefault(series_name, [])
                if parts and parts[-1].checkpoints is at:
                    start = first[at[0]]
                    raise DamagedData(
                        f"cannot tell which values of {series_name} are those of step {steps[at[0]]}: it is in "
                        f"{files[start + parts[-1].number]} and in {files[start + number]}; move one of these files "
                        "out of the folder, or merge them if each holds a part of the tensor"
                    )
                parts.append(_Source(at, number, name, entry, header.load))
    series, unusable = {}, {}
    in_order = all(header.in_network_order for headers in layouts for header in headers)
    for name in sources if in_order else sorted(sources, key=network_order):
        parts = sources[name]
        at = np.concatenate([part.checkpoints for part in parts])
        which = np.repeat(np.arange(len(parts)), [len(part.checkpoints) for part in parts])
        order = np.argsort(at)
        at, which = at[order], which[order]
        kinds = [(part.entry.shape, part.entry.stored) for part in parts]
        dtype = common_type([stored for _, stored in kinds])
        if len({shape for shape, _ in kinds}) > 1 or dtype is None:
            unusable[name] = _change([kinds[part] for part in which], steps[at])
            continue
        file = (first[at] + np.array([part.number for part in parts])[which]).astype(np.int32)
        series[name] = _series(steps[at], parts, which, file, tuple(files), dtype)
    return series, unusable, {name: reason for name, reason in left_out.items() if name not in series}


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


def _series(
    steps: np.ndarray, parts: Sequence[_Source], which: np.ndarray, file: np.ndarray, files: tuple[str, ...],
    dtype: np.dtype,
) -> Series:  # fmt: skip
    """Return the series of a tensor.

    Parameters
    ----------
    steps
        The steps, (step).
    parts
        The sources of the tensor.
    which, file
        Position of the source, and of the file in `files`, at each step, (step).
    dtype
        Element type of the values.
    """
    shape = parts[0].entry.shape
    ways = [(part.entry.stored, part.entry.offset is None) for part in parts]
    way = np.array([ways.index(each_way) for each_way in ways])[which]
    values: list[Rows | da.Array] = []
    for rows in np.split(np.arange(len(steps)), np.flatnonzero(np.diff(way)) + 1):
        stored, on_demand = ways[way[rows[0]]]
        if on_demand:
            sources = [(parts[which[row]], files[file[row]]) for row in rows]
            values.append(_on_demand(sources, shape, stored))
        else:
            offset = np.array([part.entry.offset or 0 for part in parts], np.int64)[which[rows]]
            values.append(Rows(files, file[rows], offset, shape, stored)[:])
    if len(values) == 1:
        return Series(steps, values[0], shape, origin=ways[way[0]][0])
    arrays = [(lazy(part) if isinstance(part, Rows) else part).astype(dtype) for part in values]
    types = np.empty(len(steps), dtype=object)
    types[:] = [ways[position][0] for position in way]
    mixed = len({stored for stored, _ in ways}) > 1
    return Series(steps, da.concatenate(arrays), shape, None, widest(types), types if mixed else None)


def _change(kinds: list[tuple[tuple[int, ...], np.dtype]], steps: np.ndarray) -> str:
    """Return why a tensor is not one array over the steps."""
    shape, stored = kinds[0]
    types = common_type([stored for _, stored in kinds])
    at = next(i for i, kind in enumerate(kinds) if kind[0] != shape or (types is None and kind[1] != stored))
    what = "shape" if kinds[at][0] != shape else "type"
    return (
        f"its {what} changes: it is {stored} {shape} at step {steps[0]}, but {kinds[at][1]} {kinds[at][0]} at step "
        f"{steps[at]}"
    )


def _on_demand(sources: list[tuple[_Source, str]], shape: tuple[int, ...], stored: np.dtype) -> da.Array:
    """Return tensors that cannot be mapped as an array that loads each file when its step is computed."""
    load = dask.delayed(_load, pure=True)
    return da.stack(
        [
            da.from_delayed(load(part.load, path, part.name, shape, stored), shape, dtype=widened(stored))
            for part, path in sources
        ]
    )


def _load(
    load: Callable[[str, str], np.ndarray], path: str, name: str, shape: tuple[int, ...], stored: np.dtype
) -> np.ndarray:  # fmt: skip
    values = np.asarray(load(path, name))
    if values.shape != shape or values.dtype != stored:
        raise DamagedData(
            f"cannot read {name} of {path}: it is {values.dtype} {values.shape}, the header says {stored} {shape}"
        )
    return widen(values)


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


def is_buffer(name: str, series: Series) -> bool:
    """Return whether a tensor of an unknown network is a buffer: running statistics, counters, masks."""
    return bool(BUFFER.search(name)) or series.stored.kind in "iubc"


def unanalyzed(name: str, series: Series) -> str:
    """Return why a weight of an unknown network is kept as a buffer; empty for other tensors."""
    stored = series.stored
    if stored.kind == "c":
        return f"it is complex ({stored.name}); save its real and imaginary parts as two tensors to analyze it"
    small = stored.itemsize == 1 and stored.kind in "iu" and len(series.shape) > 0
    if stored.kind in "iu" and (small or (PACKED.search(name) and series.shape)):
        return (
            f"it holds integers ({stored.name}), perhaps of a quantized weight; choose it with --parameters, or save "
            "it dequantized"
        )
    return ""


def split(series: dict[str, Series], parameters: Iterable[str] | None) -> tuple[dict[str, Series], dict[str, Series]]:
    """Split weights from buffers; by the names of the parameters, in their order, where these are known."""
    if parameters is None:
        buffers = {name: tensor for name, tensor in series.items() if is_buffer(name, tensor)}
        return {name: tensor for name, tensor in series.items() if name not in buffers}, buffers
    weights = {name: series[name] for name in parameters if name in series}
    return weights, {name: tensor for name, tensor in series.items() if name not in weights}
