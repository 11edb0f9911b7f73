"""Keys of the files of a Zarr group, and other chunk keys for the version that replaces it.

The metadata of an array states how its chunks are named (`chunk_key_encoding`). Two encodings never share a key:
`default` names the chunk (0, 1) ``c/0/1``, `v2` names it ``0.1``. Chunks of two versions of an array thus lie side by
side, and the root zarr.json, which holds the metadata of all arrays, says which version is valid.
"""

import itertools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from trajlab.schema import STORE_FILE

Encoding = dict[str, Any]
"""`chunk_key_encoding` of an array in zarr.json."""

FIRST: Encoding = {"name": "default", "configuration": {"separator": "/"}}
"""Encoding of the chunks of a new array."""

SECOND: Encoding = {"name": "v2", "configuration": {"separator": "."}}
"""Encoding of the chunks of a version that replaces one in the first encoding."""

SEPARATORS = {"default": "/", "v2": "."}
"""Default separators of the encodings."""


def encoding_of(node: Mapping[str, Any]) -> Encoding:
    """Return the encoding of the chunk keys of an array.

    Raises
    ------
    ValueError
        It is neither `default` nor `v2`, or has an unknown separator.
    """
    encoding = node["chunk_key_encoding"]
    name = encoding["name"]
    separator = encoding.get("configuration", {}).get("separator", SEPARATORS.get(name))
    if name not in SEPARATORS or separator not in ("/", "."):
        raise ValueError(f"its chunk keys are encoded as {encoding}, which is not one of {', '.join(SEPARATORS)}")
    return {"name": name, "configuration": {"separator": separator}}


def other_encoding(encoding: Encoding) -> Encoding:
    """Return an encoding that shares no key with the given one."""
    return SECOND if encoding["name"] == FIRST["name"] else FIRST


def chunk_key(encoding: Encoding, numbers: Sequence[int]) -> str:
    """Return the key of a chunk below its array.

    Parameters
    ----------
    encoding
        The array's encoding.
    numbers
        Number of the chunk along each dim.

    Examples
    --------
    >>> chunk_key(FIRST, (0, 1)), chunk_key(SECOND, (0, 1)), chunk_key(FIRST, ()), chunk_key(SECOND, ())
    ('c/0/1', '0.1', 'c', '0')
    """
    digits = list(map(str, numbers))
    if encoding["name"] == FIRST["name"]:
        return encoding["configuration"]["separator"].join(["c", *digits])
    return encoding["configuration"]["separator"].join(digits) or "0"


def chunk_keys(node: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the numbers of all chunks of an array by their keys below it."""
    encoding, grid = encoding_of(node), _grid(node)
    return {chunk_key(encoding, numbers): numbers for numbers in itertools.product(*map(range, grid))}


def _grid(node: Mapping[str, Any]) -> list[int]:
    """Return the number of chunks along each dim; a chunk of a sharded array is a shard."""
    lengths = node["chunk_grid"]["configuration"]["chunk_shape"]
    return [math.ceil(size / length) for size, length in zip(node["shape"], lengths, strict=True)]


class StoreKeys:
    """Set of the keys of a version of a Zarr group: its zarr.json files and the chunks of its arrays.

    Parameters
    ----------
    nodes
        Metadata of the version's arrays and groups by their paths; see `nodes_of_store`.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        An array does not state the keys or the grid of its chunks.
    """

    def __init__(self, nodes: Mapping[str, Any]):
        self._nodes = frozenset(nodes)
        arrays = {path: node for path, node in nodes.items() if node["node_type"] == "array"}
        self._chunks = {path: (encoding_of(node), _grid(node)) for path, node in arrays.items()}

    def __contains__(self, key: Any) -> bool:
        """Return whether a key, relative to the group, belongs to the version."""
        above, _, name = key.rpartition("/")
        if name == STORE_FILE:
            return not above or above in self._nodes
        for path in itertools.accumulate(above.split("/"), lambda parent, part: f"{parent}/{part}"):
            if path in self._chunks:
                return _is_chunk(key.removeprefix(f"{path}/"), *self._chunks[path])
        return False


def _is_chunk(key: str, encoding: Encoding, grid: Sequence[int]) -> bool:
    """Return whether a key below an array names a chunk of its grid."""
    digits = key.split(encoding["configuration"]["separator"])
    digits = digits[1:] if encoding["name"] == FIRST["name"] else digits if grid else []
    if len(digits) != len(grid) or not all(digit.isascii() and digit.isdigit() for digit in digits):
        return False
    numbers = list(map(int, digits))
    inside = all(number < count for number, count in zip(numbers, grid, strict=True))
    return inside and key == chunk_key(encoding, numbers)


def separate(folder: Path, nodes: Mapping[str, Any], *, growing: Collection[str] = ()) -> None:
    """Rename the chunks of a local Zarr group whose keys another version uses, and change its metadata accordingly.

    Parameters
    ----------
    folder
        The local group, with consolidated metadata.
    nodes
        Nodes of the other version.
    growing
        Paths of arrays that keep their keys.
    """
    root = json.loads((folder / STORE_FILE).read_text(encoding="utf-8"))
    for path, node in root["consolidated_metadata"]["metadata"].items():
        other = nodes.get(path, node)
        if other is node or path in growing or not node["node_type"] == other["node_type"] == "array":
            continue
        encoding = encoding_of(other)
        if encoding["name"] == encoding_of(node)["name"]:
            _rename_chunks(folder / path, node, other_encoding(encoding))
    _write_json(folder / STORE_FILE, root)


def _rename_chunks(array: Path, node: dict[str, Any], encoding: Encoding) -> None:
    """Rename the chunks of an array, and change its metadata in place and on disk."""
    for key, numbers in chunk_keys(node).items():
        if (array / key).is_file():
            (array / key).rename(array / chunk_key(encoding, numbers))
    node["chunk_key_encoding"] = encoding
    document = json.loads((array / STORE_FILE).read_text(encoding="utf-8"))
    _write_json(array / STORE_FILE, document | {"chunk_key_encoding": encoding})


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
