"""Paths and URLs; object stores that are reached are tested in tests/runs/disk/test_urls.py."""

import errno
from pathlib import Path

import pytest

from trajlab.errors import BadSetting, MissingData, TrajlabError
from trajlab.runs.disk.paths import as_path, is_url, reaching, reason


@pytest.mark.parametrize(
    ("path", "expected"),
    [("s3://a/b", True), ("memory://a", True), ("runs/a", False), (Path("c:/x"), False), ("a:b", False)],
)
def test_is_url(path, expected):
    assert is_url(path) is expected


def test_as_path__files_are_paths_and_urls_have_their_methods(tmp_path):
    assert as_path(str(tmp_path)) == as_path(tmp_path) == as_path(f"file://{tmp_path}") == tmp_path
    url = as_path("memory://bucket/runs/")
    assert str(url) == "memory://bucket/runs" and str(url / "a.zarr") == "memory://bucket/runs/a.zarr"
    (url / "x").write_text("1")
    assert (as_path("memory://bucket/runs/x")).read_text() == "1"
    url.fs.rm("/bucket", recursive=True)


def test_as_path__says_what_is_wrong_with_a_url():
    with pytest.raises(BadSetting, match='pathlib collapses "//"'):
        as_path(Path("memory://bucket/run"))
    with pytest.raises(BadSetting, match="nope://bucket"):
        as_path("nope://bucket")


def test_reaching__turns_errors_of_stores_into_ours_and_no_others():
    with pytest.raises(TrajlabError, match="memory://a: Access Denied; check the address"), reaching("memory://a"):
        raise PermissionError(errno.EACCES, "Access Denied")
    for path, error in (
        ("runs/a", PermissionError(errno.EACCES, "Access Denied")),
        ("memory://a", OSError(errno.ENOSPC, "No space left on device")),
        ("memory://a", KeyError("bug")),
        ("memory://a", MissingData("ours")),
    ):
        with pytest.raises(type(error)) as raised, reaching(path):
            raise error
        assert raised.value is error


def test_reaching__knows_errors_of_clients_by_their_package():
    error = type("EndpointConnectionError", (Exception,), {"__module__": "botocore.exceptions"})("no route\nto host")
    with pytest.raises(TrajlabError, match="memory://a: no route to host;"), reaching("memory://a"):
        raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(5, "Broken."), "Broken"),
        (OSError(), "OSError()"),
        (ValueError("one\ntwo."), "one two"),
        (ValueError("long " * 100), ("long " * 60).rstrip()),
        (KeyError("shape"), "KeyError: 'shape'"),
        (ValueError(), "ValueError()"),
    ],
)
def test_reason__is_one_line(error, words):
    assert reason(error) == words
