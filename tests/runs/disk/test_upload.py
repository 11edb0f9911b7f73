"""The order of an upload, in fsspec's memory; a real S3 server is written to in tests/runs/disk/test_urls.py."""

import fsspec
import pytest

from trajlab.runs.disk.paths import as_path
from trajlab.runs.disk.upload import check_writable, is_unfinished, move, uploaded
from trajlab.schema import STORE_FILE, UNFINISHED_FILE


@pytest.fixture
def target():
    store = fsspec.filesystem("memory")
    yield as_path("memory://upload/run.zarr")
    if store.exists("/upload"):
        store.rm("/upload", recursive=True)


def names(target):
    target.fs.invalidate_cache()
    folder = target.path.rstrip("/") + "/"
    return sorted(key.removeprefix(folder) for key in target.fs.find(target.path))


def fill(part, **files):
    for name, text in files.items():
        path = part / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (part / STORE_FILE).write_text("{}")


def test_uploaded__the_root_comes_last_and_the_mark_goes(target, monkeypatch):
    order = []
    put = type(target.fs).put_file
    monkeypatch.setattr(
        type(target.fs),
        "put_file",
        lambda self, source, key, **more: order.append(key) or put(self, source, key, **more),
    )
    with uploaded(target) as part:
        assert names(target) == [UNFINISHED_FILE] and is_unfinished(target)
        fill(part, weights__a="1", zz="2")
    assert order[-1].endswith(STORE_FILE) and len(order) == 3
    assert names(target) == sorted(["weights/a", "zz", STORE_FILE]) and not is_unfinished(target)


def test_uploaded__replaces_what_was_there_and_extends_where_it_is_told_to(target):
    with uploaded(target) as part:
        fill(part, old="1")
    with uploaded(target, extends=True) as part:
        assert not is_unfinished(target)  # the old root is there until the new one is ready
        fill(part, new="2")
    assert names(target) == sorted(["new", "old", STORE_FILE])
    with uploaded(target, streams=True) as part:
        assert names(target) == [UNFINISHED_FILE]
        fill(part, other="3")
    assert names(target) == sorted(["other", STORE_FILE])
    with uploaded(target) as part:
        assert {"other", STORE_FILE} <= set(names(target)) and not is_unfinished(target)
        fill(part, last="4")
    assert names(target) == sorted(["last", STORE_FILE])


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, ["old", STORE_FILE]),
        ({"streams": True}, [UNFINISHED_FILE]),
        ({"streams": True, "extends": True}, [UNFINISHED_FILE, "old", STORE_FILE]),
    ],
)
def test_uploaded__an_error_leaves_the_old_or_the_mark(target, settings, kept):
    with uploaded(target) as part:
        fill(part, old="1")
    with pytest.raises(ZeroDivisionError), uploaded(target, **settings) as part:
        fill(part, new="2")
        raise ZeroDivisionError
    assert names(target) == sorted(kept) and is_unfinished(target) is ("old" not in kept)


def test_check_writable__leaves_nothing(target):
    check_writable(target)
    assert not target.exists() or names(target) == []


def test_move__takes_the_local_file_away(target, tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    move(tmp_path / "x", target / "c" / "0")
    assert (target / "c" / "0").read_bytes() == b"abc" and not (tmp_path / "x").exists()
    assert not is_unfinished(tmp_path)
