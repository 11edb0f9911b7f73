import numpy as np
import pytest

from trajlab.runs.disk.rows import Rows


@pytest.fixture
def table(tmp_path, rng):
    """Return rows in two files, and their values."""
    values = rng.standard_normal((6, 2, 3)).astype(np.float32)
    for part in range(2):
        (tmp_path / f"{part}").write_bytes(b"headerxx" + values[3 * part : 3 * part + 3].tobytes())
    offset = 8 + 24 * np.tile(np.arange(3), 2)
    files = (str(tmp_path / "0"), str(tmp_path / "1"))
    return Rows(files, np.repeat([0, 1], 3).astype(np.int32), offset, (2, 3), np.dtype("<f4")), values
