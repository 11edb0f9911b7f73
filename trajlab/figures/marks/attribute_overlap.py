"""Figure of the attention IoU between the maps of two outputs, by groups of samples."""

from functools import partial

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.lines import lines
from trajlab.figures.panel import Panel

VARIABLES = ("attribute_iou", "attribute_iou_group")
"""Variables that are drawn as their mean over all pairs of outputs."""

SHOWN = {"same": "same label of both", "different": "different labels"}
"""Groups that are drawn, by their name in the result."""


def over_pairs(result: xr.Dataset) -> xr.DataArray:
    """Return the mean over all pairs of different outputs, by group where labels are known."""
    by_group = "attribute_iou_group" in result
    array = result["attribute_iou_group"] if by_group else result["attribute_iou"].mean("sample", keep_attrs=True)
    pairs = array.where(array["attribute"] != array["attribute_other"])
    mean = pairs.mean(["attribute", "attribute_other"], keep_attrs=True)
    if not by_group:
        return mean
    return mean.sel(group=list(SHOWN)).assign_coords(group=np.array(list(SHOWN.values()), dtype=object))


def draw(result: xr.Dataset, ax: Axes | None) -> Axes:
    """Draw the mean over the pairs; of several runs that of samples with different labels, a line each."""
    ax = canvas(ax)
    array = over_pairs(result)
    lines(array.isel(group=-1) if {"run", "group"} <= {*array.dims} else array, ax)
    return ax


def panel(result: xr.Dataset) -> Panel:
    """Return the figure that the report shows."""
    caption = "Attention IoU of Grad-CAM of two outputs, mean of all pairs; 1 is the same map."
    return Panel("attribute_iou", "Overlap of the maps of two outputs", caption, (9.2, 2.8), partial(_draw, result))


def _draw(result: xr.Dataset, figure: Figure) -> None:
    draw(result, figure.add_subplot())
