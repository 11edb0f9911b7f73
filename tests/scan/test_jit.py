"""Machine code on disk is used only for the sources that it was compiled from."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trajlab

NORM = """
import trajlab, numpy as np
walk = trajlab.from_arrays({"w": np.array([[3.0, 4.0], [3.0, 4.0]], np.float32)})
print(trajlab.run("drift", walk)["norm"].values[0, 0])
"""


@pytest.fixture
def copy(tmp_path):
    """Copy the package, without its compiled code, to a folder of its own."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(trajlab.__file__).parent, tmp_path / "trajlab", ignore=skip)
    return tmp_path


def norm(folder: Path, **environment: str) -> float:
    """Compute the norm of (3, 4) in a new process, with the copy of the package."""
    known = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment = known | {"PYTHONPATH": str(folder)} | environment
    done = subprocess.run(
        [sys.executable, "-c", NORM], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_an_edit_of_an_inlined_function_recompiles_its_callers(copy):
    assert norm(copy) == 5.0
    kept = list(copy.rglob("*.nbc"))
    assert kept, "nothing was kept on disk, so that this test would pass without a cache"
    tiles = copy / "trajlab" / "scan" / "tiles.py"
    before, after = "total += np.float64(w[i])", "total += 100.0 * np.float64(w[i])"
    assert tiles.read_text().count(before) == 1
    tiles.write_text(tiles.read_text().replace(before, after))
    assert norm(copy) == 50.0


def test_without_a_place_for_compiled_code_the_numbers_are_the_same(copy):
    for folder in (copy / "trajlab" / "scan", copy / "trajlab" / "scan" / "kernels"):
        (folder / "__pycache__").write_text("a file where numba wants a folder")
    nowhere = copy / "file"
    nowhere.write_text("")
    taken = {name: str(nowhere / "cache") for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME")}
    assert norm(copy, PYTHONDONTWRITEBYTECODE="1", **taken) == 5.0
    assert not list(copy.rglob("*.nbc"))


def test_damaged_code_on_disk_is_compiled_again(copy):
    assert norm(copy) == 5.0
    for path in [*copy.rglob("*.nbc"), *copy.rglob("*.nbi")]:
        path.write_bytes(path.read_bytes()[:10])
    assert norm(copy) == 5.0
