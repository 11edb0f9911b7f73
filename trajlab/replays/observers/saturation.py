"""Activations of each unit in the flat parts of its activation function."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from trajlab.replays.observers.activity import kind_of
from trajlab.replays.observers.constants import GATED, RECTIFIERS, is_rectified_later
from trajlab.replays.observers.observer import Batch, Layer, Observer, Output
from trajlab.scan.kernels.saturation import SATURATION, Flat, certainty, saturation

SELU_BOUND = 1.0507009873554805 * 1.6732632423543772
"""What SELU tends to below, less the sign; Klambauer et al. 2017, arXiv:1706.02515."""

SMOOTH = ("GELU", "SiLU", "Mish")
"""What the names of rectifiers with a smooth bend contain."""

ANYWHERE = ("LeakyReLU", "PReLU", "RReLU")
"""Activations that are flat nowhere."""


class Rule(NamedTuple):
    """When values of a layer count as saturated.

    Parameters
    ----------
    words
        The rule in words; empty if there is none.
    flat
        Where the activation is flat; for a softmax `above` is the bound.
    low, high
        Whether there are such sides at all.
    softmax
        Axis of a sample along which shares sum to 1, of a softmax or an attention.
    """

    words: str = ""
    flat: Flat = Flat()
    low: bool = False
    high: bool = False
    softmax: int | None = None


@dataclass(frozen=True)
class Saturation(Observer):
    """Observer: `SATURATION` of each unit over all positions of the probe, (unit, column), by name of the layer.

    A softmax over the units has one row for all of them.

    Parameters
    ----------
    tanh, sigmoid, softmax, near
        The bounds, as in the stage `saturation`.
    """

    tanh: float = 0.99
    sigmoid: float = 0.01
    softmax: float = 0.99
    near: float = 1e-3
    by_unit: ClassVar[bool] = True

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a table for each layer."""
        columns = {"column": np.array(SATURATION, dtype=object)}
        dims, width = ("unit", "column"), len(SATURATION)
        return {
            layer.name: Output(dims, (self._rows(layer), width), coords=columns, attrs=layer.attrs) for layer in layers
        }

    def start(self, layers: Sequence[Layer], samples: int) -> list[tuple[Layer, Rule, np.ndarray]]:
        """Return sums of 0."""
        return [(layer, self.rule(layer), np.zeros((self._rows(layer), len(SATURATION)))) for layer in layers]

    def add(self, state: list[tuple[Layer, Rule, np.ndarray]], number: int, batch: Batch) -> None:
        """Add a batch."""
        layer, rule, sums = state[number]
        axis = 1 + layer.unit_axis
        if rule.softmax is None:
            sums += saturation(batch.values, axis, rule.flat)
            return
        along = None if rule.softmax == layer.unit_axis else axis
        logarithm = kind_of(layer.attrs) == "LogSoftmax"
        sums += certainty(batch.values, 1 + rule.softmax, along, self.softmax, logarithm)

    def finish(self, state: list[tuple[Layer, Rule, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """Return the tables."""
        return {layer.name: sums for layer, _, sums in state}

    def _rows(self, layer: Layer) -> int:
        return 1 if self.rule(layer).softmax == layer.unit_axis else layer.units

    def rule(self, layer: Layer) -> Rule:
        """Return the rule of a layer."""
        attrs = layer.attrs
        axis = len(layer.dims) - 1 if layer.dims[-1] == "key" else attrs.get("softmax_axis")
        if axis is not None and axis >= 0:
            return Rule(f"max p > {self.softmax:g}", Flat(above=self.softmax), high=True, softmax=axis)
        if axis is not None:
            return Rule()
        if is_rectified_later(attrs):
            return _upto(0.0, "h ≤ 0, rectified later")
        return self._elementwise(kind_of(attrs), attrs)

    def _elementwise(self, kind: str, attrs: Mapping[str, Any]) -> Rule:
        if kind.startswith(GATED):
            return Rule()
        tail = self.sigmoid
        if kind in ("Tanh", "Softsign"):
            flat = Flat(-math.inf, _before(-self.tanh), _after(self.tanh))
            return Rule(f"|a| > {self.tanh:g}", flat, low=True, high=True)
        if kind == "Sigmoid":
            flat = Flat(-math.inf, _before(tail), _after(1 - tail))
            return Rule(f"a < {tail:g} or a > {1 - tail:g}", flat, low=True, high=True)
        if kind in ("Hardtanh", "ReLU6", "Hardsigmoid"):
            low, high = attrs.get("min_val", 0.0), attrs.get("max_val", 6.0 if kind == "ReLU6" else 1.0)
            return Rule(f"a ≤ {low:g} or a ≥ {high:g}", Flat(-math.inf, low, high), low=True, high=True)
        if kind in RECTIFIERS:
            return _upto(0.0, "a = 0")
        if kind == "Threshold" and "value" in attrs:
            return Rule(f"a = {attrs['value']:g}", Flat(attrs["value"], attrs["value"]), low=True)
        if kind in ("Hardswish", "Hardshrink", "Softshrink"):
            return Rule("a = 0", Flat(0.0, 0.0), low=True)
        if any(word in kind for word in SMOOTH):
            return Rule(f"−{self.near:g} ≤ a ≤ 0", Flat(-self.near, 0.0), low=True)
        if kind in ("ELU", "CELU", "SELU"):
            bound = -(1 - tail) * (SELU_BOUND if kind == "SELU" else attrs.get("alpha", 1.0))
            return _upto(_before(bound), f"a < {bound:.4g}")
        if kind == "Softplus":
            bound = -math.log1p(-tail) / attrs.get("beta", 1.0)
            return _upto(_before(bound), f"a < {bound:.4g}")
        if kind == "LogSigmoid":
            bound = math.log1p(-tail)
            return Rule(f"a > {bound:.4g}", Flat(above=_after(bound)), high=True)
        return Rule("flat nowhere", low=True) if kind in ANYWHERE else Rule()


def _upto(bound: float, words: str) -> Rule:
    return Rule(words, Flat(-math.inf, bound), low=True)


def _before(bound: float) -> float:
    return math.nextafter(bound, -math.inf)


def _after(bound: float) -> float:
    return math.nextafter(bound, math.inf)
