import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

from trajlab.errors import DamagedData
from trajlab.runs.readers.formats import safetensors
from trajlab.runs.readers.formats.safetensors import read_header


def entry(start, stop, **others):
    return {"dtype": "U8", "shape": [stop - start], "data_offsets": [start, stop]} | others


def write(path, header, data=b"12345678"):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return str(path)


def library(path):
    with safe_open(path, "np") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry(0, 4), "b": entry(5, 8)}, "'b' starts at byte 5"),
        ({"a": entry(0, 5), "b": entry(4, 8)}, "'b' starts at byte 4"),
        ({"a": entry(0, 8), "b": entry(0, 8)}, "'b' starts at byte 0"),
        ({"a": entry(1, 8)}, "'a' starts at byte 1"),
        ({"a": entry(0, 7)}, "tensors up to byte"),
        ({"a": entry(0, 9)}, "tensors up to byte"),
        ({"a": entry(0, 8, shape=[9])}, "has 8 bytes"),
        ({"a": entry(0, 8, shape=[-8])}, "the entry 'a'"),
        ({"a": entry(0, 8, shape=[8.0])}, "the entry 'a'"),
        ({"a": entry(0, 8, shape=None)}, "the entry 'a'"),
        ({"a": entry(0, 8, dtype="F7")}, "the entry 'a'"),
        ({"a": entry(0, 8, data_offsets=[0])}, "the entry 'a'"),
        ({"a": 3}, "the entry 'a'"),
        ({"__metadata__": {"step": 3}, "a": entry(0, 8)}, "not all strings"),
        ([], "not a JSON object"),
        (b'{"a": ' + json.dumps(entry(0, 4)).encode() + b', "a": ' + json.dumps(entry(4, 8)).encode() + b"}", "twice"),
        (b'{"a": ', "not JSON"),
        (b'{"\xff": 1}', "UTF-8"),
        (b"[" * 5000, "JSON|recursion"),
    ],
)
def test_read_header__refuses_what_the_library_refuses(tmp_path, header, message):
    path = write(tmp_path / "x.safetensors", header)
    with pytest.raises(SafetensorError):
        library(path)
    with pytest.raises(DamagedData, match=message) as error:
        read_header(path)
    assert path in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0, 7, 2**31, 2**63, 2**64 - 1])
def test_read_header__an_absurd_length_of_the_header_is_refused(tmp_path, size):
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", size) + b"{}")
    with pytest.raises(DamagedData, match=r"x\.safetensors"):
        read_header(str(tmp_path / "x.safetensors"))


def test_read_header__empty_tensors_and_an_empty_file_are_fine(tmp_path):
    path = write(tmp_path / "x.safetensors", {"z": entry(0, 0), "a": entry(0, 8), "b": entry(8, 8, shape=[0, 3])})
    assert {name: held.shape for name, held in read_header(path).entries.items()} == library(path)
    assert read_header(write(tmp_path / "empty.safetensors", {}, b"")).entries == {}


GOOD = json.dumps({"__metadata__": {"format": "pt"}, "a": entry(0, 4), "b": entry(4, 8, shape=[2, 2])}).encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_read_header__takes_nothing_that_the_library_refuses(tmp_path, changes):
    raw = bytearray(GOOD)
    for position, byte in changes:
        raw[position] = byte
    path = write(tmp_path / "x.safetensors", bytes(raw))
    try:
        actual = {name: held.shape for name, held in read_header(path).entries.items()}
    except DamagedData:
        return
    assert actual == library(path)


def test_read_header__headers_that_are_alike_are_read_once(tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{i}.safetensors", {"a": entry(0, 8)}, bytes(8 * [i])) for i in range(3)]
    known = {}
    first = read_header(paths[0], known)
    monkeypatch.setattr(safetensors, "_parse", None)
    assert all(read_header(path, known) is first for path in paths)
    longer = write(tmp_path / "longer.safetensors", {"a": entry(0, 8)}, bytes(9))
    with pytest.raises(DamagedData, match="longer"):
        read_header(longer, known)
