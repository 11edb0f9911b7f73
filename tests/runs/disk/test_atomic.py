import errno
import json
import os
import subprocess
import sys

import pytest

from trajlab.errors import OutputExists, TrajlabError
from trajlab.runs.disk.atomic import atomic, check_free, write_file


def group(path, conventions="trajlab-result-3"):
    """Make what looks like a Zarr group."""
    path.mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps({"attributes": {"Conventions": conventions}}))
    return path


def test_atomic__a_folder_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "new" / "out.zarr"
    with atomic(target) as part:
        (part / "x").write_text("1")
        assert not target.exists()
    assert (target / "x").read_text() == "1" and [path.name for path in target.parent.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_atomic__an_error_leaves_what_was_there(tmp_path, error):
    target = group(tmp_path / "out.zarr")
    with pytest.raises(error), atomic(target, replaces="trajlab-result-3") as part:
        (part / "x").write_text("1")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"] and (target / "zarr.json").exists()


def test_atomic__replaces_a_group_of_its_kind_of_any_version(tmp_path):
    target = group(tmp_path / "out.zarr", "trajlab-result-1")
    with atomic(target, replaces="trajlab-result-3") as part:
        (part / "x").write_text("1")
    assert [path.name for path in target.iterdir()] == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps({"attributes": {"Conventions": "trajlab-1"}}), "it is not trajlab-result-3 but trajlab-1"),
        (json.dumps({"attributes": {}}), "but something else, which is never overwritten"),
        ("{", "something else"),
        ("[]", "something else"),
        (None, "something else"),
    ],
)
def test_check_free__never_replaces_anything_else(tmp_path, content, words):
    if content is not None:
        (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(OutputExists, match=words):
        check_free(tmp_path, "trajlab-result-3")
    with pytest.raises(OutputExists, match="exists already.*--overwrite"):
        check_free(tmp_path)


def test_check_free__a_link_to_nowhere_is_in_the_way(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExists, match="link"):
        check_free(tmp_path / "link")
    check_free(tmp_path / "free")


def test_atomic__removes_what_killed_processes_left_and_nothing_of_living_ones(tmp_path):
    for writer in ("999999999", "1", "words"):
        (tmp_path / f".out.part-{writer}").mkdir()
    (tmp_path / ".other.part-999999999").mkdir()
    with atomic(tmp_path / "out"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.part-999999999", "out"]


def test_atomic__of_two_writers_of_a_target_the_second_is_refused(tmp_path):
    program = "import sys; from pathlib import Path; from trajlab.runs.disk.atomic import atomic\n"
    program += "with atomic(Path(sys.argv[1])): print('writing', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(OutputExists, match=f"process {other.pid} is writing there; wait for it"):
            with atomic(tmp_path / "out"):
                pass
        with pytest.raises(OutputExists, match="is writing there"):
            write_file(tmp_path / "out", b"")
        other.kill()
    assert len(list(tmp_path.iterdir())) == 1
    with atomic(tmp_path / "out") as part:
        (part / "x").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_atomic__a_target_that_appeared_meanwhile_is_kept(tmp_path):
    with pytest.raises(OutputExists, match="out: it exists already"):
        with atomic(tmp_path / "out"):
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").write_text("1")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


def test_atomic__puts_back_what_a_killed_process_had_moved_aside(tmp_path):
    group(tmp_path / ".out.old-999999999", "trajlab-result-3")
    with pytest.raises(OutputExists, match="exists already"):
        check_free(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    group(tmp_path / ".out.old-999999999", "trajlab-result-3")
    with atomic(tmp_path / "out", replaces="trajlab-result-3") as part:
        (part / "new").write_text("1")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_write_file__removes_what_killed_processes_left(tmp_path):
    (tmp_path / ".a.html.part-999999999").write_text("half")
    write_file(tmp_path / "a.html", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"] and (tmp_path / "a.html").read_text() == "whole"


def test_atomic__a_full_disk_is_an_error_of_one_line(tmp_path):
    with pytest.raises(TrajlabError, match="out: the disk is full; nothing was changed"), atomic(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    (tmp_path / "file").write_text("")
    with pytest.raises(TrajlabError, match="cannot write .*file/out"), atomic(tmp_path / "file" / "out"):
        pass


def test_write_file__whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "new" / "a.png"
    write_file(target, b"one")
    write_file(target, b"two")
    assert target.read_bytes() == b"two"

    def fail(self, other):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(target), "replace", fail)
    with pytest.raises(TrajlabError, match="cannot write .*a.png: the disk is full; nothing was changed there"):
        write_file(target, b"three")
    assert target.read_bytes() == b"two" and os.listdir(target.parent) == ["a.png"]
