"""Members of zip archives: where the bytes of those that are not compressed lie in the archive."""

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

LOCAL_HEADER = 30
"""Bytes of the header before each member, without its name and extra field."""


@dataclass(frozen=True)
class Member:
    """A member of a zip archive.

    Parameters
    ----------
    name, size
        Its name, and its bytes once unpacked.
    start
        Position of its first byte in the archive; None if it is compressed.
    """

    name: str
    size: int
    start: int | None


def read_members(file: IO[bytes]) -> dict[str, Member]:
    """Return the members of an archive by name.

    Raises
    ------
    ValueError
        The file is no zip archive, two members have one name, or a member does not lie where the archive says.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except Exception as error:  # damaged bytes can raise anything
        raise ValueError(str(error) or repr(error)) from error
    length = file.seek(0, io.SEEK_END)
    by_name: dict[str, Member] = {}
    for member in members:
        if member.filename in by_name:
            raise ValueError(f"it has the member {member.filename!r} twice")
        by_name[member.filename] = Member(member.filename, member.file_size, _start(file, member, length))
    return by_name


def _start(file: IO[bytes], member: zipfile.ZipInfo, length: int) -> int | None:
    """Return where the bytes of a member begin, None if they are compressed or encrypted."""
    file.seek(member.header_offset)
    raw = file.read(LOCAL_HEADER)
    if len(raw) < LOCAL_HEADER or raw[:4] != b"PK\x03\x04":
        raise ValueError(f"its member {member.filename!r} does not lie where the archive says")
    name_length, extra_length = struct.unpack("<HH", raw[26:30])
    start = member.header_offset + LOCAL_HEADER + name_length + extra_length
    if start + member.compress_size > length:
        raise ValueError(f"its member {member.filename!r} ends behind the end of the file")
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        return None
    if member.compress_size != member.file_size:
        raise ValueError(f"its member {member.filename!r} has two sizes, {member.compress_size} and {member.file_size}")
    return start


def open_member(file: IO[bytes], members: Mapping[str, Member], name: str) -> IO[bytes]:
    """Open a member, and unpack it if it is compressed; others are read in place, and can be sought in.

    Raises
    ------
    ValueError
        It cannot be unpacked.
    """
    member = members[name]
    if member.start is not None:
        return Part(file, member.start, member.size)  # type: ignore[return-value]
    try:
        with zipfile.ZipFile(file) as archive:
            return io.BytesIO(archive.read(name))
    except Exception as error:  # damaged bytes can raise anything
        raise ValueError(f"its member {name!r} cannot be unpacked: {str(error) or repr(error)}") from error


class Part(io.RawIOBase):
    """A part of an open file, as a file."""

    def __init__(self, file: IO[bytes], start: int, size: int):
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be sought in."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into a buffer, and return the number of bytes."""
        self._file.seek(self._start + self._at)
        raw = self._file.read(min(len(buffer), max(self._size - self._at, 0)))
        buffer[: len(raw)] = raw
        self._at += len(raw)
        return len(raw)
