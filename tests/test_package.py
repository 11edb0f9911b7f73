"""The wheel and the sdist hold what an installation needs, and nothing of the repository beside it."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "trajlab"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build both of a copy, as a build leaves files beside the sources."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("built")
    copy = folder / "trajlab-source"
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(lambda name: (ROOT / name).is_file(), files):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_no_other(built):
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert names == {name for name in files if "__pycache__" not in name}


@pytest.mark.slow
def test_the_sdist_builds_without_the_repository(built):
    (archive,) = built.glob("*.tar.gz")
    names = {name.partition("/")[2] for name in tarfile.open(archive).getnames()}
    assert {"README.md", "CHANGELOG.md", "pyproject.toml", "trajlab/cli.py"} <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "pipelines"))]
