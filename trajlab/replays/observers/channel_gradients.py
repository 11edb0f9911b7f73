"""How much of a gradient each channel of a convolution emits and absorbs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.errors import BadSetting
from trajlab.replays.observers.channel_statistics import (
    STATISTICS,
    chance_variation,
    chance_variation_of_variance,
    statistics_of,
)
from trajlab.replays.observers.observer import Batch, Layer, Objective, Observer, Output
from trajlab.scan.kernels.convolution_taps import Convolution
from trajlab.scan.kernels.local_gradients import OF_INPUTS, OF_OUTPUTS, Filters, local_gradients

LINEAR = ("Linear", "NonDynamicallyQuantizableLinear")


@dataclass(frozen=True)
class ChannelGradients(Observer):
    """Observer: sums of local gradients of each channel of convolutions, as `local_gradients` gives them.

    For each layer ``<layer>|unit``, (quantity, statistic, unit), of `OF_OUTPUTS`; ``<layer>|input_unit``, (quantity,
    statistic, input_unit), of `OF_INPUTS`; ``<layer>|<dim>|alike``, (quantity), what `chance_variation` gives for each;
    ``<layer>|<dim>|variance_alike``, what `chance_variation_of_variance` gives for the first; ``<layer>|norm``, (unit),
    norms of the kernels; and ``<layer>|nonfinite``, how many of the values for each sample and channel are NaN or Inf,
    which the statistics leave out.

    Parameters
    ----------
    objective
        What the gradient is of.
    """

    objective: Objective | None = Objective("loss")  # noqa: RUF009  is frozen
    takes_values: ClassVar[bool] = False
    takes_padding: ClassVar[bool] = True  # gradients at padding are 0, as the loss leaves it out

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe two tables, norms and a count for each layer."""
        statistics = np.array(STATISTICS, dtype=object)
        tables: dict[str, Output] = {}
        for layer in layers:
            for dim, names, channels in _sides(layer):
                labels = {"quantity": np.array(names, dtype=object), "statistic": statistics}
                shape = (len(names), len(STATISTICS), channels)
                tables[f"{layer.name}|{dim}"] = Output(("quantity", "statistic", dim), shape, coords=labels)
                quantity = {"quantity": labels["quantity"]}
                tables[f"{layer.name}|{dim}|alike"] = Output(("quantity",), (len(names),), coords=quantity)
                tables[f"{layer.name}|{dim}|variance_alike"] = Output((), ())
            tables[f"{layer.name}|norm"] = Output(("unit",), (layer.units,))
            tables[f"{layer.name}|nonfinite"] = Output((), ())
        return tables

    def start(self, layers: Sequence[Layer], samples: int) -> list["_Known"]:
        """Allocate what is known of each sample."""
        return [_Known(layer, samples) for layer in layers]

    def add(self, state: list["_Known"], number: int, batch: Batch) -> None:
        """Sum the local gradients of some samples."""
        state[number].add(batch)

    def finish(self, state: list["_Known"]) -> Mapping[str, np.ndarray]:
        """Return the statistics over the samples."""
        tables: dict[str, np.ndarray] = {}
        for of_layer in state:
            name = of_layer.layer.name
            for dim, values in of_layer.values.items():
                tables[f"{name}|{dim}"] = np.stack([statistics_of(sample_values) for sample_values in values])
                tables[f"{name}|{dim}|alike"] = np.array([chance_variation(sample_values) for sample_values in values])
                tables[f"{name}|{dim}|variance_alike"] = np.array(chance_variation_of_variance(values[0]))
            tables[f"{name}|norm"] = of_layer.norm
            bad = sum(np.count_nonzero(~np.isfinite(values)) for values in of_layer.values.values())
            tables[f"{name}|nonfinite"] = np.array(bad)
        return tables


@dataclass(frozen=True)
class EachChannelGradient(ChannelGradients):
    """Observer: the same, and the values for each sample: ``<layer>|<dim>|sample``, (quantity, sample, <dim>)."""

    small: ClassVar[bool] = False

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe the values, too."""
        tables = super().outputs(layers, samples)
        for layer in layers:
            for dim, names, channels in _sides(layer):
                labels = {"quantity": np.array(names, dtype=object)}
                shape = (len(names), samples, channels)
                tables[f"{layer.name}|{dim}|sample"] = Output(("quantity", "sample", dim), shape, np.float32, labels)
        return tables

    def finish(self, state: list["_Known"]) -> Mapping[str, np.ndarray]:
        """Return the statistics and the values."""
        each = {
            f"{of_layer.layer.name}|{dim}|sample": values
            for of_layer in state
            for dim, values in of_layer.values.items()
        }
        return {**super().finish(state), **each}


class _Known:
    """What is known of a layer: a number for each quantity, sample and channel."""

    def __init__(self, layer: Layer, samples: int):
        self.layer = layer
        self.values = {
            dim: np.full((len(names), samples, channels), np.nan, np.float32) for dim, names, channels in _sides(layer)
        }
        self.norm = np.full(layer.units, np.nan)
        self.filters: Filters | None = None

    def add(self, batch: Batch) -> None:
        if self.filters is None:
            weight = self._weight(batch)
            self.filters = Filters.of(weight, convolution_of(self.layer), self.layer.attrs.get("groups", 1))
            self.norm = self.filters.norm
        gradient = np.moveaxis(np.asarray(batch.gradient), 1 + self.layer.unit_axis, 1)
        sums = local_gradients(gradient, self.filters)
        some = slice(batch.first, batch.first + len(gradient))
        for dim, names in (("unit", OF_OUTPUTS), ("input_unit", OF_INPUTS)):
            for position, name in enumerate(names):
                self.values[dim][position, some] = getattr(sums, name)

    def _weight(self, batch: Batch) -> np.ndarray:
        weight = batch.parameters.get("weight")
        if weight is None:
            raise BadSetting(
                f"cannot read the kernels of {self.layer.name}: it has no parameter `weight` but "
                f"{', '.join(batch.parameters) or 'none'}; leave it out of layers, or fold what its weight is made of"
            )
        return weight if "stride" in self.layer.attrs else weight.reshape(*weight.shape, *(1,) * _axes(self.layer))


def convolution_of(layer: Layer) -> Convolution:
    """Return a layer as a convolution; a linear one as that of 1×1 kernels on the map of its positions.

    Raises
    ------
    BadSetting
        It is neither.
    """
    attrs, before = layer.attrs, layer.input_shape
    out = tuple(size for axis, size in enumerate(layer.shape) if axis != layer.unit_axis)
    if "stride" in attrs and len(before) == len(layer.shape):
        pads = tuple((int(low), int(high)) for low, high in attrs["padding"])
        stride, dilation = tuple(attrs["stride"]), tuple(attrs["dilation"])
        mode, transposed = attrs["padding_mode"], attrs["transposed"]
        return Convolution(before[1:], out, tuple(attrs["kernel"]), stride, dilation, pads, mode, transposed)
    if attrs.get("module_class") in LINEAR and before[:-1] == out:
        unit_steps = (1,) * _axes(layer)
        return Convolution(out or (1,), out or (1,), unit_steps, unit_steps, unit_steps, ((0, 0),) * len(unit_steps))
    raise BadSetting(
        f"cannot compute channel gradients of {layer.name or 'the network'}: it is a "
        f"{attrs.get('module_class') or 'tensor of inputs'}; name convolutions and linear layers only"
    )


def _axes(layer: Layer) -> int:
    return max(len(layer.shape) - 1, 1)


def _sides(layer: Layer) -> tuple[tuple[str, tuple[str, ...], int], ...]:
    """Return the channels that come out and those that go in: the dim, what is known of each, and their number."""
    inputs = layer.input_shape[0 if "stride" in layer.attrs else -1]
    return ("unit", OF_OUTPUTS, layer.units), ("input_unit", OF_INPUTS, inputs)
