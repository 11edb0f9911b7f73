"""Sheets of pictures: samples by steps, runs or kinds of attribution, and units by steps."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.image_grid import leveled, overlaid, picture, ratio, sheet, signed
from trajlab.figures.marks.selection import moment
from trajlab.statistics.studies import groups

ROWS = {
    "image": "input",
    "input_gradient": "gradient",
    "grad_cam": "Grad-CAM",
    "adversarial": "adversarial",
}
"""Rows of the sheet of samples, and their names."""

ABOVE = 18
"""Points between a sheet and its title, where the column names stand."""

MOST = 12
"""Columns of a sheet at most."""


def is_image(array: xr.DataArray) -> bool:
    """Return whether an array holds images."""
    axes = [str(dim) for dim in array.dims if dim not in ("run", "step", "sample", "unit", "channel")]
    return len(axes) == 2


def rows_of(result: xr.Dataset) -> list[str]:
    """Return the variables that a sheet of samples shows, a row each."""
    return [name for name in ROWS if name in result and (name != "grad_cam" or is_image(result[name]))]


def sheet_size(shape: tuple[int, ...], rows: int, columns: int) -> tuple[float, float]:
    """Return the size in inches of a sheet of tiles."""
    return 9.2, min(8.0 * ratio(shape, rows, columns) + 0.8, 7.0)


def kinds_of_runs(result: xr.Dataset) -> dict[str, int]:
    """Return the position of the first run of each kind; runs of a kind differ in their seed only."""
    if "run" not in result.dims:
        return {}
    return {kind: positions[0] for kind, positions in list(groups(result).items())[:MOST]}


def samples_sheet(result: xr.Dataset, ax: Axes, **select: Any) -> None:
    """Draw all samples at a step."""
    at, title = moment(result, **select)
    rows = rows_of(result)
    samples = [at.isel(sample=i) for i in range(min(at.sizes["sample"], MOST))]
    tiles = [[_tile(sample, name) for sample in samples] for name in rows]
    below, note = (
        [_class_text(sample, "adversarial_predicted") for sample in samples],
        "prediction of the adversarial input",
    )
    is_attacked = "adversarial_predicted" in at
    sheet(tiles, ax, rows=[ROWS[name] for name in rows], columns=[_name(sample) for sample in samples],
          below=below if is_attacked else (), note=note if is_attacked else "")  # fmt: skip
    ax.set_title(f"{title}: label, → prediction where it differs", y=1.0, pad=ABOVE)


def steps_sheet(result: xr.Dataset, ax: Axes, sample: int, **select: Any) -> None:
    """Draw a sample at all steps."""
    rows = [name for name in rows_of(result) if name != "image"]
    first, _ = moment(result.isel(sample=sample), **select, step=None)
    run = {"run": select.get("run")}
    steps = [moment(result.isel(sample=sample), step=step, **run)[0] for step in result["step"].values]
    tiles = [[_tile(at, name) for at in steps] for name in rows]
    is_attacked = "adversarial_predicted" in result
    sheet(tiles, ax, rows=[ROWS[name] for name in rows], columns=[f"step {int(at['step']):,}" for at in steps],
          below=[_class_text(at, "adversarial_predicted") for at in steps] if is_attacked else (),
          note="prediction of the adversarial input" if is_attacked else "")  # fmt: skip
    ax.set_title(f"sample {int(first['sample_index'])} of the probe", y=1.0, pad=ABOVE)


def maps_sheet(result: xr.Dataset, name: str, ax: Axes | None, **select: Any) -> Axes:
    """Draw the maps of the samples at a step, a row for each kind of run; of a single run a row for each step."""
    few = result.isel(sample=slice(MOST))
    if select.get("run") is None and len(kinds := kinds_of_runs(result)) > 1:
        rows = {kind: moment(few, step=select.get("step"), run=result["run"].values[i])[0] for kind, i in kinds.items()}
        title = f"step {int(next(iter(rows.values()))['step']):,}"
    else:
        steps = result["step"].values if select.get("step") is None else [select["step"]]
        rows = {f"step {step:,}": moment(few, step=step, run=select.get("run"))[0] for step in steps}
        title = str(next(iter(rows.values()))["run"].item()) if "run" in result.dims else ""
    first = next(iter(rows.values()))
    inputs = [picture(_channels(first["image"].isel(sample=i))) for i in range(first.sizes["sample"])]
    tiles = [[_tile(at.isel(sample=i), name) for i in range(at.sizes["sample"])] for at in rows.values()]
    names = [_name(first.drop_vars("predicted", errors="ignore").isel(sample=i)) for i in range(len(inputs))]
    width, height = sheet_size(result["image"].shape, 1 + len(rows), len(names))
    ax = canvas(ax, height=height, width=width)
    sheet([inputs, *tiles], ax, rows=["input", *rows], columns=names)
    ax.set_title(", ".join(filter(None, [ROWS[name], title])), y=1.0, pad=ABOVE)
    return ax


def units_sheet(result: xr.Dataset, name: str, ax: Axes, **select: Any) -> None:
    """Draw units by steps."""
    at = result.isel(run=0) if "run" in result.dims and select.get("run") is None else result
    at = at.sel({dim: label for dim, label in select.items() if dim in at.dims and label is not None})
    array = at[name] if "step" in at[name].dims else at[name].expand_dims("step")
    array = array.transpose("step", "unit", ...)
    if name == "maximum_response":
        values = _channels(array)
        tops = np.nanmax(np.where(np.isfinite(values), abs(values), 0.0), axis=tuple(range(2, values.ndim)))
        tiles = [[picture(image, (-top or -1.0, top or 1.0)) for image, top in zip(row, limit, strict=True)]
                 for row, limit in zip(values, tops, strict=True)]  # fmt: skip
    else:
        finite, axes = np.isfinite(array.values), (0, 2, 3)
        low = np.min(array.values, axis=axes, where=finite, initial=np.inf)
        high = np.max(array.values, axis=axes, where=finite, initial=-np.inf)
        low, high = (np.where(finite.any(axes), limit, 0.0) for limit in (low, high))
        tiles = [
            [leveled(image, (float(low[i]), float(high[i]))) for i, image in enumerate(row)] for row in array.values
        ]
    columns = [f"unit {unit}" for unit in array["unit"].values]
    sheet(tiles, ax, rows=[f"step {step:,}" for step in np.atleast_1d(array["step"].values)], columns=columns)
    ax.set_title(
        f"{result.attrs.get('layer', '')} {at['run'].item() if 'run' in at.coords else ''}".strip(), y=1.0, pad=ABOVE
    )


def _tile(at: xr.Dataset, name: str) -> np.ndarray:
    """Return a picture of one sample at one step."""
    image = picture(_channels(at["image"]))
    if name == "input_gradient":
        return signed(_channels(at[name]).sum(0))
    if name == "grad_cam":
        return overlaid(image, at[name].values)
    return picture(_channels(at[name]))


def _channels(array: xr.DataArray) -> np.ndarray:
    """Return pictures, (…, channel, y, x)."""
    return array.values if "channel" in array.dims else array.values[..., None, :, :]


def _name(at: xr.Dataset) -> str:
    """Return the label of a sample, and its prediction where it differs."""
    if "target" not in at or at["target"].ndim or at["target"].dtype.kind == "f" and float(at["target"]) % 1:
        return f"#{int(at['sample_index'])}"
    predicted = _class_text(at, "predicted")
    label = f"{float(at['target']):g}"
    return label if predicted in ("", label) else f"{label} → {predicted}"


def _class_text(at: xr.Dataset, name: str) -> str:
    if name not in at:
        return ""
    return f"{float(at[name]):g}" if np.isfinite(at[name]) else "–"
