"""Samples in the first two components of an embedding."""

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource

from trajlab.explorer.charts import chart, hover, plain, style_legend
from trajlab.explorer.context import Context
from trajlab.explorer.quantity import numbers
from trajlab.figures.marks.colors import CLASSES

MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "plus", "cross", "star", "hex", "asterisk")
"""Of up to ten classes, so that color is not all that tells them apart."""

WAYS = {"t-SNE": "tsne", "PCA": "pca"}
"""Variables of the stage `embedding` by the names of the methods."""


class Points:
    """Samples in the first two components."""

    def __init__(self, context: Context, result: xr.Dataset, layer: str, way: str, step: int):
        variable = WAYS[way] if WAYS[way] in result else "pca"
        part = result[variable]
        points = numbers(part.isel(step=step).sel(layer=layer).transpose("sample", "component"))
        y = points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))
        targets = numbers(result["target"]) if "target" in result else np.full(len(points), np.nan)
        labels = sorted(set(targets[np.isfinite(targets)].tolist()))
        few = 0 < len(labels) <= len(MARKERS) and all(label == int(label) for label in labels)
        ranks = [labels.index(t) if few and np.isfinite(t) else 0 for t in targets]
        names = [f"{t:g}" if np.isfinite(t) else "unknown" for t in targets]
        self.source = ColumnDataSource(
            {"x": points[:, 0], "y": y, "sample": np.arange(len(points)), "target": names,
             "color": [CLASSES[r] for r in ranks], "marker": [MARKERS[r] for r in ranks]}
        )  # fmt: skip
        self.figure = chart(
            context.look, "", height=560, match_aspect=True,
            tools=[hover([("sample", "@sample"), ("target", "@target")])],
        )  # fmt: skip
        self.figure.title.text = plain(f"{way} of {layer} · step {int(part['step'].values[step]):,}")
        options = {"legend_group": "target"} if few else {}
        self.figure.scatter(
            "x", "y", source=self.source, marker="marker", color="color", size=7, fill_alpha=0.7, **options
        )
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "component 1", "component 2"
        if few:
            style_legend(self.figure, context.look, title="target", beside=True)
