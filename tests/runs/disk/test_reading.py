import errno

import pytest

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.runs.disk.reading import reading


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (RuntimeError("Zstd decompression error:\n invalid"), DamagedData, "Zstd decompression error: invalid"),
        (RecursionError("maximum recursion depth"), DamagedData, "maximum recursion depth"),
        (KeyError("shape"), DamagedData, "KeyError: 'shape'"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links"), MissingData, "Too many levels"),
        (OSError("it is a pipe"), DamagedData, "it is a pipe"),
        (ValueError(""), DamagedData, "ValueError"),
    ],
)
def test_reading__names_the_file_whatever_its_reader_raises(error, kind, words):
    with pytest.raises(kind) as raised, reading("runs/x", "restore it", form="a probe", part="inputs"):
        raise error
    assert str(raised.value).startswith("cannot read inputs of runs/x as a probe: ")
    assert words in str(raised.value) and str(raised.value).endswith("; restore it")
    assert raised.value.__cause__ is error


def test_reading__errors_of_our_own_pass():
    with pytest.raises(BadSetting, match=r"^mine$"), reading("x", "restore it"):
        raise BadSetting("mine")
