"""The distribution of the activations of each layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trajlab.errors import BadSetting
from trajlab.replays.observers.observer import Batch, Layer, Observer, Output
from trajlab.scan.block import Block
from trajlab.scan.kernels.axis_sums import add_along
from trajlab.scan.kernels.distribution import EXACT
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.kernels.power_sums import MOMENTS
from trajlab.scan.kernels.split_bins import Bins
from trajlab.scan.kernels.value_histogram import Histogram
from trajlab.scan.track import Track, computable

COLUMNS = (*MOMENTS, "variance_along")
"""Columns of each layer: its moments, and the variance of the means along a dim."""


@dataclass(frozen=True)
class ValueDistribution(Observer):
    """Observer: `COLUMNS` of each layer, and its values: sorted where they are few, in fixed bins where they are many.

    Parameters
    ----------
    along
        The dim along which means are taken. Their variance is NaN for a layer without it, or whose axis over the units
        is unknown.
    """

    small: ClassVar[bool] = False
    along: str = "unit"

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a table of all layers, and the values of each as an object.

        Raises
        ------
        BadSetting
            No layer has the dim.
        """
        dims = dict.fromkeys(["sample", *(dim for layer in layers for dim in layer.dims)])
        if self.along not in dims:
            raise BadSetting(f"cannot compute the variance over {self.along!r}; choose one of {', '.join(dims)}")
        coords = {"layer": np.array([layer.name for layer in layers], dtype=object)}
        table = {**coords, "column": np.array(COLUMNS, dtype=object)}
        return {
            "table": Output(("layer", "column"), (len(layers), len(COLUMNS)), coords=table),
            "values": Output(("layer",), (len(layers),), object, coords),
        }

    def start(self, layers: Sequence[Layer], samples: int) -> list["_Sums"]:
        """Return the empty sums."""
        return [_Sums(layer, samples, self.along) for layer in layers]

    def add(self, state: list["_Sums"], number: int, batch: Batch) -> None:
        """Add a batch."""
        state[number].add(batch)

    def finish(self, state: list["_Sums"]) -> Mapping[str, np.ndarray]:
        """Return the tables and the values."""
        values = np.empty(len(state), object)
        for number, of_layer in enumerate(state):
            values[number] = of_layer.values()
        return {"table": np.stack([of_layer.columns() for of_layer in state]), "values": values}


class _Sums:
    """Sums and counts of the values of one layer."""

    def __init__(self, layer: Layer, samples: int, along: str):
        shape, dims = (samples, *layer.shape), ("sample", *layer.dims)
        dtype = layer.dtype if layer.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        self.sorted = np.empty(int(np.prod(shape)), dtype) if np.prod(shape) <= EXACT else None
        self.filled = 0
        self.histogram = Histogram(dtype)
        self.kernel = Moments()
        self.block = Block(Track([np.empty(0, dtype)]))
        self.moments = self.kernel.start(self.block, None)
        unknown = along == "unit" and layer.attrs.get("unknown_units")
        self.positions = layer.positions
        self.axis = dims.index(along) if along in dims and not unknown else None
        self.sums = np.zeros((shape[self.axis or 0], 2))

    def add(self, batch: Batch) -> None:
        self.block = Block(Track([computable(batch.values.reshape(-1))]))
        self.kernel.add(self.block, 0, self.block.size, self.moments)
        if self.sorted is None:
            self.histogram.add(self.block)
        else:
            self.sorted[self.filled : self.filled + batch.values.size] = batch.values.reshape(-1)
            self.filled += batch.values.size
        if self.axis is not None:
            self._add_along(batch, self.axis)

    def _add_along(self, batch: Batch, axis: int) -> None:
        rows: Any = slice(None)
        if axis == 0:
            rows = slice(batch.first, batch.first + len(batch.values))
        elif batch.kept is not None and axis - 1 in self.positions:
            rows = batch.kept
        sums = self.sums[rows]  # a copy of the rows of kept positions
        add_along(batch.values, axis, sums)
        self.sums[rows] = sums

    def columns(self) -> np.ndarray:
        """Return `COLUMNS`."""
        moments, _ = self.kernel.finish(self.block, self.moments)
        with np.errstate(invalid="ignore"):
            means = self.sums[:, 0] / self.sums[:, 1]
        means = means[np.isfinite(means)]
        return np.append(moments[0], means.var() if self.axis is not None and len(means) else np.nan)

    def values(self) -> np.ndarray | Bins:
        """Return the values, sorted or in bins."""
        return self.histogram.finish() if self.sorted is None else np.sort(self.sorted[: self.filled])
