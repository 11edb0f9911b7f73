"""Figures of results: a file for each stage with its own, and a default for all others.

matplotlib's figures are imported when something is drawn: the page of `trajlab explore` needs the colors alone.
"""

import re
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.figures.marks.selection import between, narrowed
from trajlab.runs.disk.atomic import check_free, write_file
from trajlab.runs.disk.paths import as_path
from trajlab.runs.disk.reading import reading
from trajlab.stages import stage_names
from trajlab.statistics.prepare import Result, prepare
from trajlab.statistics.read import read

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from trajlab.figures.panel import Frames, Panel

INCHES, DOTS = (7.2, 4.0), 160.0
"""Size of a still picture, and its dots per inch."""

REMEDY = "compute the stage again; if that does not help, it is a bug, so see `trajlab --debug figure …`"
"""What to do about a result that cannot be drawn."""


def figure(
    result: xr.Dataset | Result, *, ax: "Axes | None" = None, variable: str | None = None, **select: Any
) -> "Axes":
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
        Which part of it, by dim, as in ``run="adam-0"``, ``parameter="fc1.weight"``, ``input="gaussian"`` or
        ``tau=1e-5``. By default runs are averaged in heat maps and bars, and the title says so; single units, images,
        class numbers and positions have no mean over runs, and are those of the first.

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
    stage, data = prepare(result)
    if data.sizes.get("step") == 0:
        raise MissingData("cannot draw the result: it has no steps; compute the stage on a run with two or more.")
    data, select = narrowed(data, select)
    module = _module(stage)
    draw = getattr(module, stage if hasattr(module, stage) else "default")
    return draw(data, ax=ax, **({} if variable is None else {"variable": variable}), **select)


def panels(result: xr.Dataset | Result) -> "list[Panel]":
    """Return the figures of a result that a report shows; none of a result without steps."""
    stage, data = prepare(result)
    return [] if data.sizes.get("step") == 0 else _module(stage).panels(data)


def save(
    result: str | Path | xr.Dataset, out: str | Path, *, overwrite: bool = False, variable: str | None = None,
    run: str | None = None, parameter: str | None = None, layer: str | None = None, tau: float | None = None,
    steps: str | None = None, at: Mapping[str, Any] | None = None, size: str | None = None, dpi: float | None = None,
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
    at
        Labels of other dims, as in ``{"input": "gaussian"}``.
    size
        Width and height of a still picture in inches, as in "3.5x2.5"; by default 7.2x4.
    dpi
        Dots per inch of a still picture, 160 by default; of vector formats those of heat maps in it.

    Raises
    ------
    OutputExists
        The picture exists and is not to be overwritten.
    BadSetting
        The format is unknown, there is no such part of the result, or results of its stage do not move; or the size
        makes no sense, or is that of a picture that moves.
    MissingData
        The result has none of the steps.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    from trajlab.figures.moving import WRITERS

    out = as_path(out)
    ending = out.suffix.removeprefix(".")
    formats = {*FigureCanvasBase.get_supported_filetypes(), *WRITERS}
    if ending not in formats:
        raise BadSetting(
            f"cannot write the picture {out}: its name must end in one of {', '.join(sorted(formats))}; change it."
        )
    if ending in WRITERS and (size is not None or dpi is not None):
        raise BadSetting(f"cannot size the animation {out}: --size and --dpi are for still pictures; leave them out.")
    inches, dots = _inches(size), DOTS if dpi is None else dpi
    if not 10 <= dots <= 2400:
        raise BadSetting(f"cannot draw with dpi={dots:g}: choose 10 to 2,400.")
    if not overwrite:
        check_free(out)
    asked = {"variable": variable, "run": run, "parameter": parameter, "layer": layer, "tau": tau}
    select: dict[str, Any] = {name: label for name, label in asked.items() if label is not None} | dict(at or {})
    with nullcontext() if isinstance(result, xr.Dataset) else reading(result, REMEDY):
        chosen = prepare(between(read(result), steps))
        if ending in WRITERS:
            picture = WRITERS[ending](_frames(chosen, **select))
        else:
            picture = _still(chosen, ending, inches, dots, **select)
    write_file(out, picture)
    return out


def _inches(size: str | None) -> tuple[float, float]:
    """Return width and height, as in "3.5x2.5"."""
    if size is None:
        return INCHES
    match = re.fullmatch(r"(\d+(?:\.\d*)?)[x×,](\d+(?:\.\d*)?)", size.strip().lower())
    inches = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if not all(0.5 <= length <= 50 for length in inches):
        raise BadSetting(
            f"cannot draw with the size {size!r:.40}: write width and height in inches, each 0.5 to 50, as in 3.5x2.5."
        )
    return inches


def _still(result: Result, ending: str, inches: tuple[float, float], dpi: float, **select: Any) -> bytes:
    """Draw a still picture of a result."""
    import matplotlib.style
    from matplotlib.figure import Figure

    from trajlab.figures.inline import STYLE

    with matplotlib.style.context(STYLE):
        drawing = Figure(figsize=inches, layout="constrained")
        figure(result, ax=drawing.add_subplot(), **select)
        picture = BytesIO()
        drawing.savefig(picture, format=ending, dpi=dpi, facecolor="white")
    return picture.getvalue()


def _frames(result: Result, **select: Any) -> "Frames":
    """Return the frames of an animation of a result."""
    from trajlab.figures.panel import Animated

    module = _module(result.stage)
    if not isinstance(module, Animated):
        animated = [name for name in stage_names() if isinstance(_module(name), Animated)]
        raise BadSetting(
            f"cannot animate a result of {result.stage or 'no stage'}: only {', '.join(animated)} can be; name a .png."
        )
    if result.data.sizes["step"] == 0:
        raise MissingData("cannot animate the result: it has no steps; name another result.")
    data, select = narrowed(result.data, select)
    return module.frames(data, **select)


def _module(stage: str) -> ModuleType:
    """Return the module that draws the results of a stage."""
    has_own = stage in stage_names() and find_spec(f"trajlab.figures.{stage}") is not None
    return import_module(f"trajlab.figures.{stage if has_own else 'default'}")
