"""Samples: the features of a layer in two dimensions, as the stage `embedding` lays them out."""

import numpy as np
import pandas as pd
import panel as pn
import xarray as xr
from bokeh.models import ColumnDataSource

from trajlab.explorer.context import Context
from trajlab.explorer.look import chart, hover, plain
from trajlab.explorer.quantity import numbers
from trajlab.explorer.style import widget_style
from trajlab.explorer.views.heat_map import nearest
from trajlab.explorer.views.view import bokeh_part, html, note
from trajlab.figures.marks.colors import CLASSES

MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "plus", "cross", "star", "hex", "asterisk")
"""Of up to ten classes, so that color is not all that tells them apart."""

WAYS = {"t-SNE": "tsne", "PCA": "pca"}


class Samples:
    """Embedding of the probe."""

    def __init__(self, context: Context):
        self.context = context
        style = {"stylesheets": [widget_style(context.look)]}
        self.layer = pn.widgets.Select(label="layer", **style)
        self.way = pn.widgets.Select(label="embedding", options=list(WAYS), **style)
        self.absent = html("")
        self.points = bokeh_part()
        self.layout = pn.Column(
            self.absent, pn.Row(self.layer, self.way), self.points.pane, sizing_mode="stretch_width"
        )
        self.layer.param.watch(lambda event: self._set(event.new), "value")
        self.way.param.watch(lambda event: self.update(), "value")
        self._showing = False

    def _set(self, layer: str | None) -> None:
        if not self._showing and layer:
            self.context.selection.row = layer

    def update(self) -> None:
        """Show the selection."""
        result = self._result()
        self.layer.visible = self.way.visible = result is not None
        if result is None:
            state = self.context.collection.states.get("embedding")
            reason = "" if state is None else f"{state.word}{': ' + state.detail if state.detail else ''}"
            self.absent.object = note(f"There is no embedding of samples. {reason}")
            self.points.show(None, lambda: None)
            return
        self.absent.object = ""
        layers = [str(name) for name in result["layer"].values]
        layer = self.context.selection.row if self.context.selection.row in layers else layers[-1]
        self._showing = True
        try:
            self.layer.param.update(options=layers, value=layer)
        finally:
            self._showing = False
        step = nearest(result, self.context.step)
        key = (self.context.run, layer, self.way.value, step, id(result))
        self.points.show((*key[:-1], "embedding"), lambda: Points(self.context, result, layer, self.way.value, step))

    def table(self) -> pd.DataFrame:
        """Return the coordinates of the samples that are shown."""
        return pd.DataFrame() if self.points.drawn is None else self.points.drawn.source.to_df()

    def _result(self) -> xr.Dataset | None:
        result = self.context.results.get("embedding")
        if result is None or "pca" not in result:
            return None
        if "run" in result.dims:
            runs = [str(name) for name in result["run"].values]
            return result.isel(run=runs.index(self.context.run)) if self.context.run in runs else None
        return result


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
            self.figure.legend.background_fill_alpha, self.figure.legend.border_line_color = 0.0, None
            self.figure.legend.label_text_color = context.look.ink
            self.figure.add_layout(self.figure.legend[0], "right")
