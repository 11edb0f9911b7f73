"""Root metadata of a Zarr group: the arrays and groups that it names, and reading while it may be replaced."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from trajlab.errors import DamagedData
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.disk.store_keys import encoding_of
from trajlab.runs.disk.stores import ATTEMPTS
from trajlab.schema import STORE_FILE

Value = TypeVar("Value")


def nodes_of_store(path: Path) -> dict[str, Any]:
    """Return the metadata of the arrays and groups of a Zarr group by their paths.

    Raises
    ------
    DamagedData
        Its zarr.json is damaged.
    """
    with reading(path, "the store is damaged, so write it again", part=STORE_FILE):
        root = parse_json(read_bytes(path / STORE_FILE))
        return readable_nodes((root.get("consolidated_metadata") or {"metadata": {}})["metadata"])


def readable_nodes(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of arrays and groups by their paths, whose chunks can be found.

    Raises
    ------
    ValueError
        The chunk keys of an array have an encoding that is not known; Zarr up to 3.1.2 takes such chunks for missing.
    """
    for node in nodes.values():
        if node["node_type"] == "array":
            encoding_of(node)
    return dict(nodes)


def unchanged(path: Path, read: Callable[[], Value]) -> Value:
    """Read a Zarr group, and read again if it was replaced meanwhile: Zarr takes removed chunks for empty ones.

    Parameters
    ----------
    path
        The group.
    read
        Function that reads it.

    Raises
    ------
    DamagedData
        It was replaced during each of several attempts.
    """
    if not is_url(path):
        return read()
    for _ in range(ATTEMPTS):
        before = read_bytes(path / STORE_FILE)
        try:
            value = read()
        except Exception:
            if read_bytes(path / STORE_FILE) == before:
                raise
        else:
            if read_bytes(path / STORE_FILE) == before:
                return value
    raise DamagedData(f"cannot read {path}: it was replaced {ATTEMPTS} times meanwhile; read it when nobody writes it")
