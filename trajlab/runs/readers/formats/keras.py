"""Keras' weights in HDF5: `.weights.h5` of Keras 3, and `.h5` of whole models and of weights of Keras 2; needs h5py.

Keras stores kernels with their units last. They are read with the units first, as PyTorch stores them: kernels of dense
layers (in, out) as (out, in), of convolutions (y, x, in, out) as (out, in, y, x), of recurrent layers (in, unit) as
(unit, in). Embeddings, vectors, and kernels of more than three dims that no convolution has, stay as they are.

Keras 2 lists its layers and their weights in the order of the network. Keras 3 does not: it numbers the weights of a
layer, and the layers of each kind, so that these follow each other by their names.
"""

import math
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from trajlab.errors import MissingData
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.readers.counters import COUNTERS, as_count
from trajlab.runs.readers.formats import Entry, Header
from trajlab.runs.tensors import natural

SUFFIXES = (".weights.h5", ".h5", ".hdf5")

OPTIMIZER = re.compile(r"^(optimizer|optimizer_weights)$")
"""Groups at the top that hold the state of the optimizer."""

WRAPPING = {"model_weights", "layers", "_layer_checkpoint_dependencies", "top_level_model_weights", "vars"}
"""Groups that say nothing of where a tensor lies in the network."""

LAST_TO_FIRST = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1), 5: (4, 3, 0, 1, 2)}
"""Order of the dims of a kernel with its units first, by how many dims it has."""

LISTS = ("layer_names", "weight_names")
"""Attributes of Keras 2 that list the layers of a network, and the weights of a layer."""

MOST_LISTED = 1_000_000

DEPTHWISE = {3: (1, 2, 0), 4: (2, 3, 0, 1)}
"""Order of the dims of a depthwise kernel (y, x, in, multiplier) with its channels first."""


def read_header(path: str, cache: dict[Any, Any] | None = None) -> Header:
    """Read which weights a file of Keras holds, and where those lie that are stored as they are read.

    Raises
    ------
    MissingData
        h5py is not installed.
    DamagedData
        The file is cut off or is no HDF5 file.
    """
    h5py = _h5py(path)
    entries: dict[str, Entry] = {}
    left_out: dict[str, str] = {}
    counters: dict[str, str] = {}
    with _reading(path), open_bytes(path) as raw, h5py.File(raw, "r") as file:
        for name, dataset in _datasets(file, h5py):
            shape, dtype = tuple(dataset.shape or ()), dataset.dtype
            if name in COUNTERS and shape == () and dtype.kind in "iu":
                count = as_count(dataset[()].item())
                counters |= {} if count is None else {name: str(count)}
            elif dtype.kind not in "fiubc" or dataset.shape is None:
                left_out[name] = f"it holds {dtype if dataset.shape is not None else 'nothing'}, not numbers"
            else:
                order = _order(dataset.name, shape)
                moved = tuple(shape[i] for i in order) if order else shape
                entries[name] = Entry(moved, dtype.newbyteorder("="), None if order else _offset(dataset, path))
    holds = "" if entries else "no weights of Keras"
    return Header(entries, counters, load_array, in_network_order=True, left_out=left_out, holds=holds)


def load_array(path: str, name: str) -> np.ndarray:
    """Load one tensor that is compressed, or stored with its units last."""
    h5py = _h5py(path)
    with _reading(path), open_bytes(path) as raw, h5py.File(raw, "r") as file:
        dataset = next((dataset for key, dataset in _datasets(file, h5py) if key == name), None)
        if dataset is None:
            raise ValueError(f"it no longer holds {name}")
        values = np.asarray(dataset[()])
        order = _order(dataset.name, values.shape)
    moved = np.ascontiguousarray(values.transpose(order)) if order else values
    return moved.astype(moved.dtype.newbyteorder("="), copy=False)


def _h5py(path: str) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingData(
            f"cannot read {path}: files .h5 (Keras) need h5py, which is not installed; run `pip install trajlab[keras]`"
        ) from error
    return h5py


def _datasets(file: Any, h5py: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the weights by name; links to other files, and datasets that lie in others, are not followed."""
    top = file["/"]
    pending: list[tuple[tuple[str, ...], Any, list[str]]]
    pending = [((name,), top, listed) for name, listed in _members(top, [], h5py) if not OPTIMIZER.match(name)]
    seen: dict[str, str] = {}
    while pending:
        path, group, listed = pending.pop(0)
        if len(path) > 32 or len(seen) > 1_000_000:
            raise ValueError("its groups are nested too deeply, or are too many")
        if not isinstance(group.get(path[-1], getlink=True), h5py.HardLink):
            continue
        node = group[path[-1]]
        if isinstance(node, h5py.Group):
            pending = [((*path, name), node, below) for name, below in _members(node, listed, h5py)] + pending
        elif not node.external and not node.is_virtual:
            name = _name(path)
            if name in seen:
                raise ValueError(f"{seen[name]} and {'/'.join(path)} are both named {name}")
            seen[name] = "/".join(path)
            yield name, node


def _members(group: Any, listed: list[str], h5py: Any) -> Iterator[tuple[str, list[str]]]:
    """Iterate over the members of a group, each with the paths below it that are listed above it, in their order.

    Members that are listed come first, in the order of the list. The others are in the order of their creation if the
    file tracks it, else in natural order of their names.
    """
    below: dict[str, list[str]] = {}
    for path in listed or _listed(group):
        name, _, rest = path.partition("/")
        below.setdefault(name, []).extend([rest] if rest else [])
    tracked = group.id.get_create_plist().get_link_creation_order() & h5py.h5p.CRT_ORDER_TRACKED
    names = dict.fromkeys(group if tracked else sorted(group, key=natural))
    for name in [*(name for name in below if name in names), *(name for name in names if name not in below)]:
        yield name, below.get(name, [])


def _listed(group: Any) -> list[str]:
    """Return the layers or weights that a group lists; Keras cuts long lists into numbered pieces."""
    keys = [key for key in sorted(group.attrs, key=natural) if key.rstrip("0123456789") in LISTS]
    if sum(math.prod(group.attrs.get_id(key).shape) for key in keys) > MOST_LISTED:
        raise ValueError("its list of layers is too long")
    names = [name for key in keys for name in np.ravel(group.attrs[key]).tolist()]
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names]


def _name(path: tuple[str, ...]) -> str:
    """Return the name of a tensor by its path.

    >>> _name(("layers", "dense", "vars", "0")), _name(("model_weights", "dense_1", "dense_1", "kernel:0"))
    ('dense.0', 'dense_1.kernel')
    """
    parts: list[str] = []
    for part in path:
        plain = part.partition(":")[0]
        if plain not in WRAPPING and parts[-1:] != [plain]:
            parts.append(plain)
    return ".".join(parts) or ".".join(path)


def _order(path: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the order of dims of a kernel with its units first; None for tensors that stay as they are."""
    if "depthwise" in path.lower():
        return DEPTHWISE.get(len(shape))
    return None if "embedding" in path.lower() else LAST_TO_FIRST.get(len(shape))


def _offset(dataset: Any, path: str) -> int | None:
    """Return where the values of a dataset lie in the file, None where they do not lie raw."""
    raw = dataset.chunks is None and dataset.compression is None and dataset.dtype.newbyteorder("<") == dataset.dtype
    return dataset.id.get_offset() if raw and dataset.size else None


def _reading(path: str) -> AbstractContextManager[None]:
    remedy = "it is damaged or no HDF5 file, so restore it or move it out of the folder"
    return reading(path, remedy, form="weights of Keras (.h5)")
