"""Figures: a file for each stage that deserves its own, and a default for all others."""

from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import xarray as xr
from matplotlib.axes import Axes

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.figures import default
from trajlab.figures.inline import STYLE
from trajlab.figures.panel import Panel
from trajlab.places import place, reaching
from trajlab.schema import RESULT_VERSION, STORE_FILE
from trajlab.stages import stage_names
from trajlab.whole import check_free, write_file


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
    home = _home(result)
    draw = getattr(home, str(result.attrs.get("stage", "")), default.default)
    return draw(result, ax=ax, **({} if variable is None else {"variable": variable}), **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Give the figures of a result that a report shows; none of a result without steps."""
    return [] if result.sizes.get("step") == 0 else _home(result).panels(result)


def save(
    result: str | Path | xr.Dataset, out: str | Path, *, overwrite: bool = False, variable: str | None = None,
    run: str | None = None, parameter: str | None = None, layer: str | None = None, tau: float | None = None,
) -> Path:  # fmt: skip
    """Draw a result and write the picture.

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

    Raises
    ------
    OutputExists
        The picture exists and is not to be overwritten.
    BadSetting
        The format is unknown, or there is no such part of the result.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    out = place(out)
    drawing = Figure(figsize=(7.2, 4.0), layout="constrained")
    formats = drawing.canvas.get_supported_filetypes()
    if out.suffix.removeprefix(".") not in formats:
        raise BadSetting(
            f"the picture {out} was asked for; pictures end in {', '.join(sorted(formats))}. Change the name."
        )
    if not overwrite:
        check_free(out)
    with matplotlib.style.context(STYLE):
        drawing = Figure(figsize=(7.2, 4.0), layout="constrained")
        asked = {"run": run, "parameter": parameter, "layer": layer, "tau": tau}
        select = {dim: label for dim, label in asked.items() if label is not None}
        figure(read(result), ax=drawing.add_subplot(), variable=variable, **select)
        picture = BytesIO()
        drawing.savefig(picture, format=out.suffix.removeprefix("."), dpi=160, facecolor="white")
    write_file(out, picture.getvalue())
    return out


def read(result: str | Path | xr.Dataset) -> xr.Dataset:
    """Open a stored result, and compute a lazy one.

    Raises
    ------
    MissingData
        There is nothing at the path, or a folder of several results.
    DamagedData
        What is there is not a result, or one of another version.
    """
    if isinstance(result, xr.Dataset):
        where, opened = "the result", result
    else:
        folder = place(result)
        where = str(folder)
        with reaching(folder):
            if not folder.is_dir():
                raise MissingData(
                    f"a result was to be opened at {where}; there is none. Name a .zarr that a stage wrote."
                )
            if not (folder / STORE_FILE).exists() and (held := sorted(folder.glob("*.zarr"))):
                raise MissingData(
                    f"a result was to be opened at {where}; it holds several results: "
                    f"{', '.join(path.stem for path in held)}. Name one of them."
                )
            try:
                opened = xr.open_zarr(where, chunks=None)
            except (OSError, KeyError, ValueError) as error:
                raise DamagedData(
                    f"a result was to be opened at {where}; {str(error).splitlines()[0]}. Compute the stage again."
                ) from error
    found = opened.attrs.get("Conventions", RESULT_VERSION if "stage" in opened.attrs else "nothing")
    if found != RESULT_VERSION:
        raise DamagedData(
            f"{where} was to be a result of version {RESULT_VERSION}; it says {found}. Compute the stage again."
        )
    return opened.compute() if any(variable.chunks for variable in opened.variables.values()) else opened


def _home(result: xr.Dataset) -> ModuleType:
    """Give the module that draws a result's stage."""
    name = str(result.attrs.get("stage", ""))
    if name in stage_names() and (Path(__file__).parent / f"{name}.py").exists():
        return import_module(f"trajlab.figures.{name}")
    return default
