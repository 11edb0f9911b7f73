"""Ranges of objects, in fsspec's memory; a real S3 server is asked in tests/runs/disk/test_urls.py."""

import threading

import fsspec
import numpy as np
import pytest

from trajlab import sizes
from trajlab.errors import DamagedData
from trajlab.runs.disk.remote import concurrently, fetch, open_bytes, read_bytes


@pytest.fixture
def store():
    store = fsspec.filesystem("memory")
    store.pipe({"/remote/a": bytes(range(100)), "/remote/b": b"hello"})
    yield store
    store.rm("/remote", recursive=True)


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_fetch__spans_of_any_objects_in_their_order(store, monkeypatch, piece):
    monkeypatch.setattr(sizes, "REQUEST_BYTES", piece)
    a, b, empty = fetch([("memory://remote/a", 10, 30), ("memory://remote/b", 1, 3), ("memory://remote/a", 5, 5)])
    assert a.tolist() == list(range(10, 30)) and b.tobytes() == b"el" and a.dtype == np.uint8
    assert empty.size == 0 and not a.flags.writeable
    assert fetch([]) == []


@pytest.mark.parametrize(
    ("url", "words"), [("memory://remote/b", "bytes 2 to 9 .*/b: it ends at byte 5"), ("memory://remote/c", "/c: ")]
)
def test_fetch__an_object_that_is_too_short_or_gone_is_named(store, url, words):
    with pytest.raises(DamagedData, match=words):
        fetch([("memory://remote/a", 0, 9), (url, 2, 9)])


def test_open_bytes__of_files_and_urls(store, tmp_path):
    (tmp_path / "x").write_bytes(b"0123")
    for path, expected in ((str(tmp_path / "x"), b"23"), ("memory://remote/b", b"llo")):
        with open_bytes(path) as file:
            file.seek(2)
            assert file.read() == expected


def test_concurrently__keeps_the_order_and_uses_threads_for_urls_only():
    here = threading.get_ident()
    assert list(concurrently(lambda item: (item, threading.get_ident() == here), "ab", "runs")) == [
        ("a", True),
        ("b", True),
    ]
    assert list(concurrently(lambda item: (item, threading.get_ident() == here), "ab", "memory://x")) == [
        ("a", False), ("b", False),
    ]  # fmt: skip


def test_read_bytes__refuses_files_that_state_more_than_a_log_has(tmp_path):
    with open(tmp_path / "log", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="It has 1,099,511,627,776 bytes, more than 2,147,483,648"):
        read_bytes(tmp_path / "log")
    (tmp_path / "short").write_bytes(b"abc")
    assert read_bytes(tmp_path / "short", None) == b"abc"
    with pytest.raises(OSError, match="more than 2"):
        read_bytes(tmp_path / "short", 2)
