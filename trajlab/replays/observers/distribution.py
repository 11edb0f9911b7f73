"""How the values of each layer are distributed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from trajlab.errors import BadSetting
from trajlab.replays.observers.observer import Layer, Observer, Output, Seen
from trajlab.scan.kernels.distribution import EXACT
from trajlab.scan.kernels.float_bins import KEYS
from trajlab.scan.kernels.moments import MOMENTS
from trajlab.scan.kernels.tally import TABLES, add_along, tally

COLUMNS = (*MOMENTS, "variance_along")
"""Columns of each layer: its moments, and the variance of the means along a dim."""

FULL = 1 << 32
"""So many values may be counted in a table of 32 bits before it is emptied."""


class Bins(NamedTuple):
    """Fixed bins that hold values.

    Parameters
    ----------
    bits
        Leading bits of their values, (bin) uint16.
    counts
        Values in them, (bin) int64.
    """

    bits: np.ndarray
    counts: np.ndarray

    def spread(self) -> np.ndarray:
        """Give the values in all bins by leading bits, (KEYS)."""
        whole = np.zeros(KEYS, np.int64)
        whole[self.bits] = self.counts
        return whole


@dataclass(frozen=True)
class Values(Observer):
    """Observer: `COLUMNS` of each layer, and its values: sorted where they are few, in fixed bins where they are many.

    Parameters
    ----------
    along
        The dim along which means are taken; a layer without it has no variance of these, NaN.
    """

    small: ClassVar[bool] = False
    along: str = "unit"

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Say that there are a table of all layers, and the values of each as an object.

        Raises
        ------
        BadSetting
            No layer has the dim.
        """
        known = dict.fromkeys(["sample", *(dim for layer in layers for dim in layer.dims)])
        if self.along not in known:
            raise BadSetting(
                f"the variance over {self.along!r} was asked for; layers have {', '.join(known)}. Choose one of these."
            )
        coords = {"layer": np.array([layer.name for layer in layers], dtype=object)}
        table = {**coords, "column": np.array(COLUMNS, dtype=object)}
        return {
            "table": Output(("layer", "column"), (len(layers), len(COLUMNS)), coords=table),
            "values": Output(("layer",), (len(layers),), object, coords),
        }

    def start(self, layers: Sequence[Layer], samples: int) -> list["_Seen"]:
        """Make room."""
        return [_Seen(layer, samples, self.along) for layer in layers]

    def add(self, state: list["_Seen"], place: int, seen: Seen) -> None:
        """Add some samples."""
        state[place].add(seen)

    def finish(self, state: list["_Seen"]) -> Mapping[str, np.ndarray]:
        """Give the tables and the values."""
        values = np.empty(len(state), object)
        for place, of_layer in enumerate(state):
            values[place] = of_layer.values()
        return {"table": np.stack([of_layer.columns() for of_layer in state]), "values": values}


@dataclass(eq=False)
class _Seen:
    """What is known of a layer so far."""

    layer: Layer
    samples: int
    along: str
    moments: np.ndarray = field(default_factory=lambda: np.zeros((1, len(MOMENTS))))
    counted: int = 0
    emptied: Any = 0

    def __post_init__(self) -> None:
        self.moments[0, MOMENTS.index("min")], self.moments[0, MOMENTS.index("max")] = np.inf, -np.inf
        self.few = self.samples * int(np.prod(self.layer.shape)) <= EXACT
        dtype = self.layer.dtype if self.layer.dtype in (np.float32, np.float64) else np.float64
        self.kept = np.empty((self.samples, *self.layer.shape) if self.few else 0, dtype)
        self.tables = np.zeros((0 if self.few else TABLES, KEYS), np.uint32)
        dims = ("sample", *self.layer.dims)
        self.axis = dims.index(self.along) if self.along in dims else None
        self.sums = np.zeros(((self.samples, *self.layer.shape)[self.axis or 0], 2))

    def add(self, seen: Seen) -> None:
        """Add some samples."""
        if self.counted + seen.values.size >= FULL:
            self._empty()
        self.counted += seen.values.size
        tally(seen.values, self.tables, self.moments)
        rows = slice(seen.first, seen.first + len(seen.values))
        if self.few:
            self.kept[rows] = seen.values
        if self.axis is not None:
            add_along(seen.values, self.axis, self.sums[rows] if self.axis == 0 else self.sums)

    def columns(self) -> np.ndarray:
        """Give `COLUMNS`."""
        if self.moments[0, MOMENTS.index("count")] == 0:
            self.moments[0, [MOMENTS.index("min"), MOMENTS.index("max")]] = np.nan
        with np.errstate(invalid="ignore"):
            means = self.sums[:, 0] / self.sums[:, 1]
        known = means[np.isfinite(means)]
        return np.append(self.moments[0], known.var() if self.axis is not None and len(known) else np.nan)

    def values(self) -> np.ndarray | Bins:
        """Give the values, sorted or in bins."""
        if self.few:
            return np.sort(self.kept.reshape(-1))
        self._empty()
        bits = np.flatnonzero(self.emptied)
        return Bins(bits.astype(np.uint16), self.emptied[bits])

    def _empty(self) -> None:
        self.emptied = self.emptied + self.tables.sum(0, dtype=np.int64)
        self.tables[:] = 0
        self.counted = 0
