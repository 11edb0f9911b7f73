"""Grad-CAM: where in the maps of a layer the evidence for the label lies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Objective, Observer, Output


@dataclass(frozen=True)
class GradCam(Observer):
    """Observer: ReLU of Σ_k α_k A_k, (sample, *map) float64, by name of the layer; layers without a map are left out.

    A_k is the map of unit k, and α_k the mean over its positions of the derivative of the objective by A_k (Selvaraju
    et al. 2017, arXiv:1610.02391, equations 1 and 2). A sum that is NaN stays NaN.

    Parameters
    ----------
    objective
        The logit that is differentiated: of the label, or of the predicted class.
    """

    objective: Objective = Objective("logit")
    small: ClassVar[bool] = False
    takes_padding: ClassVar[bool] = True

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a map for each layer that has maps."""
        return {
            layer.name: Output(("sample", *layer.dims[1:]), (samples, *layer.shape[1:]), attrs=layer.attrs)
            for layer in layers
            if has_maps(layer)
        }

    def start(self, layers: Sequence[Layer], samples: int) -> list[tuple[Layer, np.ndarray]]:
        """Allocate the maps."""
        return [(layer, np.empty((samples, *layer.shape[1:]))) for layer in layers]

    def add(self, state: list[tuple[Layer, np.ndarray]], number: int, batch: Batch) -> None:
        """Add up the maps of some samples."""
        layer, maps = state[number]
        if not has_maps(layer):
            return
        assert batch.gradient is not None
        values, slope = batch.values.astype(np.float64), batch.gradient.astype(np.float64)
        alpha = slope.reshape(*slope.shape[:2], -1).mean(2)
        maps[batch.first : batch.first + len(values)] = np.maximum(np.einsum("su,su...->s...", alpha, values), 0.0)

    def finish(self, state: list[tuple[Layer, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """Return the maps."""
        return {layer.name: maps for layer, maps in state if has_maps(layer)}


def has_maps(layer: Layer) -> bool:
    """Return whether the units of a layer have maps, as those of a convolution; the attention of heads is none."""
    return layer.unit_axis == 0 and len(layer.dims) > 1 and "query" not in layer.dims
