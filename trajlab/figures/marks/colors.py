"""All colors of figures: color maps by what they show, and single colors by what they mean.

A page sets `INK`, `GRID`, `MISSING`, `PAPER`, `CALM` and `CATEGORIES` anew for light and dark (`figures/inline.py`).
`trajlab.mplstyle` repeats `INK` for axes and text.
"""

from matplotlib import colormaps

SEQUENTIAL = colormaps["viridis"]
"""Of values from low to high, and of steps from first to last."""

DIVERGING = colormaps["RdBu_r"]
"""Of values on both sides of a center."""

GRAYS = colormaps["gray"]
"""Of the weights of filters, from black to white."""

OVERLAY = colormaps["inferno"]
"""Of an attention map over a gray image."""

PROBABILITIES = colormaps["Blues"]
"""Of the cells of a transition table."""

CATEGORIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")
"""Of lines, bars and groups: Okabe and Ito's colors for the color-blind, less the yellow, too light for lines."""

CLASSES = (*CATEGORIES, "#D9C400", "#7A3B10")
"""Of the points of up to ten classes, which differ in their markers, too."""

CELLS = {"blue": "#1f7fbf", "orange": "#dc6a1c", "yellow": "#e3a21a", "sky": "#6dbbe8", "gray": "#c3c8d0"}
"""Of the cells of rasters, the same on light and dark ground."""

INK = "#2b2f36"
"""Of text, axes and outlines."""

GRID = "#d9dce1"
"""Of rules."""

MISSING = "#e8eaed"
"""Of unknown values."""

PAPER = "#fefefe"
"""Of the ground."""

CALM = "#e2edf6"
"""Of what is as it should be."""

VEIL = ("#56a0dc", 0.17)
"""Of calm cells of a raster, which cannot take colors of the page: a tone and its opacity on any ground."""

STROKE = "#4d545f"
"""Of unit lines, visible on pale regions and on light and dark pages."""

BROKEN = CATEGORIES[1]
"""Of pixels that are NaN or Inf."""

ON_LIGHT, ON_DARK = "#111111", "#ffffff"
"""Of numbers in the cells of a transition table."""

AXIS, FAINT = "0.5", "0.55"
"""Of zero lines, and of a curve that others are compared with."""

OUTLINE, LINK, DETAIL = "0.2", "0.4", "0.35"
"""Of nodes, edges and details of the graph of a network."""

NODES = {"other module": "0.45", "function": "white", "input, output": "black"}
"""Of nodes of a network that are no module of a known kind."""
