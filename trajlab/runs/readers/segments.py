"""Segments of recorded gradients: several steps of all parameters in one safetensors file."""

import json
from pathlib import Path

import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.disk.rows import Rows
from trajlab.runs.readers.safetensors import Entry, Header, read_header
from trajlab.runs.tensors import Series
from trajlab.schema import INDICES_FILE


def read_segments(folder: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Series]:
    """Give the life of each gradient in a folder of segments, in the order of `shapes`.

    Parameters
    ----------
    folder
        The folder; it need not exist.
    shapes
        Shapes of the parameters by name.

    Raises
    ------
    DamagedData
        A segment is cut off, two segments hold the same step, or a gradient's shape does not fit its parameter.
    """
    if not folder.is_dir():
        return {}
    names = sorted((e.name for e in folder.iterdir() if _first(e.name) is not None), key=lambda n: (_first(n), n))
    indices = _indices(folder / INDICES_FILE)
    held: dict[str, list[tuple[np.ndarray, int, Entry]]] = {}
    last, last_name = -1, ""
    headers = concurrently(read_header, [str(folder / name) for name in names], folder)
    for number, (name, header) in enumerate(zip(names, headers, strict=True)):
        steps, absent = _rows(folder / name, header)
        if len(steps) and steps[0] <= last:
            raise DamagedData(
                f"each step was expected once in {folder}; step {steps[0]} is in {last_name} and in {name}. "
                "Move one of these files out of the folder."
            )
        last, last_name = (int(steps[-1]) if len(steps) else last), name
        for parameter, entry in header.entries.items():
            own = np.setdiff1d(steps, absent.get(parameter, np.empty(0, np.int64)))
            if entry.shape[:1] != (len(own),):
                raise DamagedData(
                    f"{len(own)} rows of {parameter} were expected in {folder / name}; its shape is {entry.shape}. "
                    "The file is damaged: restore it, or move it out of the folder."
                )
            held.setdefault(parameter, []).append((own, number, entry))
    files = tuple(str(folder / name) for name in names)
    order = [name for name in shapes if name in held] + sorted(set(held) - set(shapes))
    return {name: _life(name, held[name], files, indices.get(name), shapes.get(name)) for name in order}


def _life(
    name: str, parts: list[tuple[np.ndarray, int, Entry]], files: tuple[str, ...],
    index: np.ndarray | None, shape: tuple[int, ...] | None,
) -> Series:  # fmt: skip
    row, stored = parts[0][2].shape[1:], parts[0][2].stored
    row_bytes = int(np.prod(row, dtype=np.int64)) * stored.itemsize
    for _, number, entry in parts:
        if (entry.shape[1:], entry.stored) != (row, stored):
            raise DamagedData(
                f"gradients of {name} of type {stored} and shape {row} were expected in {files[number]}; found "
                f"{entry.stored} {entry.shape[1:]}. The file belongs to another run: move it out of the folder."
            )
    _check_index(name, index, row, shape, files[0])
    steps = np.concatenate([own for own, _, _ in parts])
    file = np.concatenate([np.full(len(own), number, np.int32) for own, number, _ in parts])
    offset = np.concatenate([(entry.offset or 0) + row_bytes * np.arange(len(own)) for own, _, entry in parts])
    return Series(steps, Rows(files, file, offset, row, stored), shape or row, index)


def _check_index(
    name: str, index: np.ndarray | None, row: tuple[int, ...], shape: tuple[int, ...] | None, file: str
) -> None:
    """Refuse gradients that do not fit the parameter and the entries that they say they are of."""
    expected = row if shape is None or index is not None else shape
    numel = int(np.prod(shape, dtype=np.int64)) if shape is not None else None
    if index is None and row == expected:
        return
    if index is not None and index.dtype.kind in "iu" and index.shape == row and (np.diff(index) > 0).all():
        if not len(index) or (index[0] >= 0 and (numel is None or index[-1] < numel)):
            return
    raise DamagedData(
        f"gradients of {name} of shape {shape} or of rising positions in it were expected beside {file}; rows have "
        f"shape {row} and there are {'no' if index is None else len(index)} positions. Move the gradients out of "
        "the folder."
    )


def _first(name: str) -> int | None:
    first, dash, rest = name.removesuffix(".safetensors").partition("-")
    return int(first) if dash and first.isdigit() and rest.isdigit() and name.endswith(".safetensors") else None


def _rows(path: Path, header: Header) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read the steps of a segment's rows, and those of them at which a parameter had no gradient."""
    try:
        rows = json.loads(header.metadata["rows"])
        absent = {str(name): np.array(steps, np.int64).ravel() for name, steps in rows["absent"].items()}
        return np.array(rows["steps"], np.int64).ravel(), absent
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedData(
            f"the steps of {path} were to be read from its metadata; there are none. "
            "It is no segment of gradients: move it out of the folder."
        ) from error


def _indices(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    entries = read_header(str(path)).entries

    def positions(entry: Entry) -> np.ndarray:
        offset = np.array([entry.offset], np.int64)
        return Rows((str(path),), np.zeros(1, np.int32), offset, entry.shape, entry.stored).views()[0].copy()

    return dict(zip(entries, concurrently(positions, entries.values(), path), strict=True))
