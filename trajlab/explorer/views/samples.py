"""Samples: the features of a layer in two dimensions, Grad-CAM and activation maps over the steps."""

import pandas as pd
import panel as pn
import xarray as xr

from trajlab.explorer.context import Context
from trajlab.explorer.markup import note
from trajlab.explorer.style import widget_style
from trajlab.explorer.views.attribution_sheets import activation_sheet, sample_sheet
from trajlab.explorer.views.embedded_points import WAYS, Points
from trajlab.explorer.views.heat_map import nearest
from trajlab.explorer.views.view import bokeh_part, html


class Samples:
    """Embedding of the probe, and what decides on its samples."""

    def __init__(self, context: Context):
        self.context = context
        style = {"stylesheets": [widget_style(context.look)]}
        self.layer = pn.widgets.Select(label="layer", **style)
        self.way = pn.widgets.Select(label="embedding", options=list(WAYS), **style)
        self.absent = html("")
        self.points = bokeh_part()
        self.maps, self.activations = bokeh_part(stretches=False), bokeh_part(stretches=False)
        self.layout = pn.Column(
            self.absent, pn.Row(self.layer, self.way), self.points.pane,
            *(pn.Column(part.pane, sizing_mode="stretch_width", styles={"overflow-x": "auto"}, margin=0, min_width=200)
              for part in (self.maps, self.activations)),
            sizing_mode="stretch_width",
        )  # fmt: skip
        self.layer.param.watch(lambda event: self._set(event.new), "value")
        self.way.param.watch(lambda event: self.update(), "value")
        self._showing = False

    def _set(self, layer: str | None) -> None:
        if not self._showing and layer:
            self.context.selection.row = layer

    def update(self) -> None:
        """Show the selection."""
        context = self.context
        embedding = context.result_of_run("embedding", "pca")
        attribution = context.result_of_run("attribution", "sample_index")
        absent = [name for name, of in (("embedding", embedding), ("attribution", attribution)) if of is None]
        self.absent.object = "".join(note(context.why_absent(name)) for name in absent)
        self.layer.visible = self.way.visible = embedding is not None
        if embedding is None:
            self.points.show(None, lambda: None)
        else:
            self._show_embedding(embedding)
        key = (self.context.run, self.context.collection.revision("attribution"), attribution is None)

        def choose(step: int) -> None:
            self.context.selection.step = step

        self.maps.show(key, lambda: None if attribution is None else sample_sheet(self.context, attribution, choose))
        self.activations.show(
            key, lambda: None if attribution is None else activation_sheet(self.context, attribution, choose)
        )

    def _show_embedding(self, embedding: xr.Dataset) -> None:
        layers = [str(name) for name in embedding["layer"].values]
        layer = self.context.selection.row if self.context.selection.row in layers else layers[-1]
        self._showing = True
        try:
            self.layer.param.update(options=layers, value=layer)
        finally:
            self._showing = False
        step = nearest(embedding, self.context.step)
        key = (self.context.run, layer, self.way.value, step, self.context.collection.revision("embedding"))
        self.points.show(key, lambda: Points(self.context, embedding, layer, self.way.value, step))

    def table(self) -> pd.DataFrame:
        """Return the coordinates of the samples that are shown."""
        return pd.DataFrame() if self.points.drawn is None else self.points.drawn.source.to_df()
