"""Quantities of dead units, from tables of activity, gradients and weights."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from trajlab.replays.observers.activity import COLUMNS, is_flat
from trajlab.stages.dead_neurons.life_table import life_table
from trajlab.statistics.result import stride
from trajlab.statistics.units import UnitLayer, at_steps, side_by_side

FRACTIONS = ("dead", "near_dead", "dormant", "never_positive", "gradient_dead", "weight_static")
"""States of units whose shares are reported."""

OF_ALL_LAYERS = (
    "fraction_dormant",
    "fraction_never_positive",
    "fraction_gradient_dead",
    "fraction_weight_static",
    "nonfinite",
)
"""Quantities whose totals are over all layers, also those whose units cannot be dead."""


def quantities(
    *tables: xr.DataArray, keys: tuple[tuple[str, str], ...], layers: tuple[UnitLayer, ...], tau: float,
    min_active_fraction: float, window: int,
) -> xr.Dataset:  # fmt: skip
    """Return all quantities of the stage.

    Parameters
    ----------
    tables
        Activity of layers, and which gradients are not zero and which weights changed.
    keys
        Kind and name of each table.
    layers
        The layers, in order.
    tau, min_active_fraction, window
        Settings of the stage.
    """
    by_key = dict(zip(keys, tables, strict=True))
    kinds = list(dict.fromkeys(kind for kind, _ in keys))
    steps = np.unique(np.concatenate([table["step"].values for (kind, _), table in by_key.items() if kind == kinds[0]]))

    def join(parts: list[np.ndarray | None]) -> xr.DataArray:
        values = side_by_side(parts, layers, len(steps))
        return xr.DataArray(values, dims=("step", "layer", "unit", "column")[: values.ndim])

    units: dict[str, xr.DataArray] = {}
    counts: dict[str, xr.DataArray] = {}
    if "activity" in kinds:
        columns = join([at_steps(by_key["activity", layer.name], steps) for layer in layers])
        has_units = xr.DataArray([layer.has_units for layer in layers], dims="layer")
        sums = columns.where(has_units).assign_coords(column=list(COLUMNS)).to_dataset("column")
        sums["nonfinite"] = columns.isel(column=COLUMNS.index("nonfinite"))
        units, counts = _on_probe(sums, layers, tau, min_active_fraction)
    if "gradient" in kinds:
        parameters = [[by_key.get(("gradient", name)) for name in (layer.weight, layer.bias)] for layer in layers]
        units["gradient_dead"] = join([_without_gradient(parts, steps, window) for parts in parameters])
    if "weight" in kinds:
        changed = [by_key.get(("weight", layer.weight)) for layer in layers]
        units["weight_static"] = join([None if table is None else 1.0 - at_steps(table, steps) for table in changed])
    labels = {
        "step": ("step", steps, {"long_name": "optimizer step", "units": "1"}),
        "layer": np.array([layer.name for layer in layers], dtype=object),
        "source": ("layer", np.array([layer.source for layer in layers], dtype=object)),
        "units": ("layer", [layer.units for layer in layers]),
    }
    if "dead" in units:
        labels["dead_at"] = ("layer", np.array([layer.dead_at for layer in layers], dtype=object))
    pool = mortal(layers)
    table = life_table(units["dead"].assign_coords(step=steps), pool) if "dead" in units else {}
    return stride(xr.Dataset(units | _pooled(units, counts, pool) | table, labels))


def mortal(layers: Sequence[UnitLayer]) -> list[int]:
    """Return the positions of the layers that enter totals of dead units.

    They are those whose units can be dead; without any, those that are unknown, so that the total is, too; else all.
    """
    by_answer = {answer: [i for i, layer in enumerate(layers) if layer.can_die is answer] for answer in (True, None)}
    return by_answer[True] or by_answer[None] or list(range(len(layers)))


def _on_probe(
    sums: xr.Dataset, layers: Sequence[UnitLayer], tau: float, min_active_fraction: float
) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Return the state of each unit, and changes of state to be counted, from sums over the probe."""
    is_valid = sums.valid > 0
    answers = [(layer.rectify, layer.can_die is True, layer.can_die is False, layer.smooth) for layer in layers]
    rectify, can_die, cannot_die, smooth = (
        xr.DataArray(list(column), dims="layer") for column in zip(*answers, strict=True)
    )
    flat = sums.squares.copy(data=is_flat(sums.squares.values, sums["size"].values, sums.valid.values))
    stuck = (sums.at_low == sums.valid) | (sums.at_high == sums.valid) | (flat & smooth)
    dead = (stuck & can_die).where(is_valid & (can_die | cannot_die))
    off = (sums.valid - np.fmax(sums.at_low, sums.at_high)) / sums.valid
    nearly = ((off < min_active_fraction) | stuck) & can_die
    value = xr.where(rectify, sums.positive, sums["size"]) / sums.valid
    mean = value.sum("unit") / value.count("unit")
    before = dead.shift(step=1)
    both = before.notnull() & dead.notnull()
    back = (before == 1) & (dead == 0)
    seen_alive = (before == 0).cumsum("step") > 0
    units = {
        "active_fraction": sums.active / sums.valid,
        "dead": dead,
        "near_dead": nearly.where(is_valid & (can_die | cannot_die)),
        "dormant": (value <= tau * mean).where(is_valid),
        "dormant_score": value / mean,
        "never_positive": (sums.positive == 0).where(is_valid),
    }
    counts = {
        "died": ((before == 0) & (dead == 1)).where(both),
        "revived": (back & seen_alive).where(both),
        "born": (back & ~seen_alive).where(both),
        "nonfinite": sums.nonfinite,
    }
    return units, counts


def _without_gradient(tables: list[xr.DataArray | None], steps: np.ndarray, window: int) -> np.ndarray | None:
    """Return whether none of the parameters of each unit had a gradient over a window, (step, unit)."""
    present = [table for table in tables if table is not None]
    if not present:
        return None
    recorded = present[0]["step"].values
    nonzero = np.fmax.reduce([at_steps(table, recorded) for table in present])
    dead = np.full(nonzero.shape, np.nan)
    if len(recorded) >= window:
        dead[window - 1 :] = 1.0 - np.lib.stride_tricks.sliding_window_view(nonzero, window, axis=0).max(-1)
    return at_steps(present[0].copy(data=dead), steps)


def _pooled(
    units: dict[str, xr.DataArray], counts: dict[str, xr.DataArray], pool: Sequence[int]
) -> dict[str, xr.DataArray]:
    """Return the shares and counts of units of each layer, and of all layers; of death, of those in the pool."""
    shares = {f"fraction_{name}": units[name] for name in FRACTIONS if name in units}
    for name, proxy in (("agreement", "gradient_dead"), ("agreement_static", "weight_static")):
        if "dead" in units and proxy in units:
            both = units["dead"].notnull() & units[proxy].notnull()
            shares[name] = (units["dead"] == units[proxy]).where(both)
    result: dict[str, xr.DataArray] = {}
    for prefix, over in (("", ["unit"]), ("total_", ["layer", "unit"])):
        for name, array in (shares | counts).items():
            part = array.isel(layer=list(pool)) if prefix and name not in OF_ALL_LAYERS else array
            result[prefix + name] = part.sum(over) / part.count(over) if name in shares else part.sum(over, min_count=1)
    return result
