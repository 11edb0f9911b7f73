"""Figures: a file for each stage that deserves its own, and a default for all others."""

from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.style
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from trajlab.errors import BadSetting, MissingData
from trajlab.figures import default
from trajlab.figures.inline import STYLE
from trajlab.figures.marks.choosing import between
from trajlab.figures.moving import WRITERS
from trajlab.figures.panel import Frames, Panel
from trajlab.runs.disk.atomic import check_free, write_file
from trajlab.runs.disk.paths import as_path
from trajlab.stages import stage_names
from trajlab.statistics.extremes import with_reference
from trajlab.statistics.read import looked_at, read


def figure(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw a result: what its stage is mostly asked, or one of its variables.

    Parameters
    ----------
    result
        The result of a stage.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable to draw; by default the one that answers the stage's question.
    select
        Which part of it, as in ``run="adam-0"``, ``parameter="fc1.weight"`` or ``tau=1e-5``. By default runs are
        averaged in heat maps and bars, and the title says so.

    Raises
    ------
    BadSetting
        There is no such variable, dim or label.
    MissingData
        The result has no steps.

    Examples
    --------
    >>> import trajlab
    >>> figure(trajlab.run("drift", trajlab.example())).get_xlabel()
    'step'
    """
    if result.sizes.get("step") == 0:
        raise MissingData(
            "a result was to be drawn; it has no steps. Record at least two steps, or name another result."
        )
    home, result = _home(result), with_reference(result)
    draw = getattr(home, str(result.attrs.get("stage", "")), default.default)
    return draw(result, ax=ax, **({} if variable is None else {"variable": variable}), **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Give the figures of a result that a report shows; none of a result without steps."""
    return [] if result.sizes.get("step") == 0 else _home(result).panels(with_reference(result))


def save(
    result: str | Path | xr.Dataset, out: str | Path, *, overwrite: bool = False, variable: str | None = None,
    run: str | None = None, parameter: str | None = None, layer: str | None = None, tau: float | None = None,
    steps: str | None = None,
) -> Path:  # fmt: skip
    """Draw a result and write the picture; one that moves if its name ends in .gif, .webp, .apng or .mp4.

    Parameters
    ----------
    result
        A result, or where it is stored.
    out
        The picture; its ending says the format.
    overwrite
        Whether a picture that exists is replaced.
    variable, run, parameter, layer, tau
        What to draw, as in `figure`.
    steps
        Steps to draw, ``100:200``, ``100:``, ``:200`` or ``100``; all by default.

    Raises
    ------
    OutputExists
        The picture exists and is not to be overwritten.
    BadSetting
        The format is unknown, there is no such part of the result, or results of its stage do not move.
    MissingData
        The result has none of the steps.
    """
    out = as_path(out)
    ending = out.suffix.removeprefix(".")
    formats = {*FigureCanvasBase.get_supported_filetypes(), *WRITERS}
    if ending not in formats:
        raise BadSetting(
            f"the picture {out} was asked for; pictures end in {', '.join(sorted(formats))}. Change the name."
        )
    if not overwrite:
        check_free(out)
    drawn = between(read(result), steps)
    asked = {"variable": variable, "run": run, "parameter": parameter, "layer": layer, "tau": tau}
    select: dict[str, Any] = {name: label for name, label in asked.items() if label is not None}
    with looked_at("the result" if isinstance(result, xr.Dataset) else str(result), drawn):
        picture = WRITERS[ending](_frames(drawn, **select)) if ending in WRITERS else _still(drawn, ending, **select)
    write_file(out, picture)
    return out


def _still(result: xr.Dataset, ending: str, **select: Any) -> bytes:
    """Draw a result as a picture that does not move."""
    with matplotlib.style.context(STYLE):
        drawing = Figure(figsize=(7.2, 4.0), layout="constrained")
        figure(result, ax=drawing.add_subplot(), **select)
        picture = BytesIO()
        drawing.savefig(picture, format=ending, dpi=160, facecolor="white")
    return picture.getvalue()


def _frames(result: xr.Dataset, **select: Any) -> Frames:
    """Give the frames of a result that moves."""
    home = _home(result)
    if not hasattr(home, "frames"):
        moving = [name for name in stage_names() if hasattr(_module(name), "frames")]
        raise BadSetting(
            f"a moving picture was asked for; results of {', '.join(moving)} move. Name a .png for this one."
        )
    if result.sizes["step"] == 0:
        raise MissingData("a result was to be drawn; it has no steps. Name another result.")
    return home.frames(result, **select)


def _home(result: xr.Dataset) -> ModuleType:
    """Give the module that draws a result's stage."""
    name = str(result.attrs.get("stage", ""))
    return _module(name) if name in stage_names() else default


def _module(name: str) -> ModuleType:
    """Give the module that draws the results of a stage."""
    own = (Path(__file__).parent / f"{name}.py").exists()
    return import_module(f"trajlab.figures.{name}") if own else default
