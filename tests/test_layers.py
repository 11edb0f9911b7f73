"""Each folder of the package imports only folders on floors below its own."""

import ast
from pathlib import Path

import pytest

import trajlab

PACKAGE = Path(trajlab.__file__).parent

FLOORS = (
    {"terminal"},
    {"errors", "schema", "sizes", "threads"},
    {"runs"},
    {"record", "scan"},
    {"statistics"},
    {"replays"},
    {"stages"},
    {"running", "figures"},
    {"reports"},
    {"explorer"},
    {"cli", "notebook"},
    {"__main__"},
)
"""Rooms of `trajlab/`, from the ground up; rooms on one floor do not import each other."""

FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str) -> set[str]:
    """Return the rooms that a file imports, those that it imports inside functions included."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module)
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "trajlab" else set()
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {module.split(".")[1] for module in modules if module.startswith("trajlab.")}


def climbs(room: str, imported: set[str]) -> set[str]:
    return {other for other in imported - {room} if FLOOR[other] >= FLOOR[room]}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_floors_below_its_own(path):
    room = room_of(path)
    if room == "__init__":
        pytest.skip("the public names are imported when first used")
    assert not climbs(room, imported_rooms(path.read_text(encoding="utf-8")))


def test_every_room_has_a_floor():
    assert {room_of(path) for path in SOURCES} - {"__init__"} == set(FLOOR)


def test_an_import_of_a_floor_above_is_found():
    inside = "def f():\n    from trajlab.reports.page import report\n    import trajlab.running.run\n"
    assert climbs("stages", imported_rooms(inside)) == {"reports", "running"}
    assert climbs("stages", imported_rooms("from trajlab import figures, schema")) == {"figures"}


def test_packages_are_not_named_as_public_functions():
    assert not set(FLOOR) & set(trajlab.__all__)
