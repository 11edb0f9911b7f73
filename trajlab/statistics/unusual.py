"""Changes of a run in the order of cause and effect, and how large they are in words."""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.statistics.wording import number

NETWORK = "network"
"""Place of what holds for the whole network."""

KINDS = ("none", "spike", "jump", "slope", "spread", "nonfinite")
"""Kinds of changes by their code in results of `change_points`."""

WITHIN_A_STEP = ("update", "weight norm", "metric", "gradient norm")
"""Quantities in the order in which a training step makes them: the update that led to its weights, then the forward
pass, then the backward pass."""

NEGLIGIBLE = 1e-6
"""Size of an update or a gradient, in units of that of the parameter with the largest one, which only rounding makes: a
bias before a normalization has no gradient, but for it."""


class Unusual(NamedTuple):
    """A change of one quantity at one place.

    Attributes
    ----------
    step
        First step of the change.
    place
        Parameter, metric, or `NETWORK`.
    quantity
        One of `WITHIN_A_STEP`.
    kind
        One of `KINDS`.
    score
        Deviation from its own past, in standard deviations.
    before, after
        Value before it and at its peak, or after it.
    """

    step: int
    place: str
    quantity: str
    kind: str
    score: float
    before: float
    after: float


def unusual_before(result: xr.Dataset, step: int, *, first: int) -> list[Unusual]:
    """Return the changes of one run that begin within a window, causes before effects.

    They are ordered by the step at which they begin, or by which a change of slope or spread is certain, then as a
    training step makes them, NaN and Inf first, then by their size. What holds for the whole network follows what holds
    for a parameter. What happens below `NEGLIGIBLE` is left out.

    Parameters
    ----------
    result
        Result of `change_points` of one run, computed.
    step, first
        Last and first step of the window.
    """
    begins = result["begins"].transpose("series", "change").values
    columns = [result[name].transpose("series", "change").values for name in ("kind", "score", "before", "after")]
    places, quantities = (result[name].values for name in ("place_of", "quantity_of"))
    smallest = _smallest(result)
    events = []
    for row, at in np.argwhere((begins >= first) & (begins <= step)):
        kind, score, before, after = (float(column[row, at]) for column in columns)
        place, quantity = str(places[row]), str(quantities[row])
        if max(abs(before), abs(after)) < smallest.get(quantity, 0.0):
            continue
        events.append(Unusual(int(begins[row, at]), place, quantity, KINDS[int(kind)], score, before, after))
    return sorted(events, key=partial(_order, width=int(result.attrs.get("window", 0)) // 2))


def _smallest(result: xr.Dataset) -> dict[str, float]:
    """Return the size below which an update or a gradient is `NEGLIGIBLE`."""
    values = result["value"].transpose("step", "series").values
    quantities = result["quantity_of"].values
    medians = np.array([np.median(abs(of[np.isfinite(of)])) if np.isfinite(of).any() else 0.0 for of in values.T])
    return {
        quantity: NEGLIGIBLE * medians[quantities == quantity].max(initial=0.0)
        for quantity in ("update", "gradient norm")
    }


def _order(event: Unusual, width: int) -> tuple:
    certain = event.step + width * (event.kind in ("slope", "spread"))
    is_finite = event.kind != "nonfinite"
    rank = WITHIN_A_STEP.index(event.quantity)
    return certain, is_finite, rank, event.place == NETWORK, -abs(event.score)


def factor_words(event: Unusual) -> str:
    """Write by how much a quantity changed.

    >>> factor_words(Unusual(3, "loss", "metric", "jump", 9.0, 0.5, 2.0))
    'rose 4-fold'
    >>> factor_words(Unusual(3, "loss", "metric", "jump", 9.0, -1.0, 2.0))
    'rose from -1 to 2'
    """
    verb = "rose" if event.after > event.before else "fell"
    if event.before > 0 and event.after > 0:
        factor = max(event.after / event.before, event.before / event.after)
        digits = f"{factor:,.0f}" if factor >= 9.95 else f"{factor:.1f}".removesuffix(".0")
        return f"{verb} {digits}-fold" if factor >= 1.5 else f"{verb} by {100 * (factor - 1):.0f} %"
    if event.after == 0 and event.before > 0:
        return "fell to zero"
    return f"{verb} from {number(event.before)} to {number(event.after)}" if math.isfinite(event.before) else verb


def place_words(event: Unusual) -> str:
    """Name the place of a change."""
    return "the whole network" if event.place == NETWORK else f"`{event.place}`"


def quantity_words(event: Unusual) -> str:
    """Name what changed: a quantity of a place, or a metric."""
    return place_words(event) if event.quantity == "metric" else f"the {event.quantity} of {place_words(event)}"


def verb_words(event: Unusual) -> str:
    """Write what it did.

    >>> verb_words(Unusual(3, "loss", "metric", "spike", 9.0, 0.5, 2.0))
    'rose 4-fold for a moment'
    """
    if event.kind == "nonfinite":
        return "became NaN or Inf"
    if event.kind == "spread":
        return f"began to scatter {'more' if event.score > 0 else 'less'}"
    if event.kind == "slope":
        return f"bent {'upward' if event.score > 0 else 'downward'} from a smooth trend"
    return f"{factor_words(event)} {'for a moment' if event.kind == 'spike' else 'and stayed there'}"
