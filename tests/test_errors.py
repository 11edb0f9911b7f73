import errno

import pytest

from trajlab.errors import BUG, DEBUG, DamagedData, errors_in_one_line


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
