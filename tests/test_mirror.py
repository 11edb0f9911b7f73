"""Tests mirror the package: the tests of trajlab/a/b.py are in tests/a/test_b.py.

Modules of one folder may share the file that is named after the folder, tests/a/test_a.py: the rules of alerts, the
small observers, and the helpers of a stage that its own tests go through.
"""

from pathlib import Path

import pytest

import trajlab

PACKAGE = Path(trajlab.__file__).parent
TESTS = Path(__file__).parent

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")

IN_A_BROWSER = ("explorer/context.py", "explorer/controls.py", "explorer/views")
"""Parts of the explorer's page, tested where they are shown: tests/explorer/test_page.py drives a browser."""

WITHOUT = ("__main__.py",)
"""Calls the command line, as tests/test_cli.py does in a new process."""


def files_for(module: Path) -> list[Path]:
    """Return the test files that a module may have: of its own name, or of its folder."""
    folder = TESTS / module.parent
    return [folder / f"test_{module.stem}.py", folder / f"test_{folder.name}.py"]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_has_a_test_file(module):
    if module.as_posix().startswith((*IN_A_BROWSER, *WITHOUT)):
        assert not any(path.exists() for path in files_for(module)), "it has tests, so that it is no exception"
        return
    assert any(path.exists() for path in files_for(module)), f"no file of {[str(path) for path in files_for(module)]}"


def test_exceptions__are_few_and_exist():
    assert all((PACKAGE / path).exists() for path in (*IN_A_BROWSER, *WITHOUT))
    assert len(IN_A_BROWSER) + len(WITHOUT) <= 6


def test_each_test_file_is_about_something_that_there_is():
    """A file of tests in a folder of the package is in a folder that the package still has."""
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    foreign = {Path("."), Path("pipelines"), Path("benchmarks"), Path("docs"), Path("fuzz")}
    assert [folder for folder in folders - foreign if not (PACKAGE / folder).is_dir()] == []
