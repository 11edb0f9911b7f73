"""Of two processes one records, and a killed one holds no lock."""

import errno
import os
import subprocess
import sys
import textwrap

import pytest
from torch import nn

from trajlab.errors import OutputExists
from trajlab.record import Recorder, folder_lock
from trajlab.record.folder_lock import LOCK_FILE, FolderLock


def test_recorder__of_two_processes_one_records(make_model, tmp_path, monkeypatch):
    with Recorder(make_model(), tmp_path / "run", resume=True):
        with pytest.raises(OutputExists, match="another Recorder of this process is recording there; .*close that one"):
            Recorder(make_model(), tmp_path / "run", resume=True)
        monkeypatch.setattr(folder_lock, "_this_process", lambda: "process 1 on another machine")
        with pytest.raises(OutputExists, match=rf"process {os.getpid()} on .* is recording there"):
            Recorder(make_model(), tmp_path / "run", resume=True)
    assert not list((tmp_path / "run").glob(".tmp-*"))
    Recorder(make_model(), tmp_path / "run", resume=True).close()


def test_recorder__a_process_that_was_killed_holds_no_lock(make_model, tmp_path):
    program = f"""
        import os, torch
        from trajlab.record import Recorder
        recorder = Recorder(torch.nn.Linear(2, 1), {str(tmp_path / "run")!r})
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], timeout=60)
    assert (tmp_path / "run" / ".tmp-lock").exists()
    Recorder(nn.Linear(2, 1), tmp_path / "run", resume=True).close()
    assert not (tmp_path / "run" / ".tmp-lock").exists()


def test_folder_lock__of_a_file_system_without_locks_is_given_to_all(monkeypatch, tmp_path):
    def unsupported(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert (tmp_path / LOCK_FILE).exists()
    first.release()
    second.release()
    assert not list(tmp_path.iterdir())
