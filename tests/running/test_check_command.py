import numpy as np
import pytest

import trajlab
from tests.command_line import call
from trajlab.errors import DamagedData, MissingData
from trajlab.running.check_command import check_all


@pytest.fixture
def study(tmp_path):
    for name in ("a", "b"):
        trajlab.pack(trajlab.from_arrays({"w": np.ones((3, 4), np.float32)}), tmp_path / "runs" / f"{name}.zarr")
    return tmp_path / "runs"


def test_check__a_line_for_each_store_in_a_folder(study):
    done = call("check", study)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{study}/{name}.zarr: 2 arrays as written" for name in "ab"]


def test_check__all_are_checked_before_the_error_that_names_what_is_damaged(study, capsys):
    shard = study / "a.zarr" / "weights" / "w" / "value" / "c" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DamagedData, match=rf"cannot trust 1 piece.*{study}/a\.zarr: weights/w/value: rows 0 to 2"):
        check_all([study])
    assert capsys.readouterr().out == f"{study}/b.zarr: 2 arrays as written\n"


def test_check__a_folder_without_checksums(tmp_path):
    with pytest.raises(MissingData, match="holds no packed store"):
        check_all([tmp_path])
