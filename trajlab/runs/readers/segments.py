"""Read segments of recorded gradients: several steps of all parameters in one safetensors file."""

from pathlib import Path

import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.disk.rows import Rows
from trajlab.runs.readers.formats import Entry, Header
from trajlab.runs.readers.formats.safetensors import read_header
from trajlab.runs.tensors import Series
from trajlab.schema import INDICES_FILE


def read_segments(folder: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Series]:
    """Return the series of each gradient in a folder of segments, in the order of `shapes`.

    Parameters
    ----------
    folder
        The folder; it need not exist.
    shapes
        Shapes of the parameters by name.

    Raises
    ------
    DamagedData
        A segment is cut off, two segments hold one step, or a gradient's shape does not fit its parameter.
    """
    if not folder.is_dir():
        return {}
    names = sorted((e.name for e in folder.iterdir() if _first(e.name) is not None), key=lambda n: (_first(n), n))
    indices = _indices(folder / INDICES_FILE)
    parts: dict[str, list[tuple[np.ndarray, int, Entry]]] = {}
    last, last_name = -1, ""
    headers = concurrently(read_header, [str(folder / name) for name in names], folder)
    for number, (name, header) in enumerate(zip(names, headers, strict=True)):
        steps, absent = _rows(folder / name, header)
        if len(steps) and steps[0] <= last:
            raise DamagedData(
                f"cannot tell which gradients of {folder} are those of step {steps[0]}: it is in {last_name} and in "
                f"{name}; move one of these files out of the folder"
            )
        last, last_name = (int(steps[-1]) if len(steps) else last), name
        for parameter, entry in header.entries.items():
            present = np.setdiff1d(steps, absent.get(parameter, np.empty(0, np.int64)))
            if entry.shape[:1] != (len(present),):
                raise DamagedData(
                    f"cannot read {parameter} of {folder / name}: its shape is {entry.shape}, but the file names "
                    f"{len(present)} rows; it is damaged, so restore it, or move it out of the folder"
                )
            parts.setdefault(parameter, []).append((present, number, entry))
    files = tuple(str(folder / name) for name in names)
    order = [name for name in shapes if name in parts] + sorted(set(parts) - set(shapes))
    return {name: _series(name, parts[name], files, indices.get(name), shapes.get(name)) for name in order}


def _series(
    name: str, parts: list[tuple[np.ndarray, int, Entry]], files: tuple[str, ...],
    index: np.ndarray | None, shape: tuple[int, ...] | None,
) -> Series:  # fmt: skip
    row, stored = parts[0][2].shape[1:], parts[0][2].stored
    row_bytes = int(np.prod(row, dtype=np.int64)) * stored.itemsize
    for _, number, entry in parts:
        if (entry.shape[1:], entry.stored) != (row, stored):
            raise DamagedData(
                f"cannot read the gradients of {name} in {files[number]}: they are {entry.stored} {entry.shape[1:]}, "
                f"those in {files[parts[0][1]]} are {stored} {row}; the file belongs to another run, so "
                "move it out of the folder"
            )
    _check_index(name, index, row, shape, files[0])
    steps = np.concatenate([present for present, _, _ in parts])
    file = np.concatenate([np.full(len(present), number, np.int32) for present, number, _ in parts])
    offset = np.concatenate([(entry.offset or 0) + row_bytes * np.arange(len(rows)) for rows, _, entry in parts])
    return Series(steps, Rows(files, file, offset, row, stored), shape or row, index)


def _check_index(
    name: str, index: np.ndarray | None, row: tuple[int, ...], shape: tuple[int, ...] | None, file: str
) -> None:
    """Raise DamagedData if gradients fit neither their parameter nor the positions of sampled entries."""
    expected = row if shape is None or index is not None else shape
    numel = int(np.prod(shape, dtype=np.int64)) if shape is not None else None
    if index is None and row == expected:
        return
    if index is not None and index.dtype.kind in "iu" and index.shape == row and (np.diff(index) > 0).all():
        if not len(index) or (index[0] >= 0 and (numel is None or index[-1] < numel)):
            return
    raise DamagedData(
        f"cannot read the gradients of {name} beside {file}: rows have shape {row} and there are "
        f"{'no' if index is None else len(index)} positions, but the parameter has shape {shape}; move the gradients "
        "out of the folder"
    )


def _first(name: str) -> int | None:
    first, dash, rest = name.removesuffix(".safetensors").partition("-")
    numbers = first + rest
    whole = dash and first and rest and numbers.isascii() and numbers.isdigit() and len(numbers) < 37
    return int(first) if whole and name.endswith(".safetensors") else None


def _rows(path: Path, header: Header) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read the steps of a segment's rows, and the steps at which each parameter had no gradient."""
    remedy = "it is not a segment of gradients, so move it out of the folder"
    with reading(path, remedy, part="the steps in the metadata"):
        rows = parse_json(header.metadata["rows"])
        absent = {str(name): np.array(steps, np.int64).ravel() for name, steps in rows["absent"].items()}
        return np.array(rows["steps"], np.int64).ravel(), absent


def _indices(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    entries = read_header(str(path)).entries

    def positions(entry: Entry) -> np.ndarray:
        offset = np.array([entry.offset], np.int64)
        return Rows((str(path),), np.zeros(1, np.int32), offset, entry.shape, entry.stored).views()[0].copy()

    return dict(zip(entries, concurrently(positions, entries.values(), path), strict=True))
