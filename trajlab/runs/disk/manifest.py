"""The manifest of a recorded run: size and checksum (CRC-32C) of each file, a line of JSON for each."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np

from trajlab.runs.disk.atomic import write_file
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.remote import read_bytes
from trajlab.schema import MANIFEST_FILE

PIECE_BYTES = 1 << 22
"""Bytes that are read at once."""


class Checksum(NamedTuple):
    """Size in bytes and CRC-32C of what a file holds; pieces are bytes or arrays of bytes."""

    size: int
    crc32c: int

    @classmethod
    def of(cls, content: bytes) -> "Checksum":
        """Return the checksum of some bytes."""
        return cls(len(content), google_crc32c.value(content))

    @classmethod
    def of_file(cls, path: Path) -> "Checksum":
        """Read a file, and return its checksum."""
        checksum = cls.of(b"")
        with open(path, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                checksum = checksum.extend(piece)
        return checksum

    def extend(self, piece: bytes | np.ndarray) -> "Checksum":
        """Return the checksum of what was hashed so far and of a piece behind it."""
        return Checksum(self.size + len(piece), google_crc32c.extend(self.crc32c, piece))


class Entry(NamedTuple):
    """A file of a run: its path in the folder, its size in bytes, and its CRC-32C in hexadecimal digits."""

    file: str
    bytes: int
    crc32c: str


def note_files(directory: Path, *files: Path, written: Mapping[Path, Checksum] | None = None) -> None:
    """Add files that are complete to the manifest; later lines of a file replace earlier ones.

    Parameters
    ----------
    directory
        The folder of the run.
    *files
        Files whose checksum is read from disk.
    written
        Files whose checksum was taken while they were written.
    """
    checksums = {file: Checksum.of_file(file) for file in files} | dict(written or {})
    lines = [_line(_entry(directory, file, checksum)) for file, checksum in checksums.items()]
    with open(directory / MANIFEST_FILE, "a", encoding="utf-8") as manifest:
        manifest.writelines(lines)


def read_manifest(directory: Path) -> dict[str, Entry]:
    """Return the files of a run by their path in it; lines that are damaged or torn are left out."""
    path = directory / MANIFEST_FILE
    if not path.is_file():
        return {}
    return {
        entry.file: entry for line in read_bytes(path).decode(errors="replace").splitlines() for entry in _parsed(line)
    }


def prune_manifest(directory: Path, *growing: str) -> None:
    """Drop files that were removed or shortened, as a run that is resumed does, and those that will grow again."""
    entries = [entry for entry in read_manifest(directory).values() if entry.file not in growing]
    kept = [e for e in entries if (directory / e.file).is_file() and (directory / e.file).stat().st_size == e.bytes]
    if (directory / MANIFEST_FILE).exists():
        write_file(directory / MANIFEST_FILE, "".join(map(_line, kept)).encode())


def damaged_files(directory: Path) -> Iterator[tuple[str, str]]:
    """Read all files of a manifest, and yield those that are missing or differ, with how."""
    for entry in read_manifest(directory).values():
        path = directory / entry.file
        if not path.is_file():
            yield entry.file, "it is missing"
        elif path.stat().st_size != entry.bytes:
            yield entry.file, f"it has {path.stat().st_size:,} bytes, {entry.bytes:,} were written"
        elif _entry(directory, path, Checksum.of_file(path)) != entry:
            yield entry.file, "its checksum is wrong"


def _entry(directory: Path, file: Path, checksum: Checksum) -> Entry:
    return Entry(file.relative_to(directory).as_posix(), checksum.size, f"{checksum.crc32c:08x}")


def _line(entry: Entry) -> str:
    return json.dumps(entry._asdict()) + "\n"


def _parsed(line: str) -> Iterator[Entry]:
    try:
        entry = Entry(**parse_json(line))
    except (ValueError, TypeError):
        return
    inside = isinstance(entry.file, str) and not entry.file.startswith("/") and ".." not in entry.file.split("/")
    if inside and "\0" not in entry.file and type(entry.bytes) is int and isinstance(entry.crc32c, str):
        yield entry
