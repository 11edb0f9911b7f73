"""Check the bytes of a packed store, a result or a recorded run against their checksums."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import zarr

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.bounds import check_sizes
from trajlab.runs.disk.inside import check_tree
from trajlab.runs.disk.manifest import damaged_files, read_manifest
from trajlab.runs.disk.paths import as_path, is_url, reaching
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.shards import damaged_rows, is_checked, is_sharded
from trajlab.runs.disk.store_nodes import nodes_of_store
from trajlab.runs.readers.store import is_store
from trajlab.schema import MANIFEST_FILE, tensor_of


class Checked(NamedTuple):
    """What was read and compared with its checksum.

    Attributes
    ----------
    read
        Number of arrays, or of files, whose checksums were verified.
    damaged
        What is damaged, in words.
    unchecked
        Number of arrays without checksums, as earlier versions wrote them.
    """

    read: int
    damaged: list[str]
    unchecked: int = 0


def check(path: str | Path) -> Checked:
    """Read a packed store, a result or a recorded run whole, and compare it with its checksums.

    Raises
    ------
    MissingData
        Nothing is there, it has no checksums, or it is a recorded run behind a URL.
    DamagedData
        Its metadata is damaged.
    """
    folder = as_path(path)
    with reaching(folder):
        if not folder.is_dir():
            raise MissingData(f"cannot check {folder}: there is no such folder; name a store, a result or a run")
        if is_store(folder):
            return _check_store(folder)
        if is_url(folder):
            raise MissingData(
                f"cannot check {folder}: it is no packed store, and runs behind URLs are not checked; check the run "
                "where it was recorded, or pack it and check the store"
            )
        files = read_manifest(folder)
    if not files:
        raise MissingData(
            f"cannot check {folder}: it has no {MANIFEST_FILE} and is no packed store; pack it, and check the store"
        )
    return Checked(len(files), [f"{file}: {how}" for file, how in damaged_files(folder)])


def _check_store(store: Path) -> Checked:
    read, unchecked = 0, 0
    damaged: list[str] = []
    nodes = nodes_of_store(store)
    with reading(store, "the store is damaged, so write it again"):
        check_tree(store, store, trust=True)
        check_sizes(store, nodes)
    for name, node in nodes.items():
        with reading(store, "the store is damaged", part=name):
            if node["node_type"] != "array":
                continue
            sharded = is_sharded(node)
            has_checksums = is_checked(node) if sharded else "crc32c" in str(node["codecs"])
        read, unchecked = read + has_checksums, unchecked + (not has_checksums)
        in_place = sharded and has_checksums and not is_url(store)
        with reading(store, "the store is damaged", part=name):
            damaged += _damaged_chunks(store, name, node) if in_place else _damaged_array(store, name)
    if not read + unchecked:
        raise DamagedData(
            f"cannot check {store}: its zarr.json names no arrays; the store is damaged, so write it again"
        )
    return Checked(read, damaged, unchecked)


def _damaged_chunks(store: Path, name: str, node: dict[str, Any]) -> Iterator[str]:
    for file, first, last in damaged_rows(store / name, node):
        yield f"{tensor_of(name)}: rows {first} to {last} in {file}"


def _damaged_array(store: Path, name: str) -> Iterator[str]:
    """Read an array through zarr, which verifies its checksums, a chunk of its first dim at a time."""
    try:
        with reading(store, "the store is damaged", part=name):
            array: Any = zarr.open_group(str(store), mode="r", use_consolidated=True)[name]
            if not array.ndim:
                array[()]
                return
            rows = (array.shards or array.chunks)[0]
            for start in range(0, array.shape[0], rows):
                array[start : start + rows]
    except DamagedData as error:
        yield f"{tensor_of(name)}: {error}"
