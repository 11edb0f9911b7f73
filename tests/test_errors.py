import errno
import sys

import pytest

from trajlab.errors import (
    BUG,
    DEBUG,
    AlertFired,
    BadSetting,
    DamagedData,
    MissingData,
    MissingInput,
    OutputExists,
    errors_in_one_line,
)


def printed(error, capsys, **keywords):
    with pytest.raises(SystemExit) as exit, errors_in_one_line("trajlab", **keywords):
        try:
            raise KeyError("cause")
        except KeyError as cause:
            raise error from cause
    return exit.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [DamagedData("cannot read x\n\x1b[31m"), OSError(errno.ELOOP, "Too many levels", "x"), MemoryError("8 EiB")],
)
def test_errors_in_one_line__of_data_and_of_the_file_system(error, capsys):
    code, text = printed(error, capsys)
    assert code == 1 and text.count("\n") == 1 and "\x1b" not in text


def test_errors_in_one_line__with_debug_the_causes_follow(capsys, monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    code, text = printed(DamagedData("cannot read x"), capsys)
    assert code == 1 and text.startswith("trajlab: cannot read x\nTraceback") and "KeyError: 'cause'" in text


def test_errors_in_one_line__a_bug_stays_visible_and_has_its_own_exit_code(capsys):
    code, text = printed(ZeroDivisionError("division"), capsys, and_bugs=True)
    assert code == BUG and text.count("\n") == 1
    assert "ZeroDivisionError: division" in text and "test_errors.py" in text and "--debug" in text
    for error in (ZeroDivisionError("division"), OSError(errno.ENOTTY, "x")):
        with pytest.raises(type(error)), errors_in_one_line("pipelines"):
            raise error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MissingData("cannot read w:\nit is gone"), "drift: cannot read w: it is gone"),
        (AlertFired("Spike fired"), "drift: Spike fired"),
        (OSError(errno.ENOSPC, "No space left on device", "a.zarr"), "a.zarr: No space left on device"),
        (OSError(errno.EACCES, "Permission denied"), "a file: Permission denied"),
    ],
)
def test_errors_in_one_line__exit_with_1(error, line, capsys):
    with pytest.raises(SystemExit) as stopped, errors_in_one_line("drift"):
        raise error
    out, err = capsys.readouterr()
    assert stopped.value.code == 1 and not out
    assert err.count("\n") == 1 and err.rstrip().endswith(line)


def after(cause, error):
    """Return an error that another was raised before."""
    try:
        try:
            raise cause
        except BaseException:
            raise error  # noqa: B904
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "size"),
    [
        (MemoryError(), ""),
        (MemoryError("8 EiB"), " (8 EiB)"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), " ([Errno 12] Cannot allocate memory)"),
        (after(MemoryError(), TypeError("No matching definition")), ""),
        (after(OSError(errno.ENOMEM, "no"), OSError(errno.ENOTTY, "x")), " ([Errno 12] no)"),
    ],
)
def test_errors_in_one_line__whatever_a_lack_of_memory_led_to_names_it(error, size, capsys):
    with pytest.raises(SystemExit) as stopped, errors_in_one_line("drift", and_bugs=True):
        raise error
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith(
        f"drift: cannot finish: memory is exhausted{size}; choose fewer --workers"
    )


@pytest.mark.parametrize("bug", [OSError(errno.ENOTTY, "Inappropriate ioctl"), ValueError("x"), KeyError("w")])
def test_errors_in_one_line__bugs_keep_their_traceback(bug, capsys):
    with pytest.raises(type(bug)), errors_in_one_line("drift"):
        raise bug
    assert not capsys.readouterr().err


def test_errors_in_one_line__a_reader_that_has_gone_is_no_error_to_print(tmp_path, monkeypatch, capsys):
    """As in `trajlab info RUN | head -1`: what is written after that goes nowhere."""
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as stopped, errors_in_one_line("info"):
            raise BrokenPipeError
        out.write("more")
        out.flush()
    assert stopped.value.code == 1 and not capsys.readouterr().err
    assert not (tmp_path / "out").read_text()


def test_errors__are_those_that_plain_python_would_raise():
    assert issubclass(BadSetting, ValueError) and issubclass(OutputExists, FileExistsError)
    error = MissingInput("cannot compute drift: the run has no weights.", "no weights")
    assert isinstance(error, MissingData)
    assert (str(error), error.reason) == ("cannot compute drift: the run has no weights.", "no weights")
