import os

import pytest

from trajlab.runs.disk.fingerprint import fingerprint
from trajlab.runs.disk.paths import as_path


def test_it_changes_with_names_sizes_and_times(tmp_path):
    seen = [fingerprint(tmp_path)]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    seen.append(fingerprint(tmp_path))
    (tmp_path / "a" / "x").write_text("12")
    seen.append(fingerprint(tmp_path))
    os.utime(tmp_path / "a" / "x", ns=(0, 0))
    seen.append(fingerprint(tmp_path))
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    seen.append(fingerprint(tmp_path))
    assert len(set(seen)) == 5
    assert fingerprint(tmp_path) == seen[-1]


def test_what_does_not_exist_is_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    assert fingerprint(tmp_path / "nowhere") == fingerprint(tmp_path / "empty")


def test_files_behind_a_url(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    url = as_path("memory://fingerprint/run")
    store.pipe("/fingerprint/run/a", b"1")
    before = fingerprint(url)
    assert fingerprint(url) == before
    store.pipe("/fingerprint/run/a", b"22")
    assert fingerprint(url) != before
