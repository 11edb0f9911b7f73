"""Grad-CAM of samples and activation maps of units, at the steps that the stage `attribution` shows."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from trajlab.explorer.context import Context
from trajlab.explorer.quantity import numbers
from trajlab.explorer.views.tile_sheet import TileSheet
from trajlab.figures.attribution.sheets import is_image
from trajlab.figures.marks.image_grid import enlarged, leveled, overlaid, picture, signed
from trajlab.figures.marks.labels import name_of

SLOPE, CAM = "input_gradient", "grad_cam"


def sample_sheet(context: Context, result: xr.Dataset, on_step: Callable[[int], None]) -> TileSheet | None:
    """Return the samples with their Grad-CAM maps over the steps, else their input gradients; None without images.

    Parameters
    ----------
    context
        What is selected.
    result
        Attribution of a run.
    on_step
        Called with the step of a column that is clicked.
    """
    variable = next((name for name in (CAM, SLOPE) if name in result and is_image(result[name])), "")
    if not is_image(result["image"]) or not variable:
        return None
    images = numbers(result["image"].transpose("sample", ..., "y", "x"))
    images = images if images.ndim == 4 else images[:, None]
    maps, steps = result[variable].load(), result["step"].values
    limits = float(np.nanmin(images)), float(np.nanmax(images))
    tiles = []
    for sample, image in enumerate(images):
        ground = picture(image, limits)
        row = [enlarged(ground)]
        for position in range(len(steps)):
            values = numbers(maps.isel(step=position, sample=sample))
            if variable == CAM:
                row.append(overlaid(ground, values))
            else:
                row.append(enlarged(signed(values.sum(0) if values.ndim == 3 else values)))
        tiles.append(row)
    targets = result["target"].values if "target" in result and result["target"].ndim == 1 else [""] * len(images)
    rows = [
        f"sample {int(index)}" + (f" · {target:g}" if target != "" else "")
        for index, target in zip(result["sample_index"].values, targets, strict=True)
    ]
    title = name_of(result[variable]) + (f" of {layer_of(result)}" if variable == CAM else "")
    return TileSheet(
        context, tiles, f"{title}\nrows: sample · target", rows=rows,
        columns=["input", *(f"step {step:,}" for step in steps)],
        on_column=lambda column: on_step(int(steps[column - 1])) if column else None,
    )  # fmt: skip


def activation_sheet(context: Context, result: xr.Dataset, on_step: Callable[[int], None]) -> TileSheet | None:
    """Return the activation maps of units for one sample over the steps; None if the layer has no maps.

    Parameters
    ----------
    context, result, on_step
        As in `sample_sheet`.
    """
    if "activation_map" not in result or not is_image(result["activation_map"]):
        return None
    maps, steps = result["activation_map"].load(), result["step"].values
    tiles = [
        [enlarged(leveled(numbers(maps.isel(step=position, unit=unit)))) for position in range(len(steps))]
        for unit in range(maps.sizes["unit"])
    ]
    units = maps["unit"].values if "unit" in maps.coords else np.arange(maps.sizes["unit"])
    sample = int(result["sample_index"].values[int(result.attrs.get("map_sample", 0))])
    return TileSheet(
        context, tiles, f"activation maps of {layer_of(result)} · sample {sample}\neach tile on its own scale",
        rows=[f"unit {unit}" for unit in units], columns=[f"step {step:,}" for step in steps],
        on_column=lambda column: on_step(int(steps[column])),
    )  # fmt: skip


def layer_of(result: xr.Dataset) -> str:
    """Return the name of the layer of the maps; that of the whole network is the output."""
    return str(result.attrs.get("layer", "")) or "the output"
