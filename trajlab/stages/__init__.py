"""Stages: one function a file or folder, named as it. This folder is the list of them."""

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from trajlab.errors import BadSetting


def stage_names() -> list[str]:
    """Return the names of all stages, alphabetically."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*") if stage_source(path.stem).exists())


def stage_source(name: str) -> Path:
    """Return the file that defines a stage: `name.py`, or `name/__init__.py` of one with helpers."""
    folder = Path(__file__).parent / name
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def stage(name: str):
    """Return the function of a stage.

    Raises
    ------
    BadSetting
        There is no such stage.
    """
    names = stage_names()
    if name not in names:
        close = get_close_matches(name, names)
        remedy = f"such as {', '.join(close)}" if close else ", ".join(names)
        raise BadSetting(f"cannot find the stage {name!r}: choose one of {len(names)}, {remedy}")
    return getattr(import_module(f"trajlab.stages.{name}"), name)
