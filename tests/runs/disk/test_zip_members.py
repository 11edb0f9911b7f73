import io
import zipfile

import pytest

from trajlab.runs.disk.zip_members import open_member, read_members


def archive(*, compressed=(), **members):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        for name, content in members.items():
            how = zipfile.ZIP_DEFLATED if name in compressed else zipfile.ZIP_STORED
            file.writestr(zipfile.ZipInfo(name), content, how)
    return io.BytesIO(raw.getvalue())


def test_read_members__know_where_bytes_lie_that_are_not_compressed():
    file = archive(a=b"0123456789", b=b"x" * 50, empty=b"", compressed=("b",))
    members = read_members(file)
    assert [(member.name, member.size) for member in members.values()] == [("a", 10), ("b", 50), ("empty", 0)]
    start = members["a"].start
    assert file.getvalue()[start : start + 10] == b"0123456789" and members["b"].start is None


def test_open_member__reads_in_place_and_unpacks_what_is_compressed():
    file = archive(a=b"0123456789", b=b"x" * 50, compressed=("b",))
    members = read_members(file)
    assert open_member(file, members, "b").read() == b"x" * 50
    part = open_member(file, members, "a")
    assert part.readable() and part.seekable()
    assert (part.seek(-3, io.SEEK_END), part.read()) == (7, b"789")
    assert (part.seek(2), part.read(3), part.tell()) == (2, b"234", 5)
    assert (part.seek(1, io.SEEK_CUR), part.read(100), part.read(1)) == (6, b"6789", b"")
    assert part.seek(-99) == 0 and part.read(0) == b"" and part.seek(50) == 50 and part.read() == b""


def test_read_members__two_of_one_name_are_refused():
    raw = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(raw, "w") as file:
        file.writestr("a", b"1")
        file.writestr("a", b"2")
    with pytest.raises(ValueError, match="'a' twice"):
        read_members(raw)


def damaged(raw, what):
    content = bytearray(raw.getvalue())
    local = content.index(b"PK\x03\x04")
    central = content.index(b"PK\x01\x02")
    if what == "header":
        content[local] = 0
    elif what == "size":
        content[central + 24 : central + 28] = (99).to_bytes(4, "little")
    elif what == "both sizes":
        for at in (20, 24):
            content[central + at : central + at + 4] = (10**6).to_bytes(4, "little")
    elif what == "end":
        content = content[:-10]
    return io.BytesIO(bytes(content))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("header", "does not lie where"),
        ("size", "two sizes, 10 and 99"),
        ("both sizes", "ends behind the end"),
        ("end", "zip"),
    ],
)
def test_read_members__a_damaged_archive_is_a_value_error(what, words):
    with pytest.raises(ValueError, match=words):
        read_members(damaged(archive(a=b"0123456789"), what))


def test_open_member__what_cannot_be_unpacked_is_a_value_error():
    file = archive(b=b"y" * 500, compressed=("b",))
    members = read_members(file)
    content = bytearray(file.getvalue())
    content[31:36] = b"\xff" * 5
    with pytest.raises(ValueError, match="'b' cannot be unpacked"):
        open_member(io.BytesIO(bytes(content)), members, "b")
