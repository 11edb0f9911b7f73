"""Machine code on disk is used only for the sources that it was compiled from."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trajlab
from trajlab.scan import jit

SCAN = Path(jit.__file__).parent

SQUARES = """
import numpy as np
from trajlab.scan.kernels.zero_transitions import add_squares
row, out = np.array([3.0, 4.0], np.float32), np.zeros((1, 2))
add_squares(np.array([row.ctypes.data]), 0, 2, row[:0], out)
print(out[0, 1])
"""
"""Sum the squares of (3, 4): a kernel that compiles fast, and calls what others are compiled from."""


@pytest.fixture
def copy(tmp_path):
    """Copy the package, without its compiled code, to a folder of its own."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(trajlab.__file__).parent, tmp_path / "trajlab", ignore=skip)
    return tmp_path


def squares(folder: Path, **environment: str) -> float:
    """Run SQUARES in a new process, with the copy of the package."""
    known = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment = known | {"PYTHONPATH": str(folder)} | environment
    done = subprocess.run(
        [sys.executable, "-c", SQUARES], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_an_edit_of_an_inlined_function_recompiles_its_callers(copy):
    assert squares(copy) == 25.0
    kept = list(copy.rglob("*.nbc"))
    assert kept, "nothing was kept on disk, so that this test would pass without a cache"
    tiles = copy / "trajlab" / "scan" / "tiles.py"
    before, after = "total += np.float64(w[i])", "total += 100.0 * np.float64(w[i])"
    assert tiles.read_text().count(before) == 1
    tiles.write_text(tiles.read_text().replace(before, after))
    assert squares(copy) == 2500.0


def test_without_a_place_for_compiled_code_the_numbers_are_the_same(copy):
    for folder in (copy / "trajlab" / "scan", copy / "trajlab" / "scan" / "kernels"):
        (folder / "__pycache__").write_text("a file where numba wants a folder")
    nowhere = copy / "file"
    nowhere.write_text("")
    taken = {name: str(nowhere / "cache") for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME")}
    assert squares(copy, PYTHONDONTWRITEBYTECODE="1", **taken) == 25.0
    assert not list(copy.rglob("*.nbc"))


def test_code_from_the_disk_rounds_as_code_just_compiled(tmp_path):
    code = (
        "import numpy as np; from trajlab.scan.block import Block, reduce; from trajlab.scan.track import Track\n"
        "from trajlab.scan.kernels.moments import Moments\n"
        "rows = np.random.default_rng(0).standard_normal((32, 9000)).astype(np.float32); rows[:, -3:] = np.nan\n"
        "print(reduce([Moments()], Block(Track(list(rows), None, None)))[0][0].tobytes().hex())"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    compiled, loaded = (subprocess.check_output(command, env=environment, text=True) for _ in range(2))
    assert list(tmp_path.rglob("*.nbc")) and compiled == loaded


def test_damaged_code_on_disk_is_compiled_again(copy):
    assert squares(copy) == 25.0
    for path in [*copy.rglob("*.nbc"), *copy.rglob("*.nbi")]:
        path.write_bytes(path.read_bytes()[:10])
    assert squares(copy) == 25.0


def test_the_imports_of_a_file_are_those_that_python_sees():
    for path in SCAN.rglob("*.py"):
        expected = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                expected |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                expected |= {alias.name for alias in node.names}
        modules = {name for name in expected if name.startswith("trajlab.scan") or name == "trajlab.sizes"}
        files = {SCAN.parents[0].joinpath(*name.split(".")[1:]).with_suffix(".py") for name in modules}
        assert {path for path in jit._imports(path) if path.name != "__init__.py"} == {
            path for path in files if path.is_file()
        }


def test_the_stamp_covers_what_a_kernel_imports_and_only_that(copy):
    kernels = copy / "trajlab" / "scan" / "kernels"
    script = f"""
from pathlib import Path
from trajlab.scan.jit import source_stamp
kernels = Path({str(kernels)!r})
files = {{
    "direct": kernels / "drift_sums.py",
    "tiles": kernels.parent / "tiles.py",
    "sizes": kernels.parents[1] / "sizes.py",
    "other": kernels / "power_law.py",
}}
source = kernels / "drift_sums.py"
before = source_stamp(source)
for label, file in files.items():
    text = file.read_text()
    file.write_text(text + "# edited")
    print(label, source_stamp(source) != before)
    file.write_text(text)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["direct", "True", "tiles", "True", "sizes", "True", "other", "False"]
