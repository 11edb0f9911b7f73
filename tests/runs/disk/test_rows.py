import errno
import mmap
import os

import numpy as np
import pytest

from trajlab.errors import DamagedData
from trajlab.runs.disk.rows import Rows, opened


def test_rows__views_and_load(table):
    rows, values = table
    np.testing.assert_array_equal(np.stack(rows.views()).reshape(values.shape), values)
    np.testing.assert_array_equal(rows.load(), values)
    np.testing.assert_array_equal(rows[1:5:2].load(), values[1:5:2])
    assert rows[3:].files == rows.files[1:]


def test_rows__views_cannot_be_written_to(table):
    rows, _ = table
    assert not rows.views()[0].flags.writeable


def test_rows__what_was_loaded_outlives_a_file_that_is_cut_off(table):
    rows, values = table
    loaded = rows.load()
    for path in rows.files:
        os.truncate(path, 0)
    np.testing.assert_array_equal(loaded, values)
    with pytest.raises(DamagedData, match="it ends before"):
        rows.load()


def test_rows__hold_no_file_open(table):
    rows, _ = table
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        rows.load()
    assert len(os.listdir("/proc/self/fd")) == before


def test_rows__bytes_at_an_odd_address(tmp_path, rng):
    values = rng.standard_normal((2, 5)).astype(np.float32)
    (tmp_path / "odd").write_bytes(b"x" + values.tobytes())
    rows = Rows((str(tmp_path / "odd"),), np.zeros(2, np.int32), np.array([1, 21]), (5,), np.dtype("<f4"))
    np.testing.assert_array_equal(rows.load(), values)
    assert all(view.flags.aligned for view in rows.views())


def test_rows__a_file_that_vanished_is_named(table):
    rows, _ = table
    os.remove(rows.files[1])
    with pytest.raises(DamagedData, match=rows.files[1]):
        rows.load()


def test_opened__a_pipe_or_device_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), os.devnull):
        with pytest.raises(DamagedData, match="it is no file"):
            opened(path)


def test_views__memory_that_is_exhausted_is_no_damaged_file(table, monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(MemoryError, match="unable to map"):
        table[0].views()
