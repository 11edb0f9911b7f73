"""Stages: one function a file, named as the file. The folder is the list of them."""

from importlib import import_module
from pathlib import Path

from trajlab.errors import BadSetting


def stage_names() -> list[str]:
    """Names of all stages, alphabetically."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "__init__")


def stage(name: str):
    """Give the function of a stage.

    Raises
    ------
    BadSetting
        There is no such stage.
    """
    if name not in stage_names():
        raise BadSetting(
            f"the stage {name!r} was asked for; there are {', '.join(stage_names())}. Choose one of these."
        )
    return getattr(import_module(f"trajlab.stages.{name}"), name)
