import pytest

import trajlab
from trajlab.errors import DamagedData
from trajlab.explorer.stored_result import read_lazily
from trajlab.running.compute import write


@pytest.fixture
def path(example, tmp_path):
    write({tmp_path / "moved.zarr": trajlab.run("drift", example)})
    return tmp_path / "moved.zarr"


def test_arrays_are_not_read_and_texts_are_objects(path):
    result = read_lazily(path)
    assert not result["relative"].variable._in_memory
    assert result["parameter"].dtype == object and result.attrs["stage"] == "drift"


def test_a_damaged_result_is_refused(path):
    (path / "zarr.json").write_text("{")
    with pytest.raises(DamagedData, match="moved.zarr"):
        read_lazily(path)
