"""Which units are dead or dormant, and when they die and revive."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observe import observe
from trajlab.replays.observers.activity import Activity
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.activity import ACTIVITY
from trajlab.stages.dead_neurons.life_table import MEANINGS as LIFETIMES
from trajlab.stages.dead_neurons.life_table import lifetimes
from trajlab.statistics.result import Meaning, annotate, stride
from trajlab.statistics.units import (
    UnitLayer,
    at_steps,
    changed_table,
    layers_of,
    nonzero_table,
    on_one_probe,
    shape_of,
    side_by_side,
)

_SHARE = "over the units of the layer of which it is known"
_PAIR = "count; units known at both snapshots"
MEANINGS = {
    "active_fraction": Meaning(
        "share of positions where active", "1", "positions with h > 0 / positions with finite h", share=True
    ),
    "dead": Meaning("dead", "1", "1 if h > 0 at no position of the probe, else 0"),
    "near_dead": Meaning("nearly dead", "1", "1 if active_fraction < min_active_fraction, else 0"),
    "dormant": Meaning("dormant", "1", "1 if E|h| ≤ tau · mean_k E|h_k|, else 0"),
    "dormant_score": Meaning("dormancy score", "1", "E|h| / mean_k E|h_k| over the units of the layer"),
    "gradient_dead": Meaning("without gradient", "1", "1 if g = 0 for weight row and bias at `window` recorded steps"),
    "weight_static": Meaning("with unchanged weights", "1", "1 if bits(w_t) = bits(w_prev) in the whole row, else 0"),
    "died": Meaning("units that died", "units", f"alive before, dead now; {_PAIR}"),
    "revived": Meaning("units that revived", "units", f"dead before, alive now and at some earlier snapshot; {_PAIR}"),
    "born": Meaning("units alive for the first time", "units", f"dead before, alive now and never earlier; {_PAIR}"),
    "nonfinite": Meaning("activations that are NaN or Inf", "activations", "count over positions and units"),
    "agreement": Meaning("agreement of gradient_dead with dead", "1", f"share of equal ones {_SHARE} both", share=True),
    "agreement_static": Meaning(
        "agreement of weight_static with dead", "1", f"share of equal ones {_SHARE} both", share=True
    ),
}
FRACTIONS = ("dead", "near_dead", "dormant", "gradient_dead", "weight_static")
for _name in FRACTIONS:
    MEANINGS[f"fraction_{_name}"] = Meaning(
        f"share of units {MEANINGS[_name].long_name}", "1", f"mean {_SHARE}", share=True
    )
MEANINGS |= LIFETIMES


def dead_neurons(
    activations: Mapping[str, xr.DataArray] | None = None,
    gradients: Mapping[str, xr.DataArray] | None = None,
    weights: Mapping[str, xr.DataArray] | None = None,
    *,
    tau: float = 0.025,
    min_active_fraction: float = 0.01,
    window: int = 10,
) -> xr.Dataset:
    """Which units are dead, nearly dead or dormant, and when they die, revive and come to life.

    Answers: how much of the network does nothing, since when, for how long, and does it ever come back?

    Parameters
    ----------
    activations
        Outputs of layers on the probe by name, dims (step, …, unit, …), as `trajlab.replay` gives them. Outputs that
        the network rectifies later, of layers with the attr `activation` False, count as max(h, 0) in the score.
    gradients
        Gradients of parameters by name, for what can be told without a model; of samples, what these show.
    weights
        Weights of parameters by name, likewise.
    tau
        Units that score up to this are dormant.
    min_active_fraction
        Units active at less than this share of positions are nearly dead.
    window
        Recorded steps over which a unit has to be without gradient.

    Returns
    -------
    active_fraction, dead, near_dead, dormant, dormant_score : (step, layer, unit)
        What a unit does on the probe; yes is 1 and no 0. A layer with fewer units ends in NaN.
    gradient_dead : (step, layer, unit)
        Whether no gradient led into the unit at this step and those before it in the window; NaN until there is a
        full window, and at steps without a gradient, such as that of the closing snapshot.
    weight_static : (step, layer, unit)
        Whether the unit's weights are those of the snapshot before, to the bit; NaN at the first.
    fraction_dead, fraction_near_dead, fraction_dormant, fraction_gradient_dead, fraction_weight_static : (step, layer)
        Shares of the units.
    died, revived, born : (step, layer)
        Units that passed between dead and alive since the snapshot before; NaN at the first. The change in the number
        of dead units is died − revived − born.
    deaths, revivals, first_active, first_death, last_death : (layer, unit)
        How often a unit died after it had been active, and came back; and the steps at which it was first active, and
        seen dead first and last after that. A unit that is dead from the start is born when it is first active: that
        is no revival, and to be dead before is no death. Snapshots at which a unit is not known are passed over, so
        that these count deaths across gaps, which `died` can not.
    dead_steps, longest_dead, longest_dead_span, dead_at_end : (layer, unit)
        Snapshots at which it is dead; its longest dead spell in snapshots, and the longest in optimizer steps, from
        the first snapshot dead to the next active; and whether it is dead where it is last known.
    fraction_ever_dead, fraction_never_active, fraction_ever_died, fraction_died_for_good : (layer)
        Shares of the units: dead at any snapshot, dead at all, dead at one after having been active, and such that
        are dead at the end.
    survival, at_risk : (step, layer)
        Kaplan–Meier share of the units yet to die for the first time, and how many may. A unit counts from when it is
        first active to when it dies, or is last known; one that is never active does not.
    agreement, agreement_static : (step, layer)
        Share of units for which `gradient_dead`, or `weight_static`, says the same as `dead`.
    nonfinite : (step, layer)
        Activations that are NaN or Inf. They are left out of all else.
    total_… : (step)
        The same over all units of all layers.

    With activations, layers and steps are theirs, and the coord `source` names the module whose parameters lead into
    the units. Without, each parameter with two dims or more is a layer, named as its module, at the steps of the
    gradients, or of the weights. A layer in which no unit is ever active has scores 0/0, NaN, and dormant units.

    Raises
    ------
    MissingData
        There are no activations, gradients or weights.
    BadSetting
        A setting is out of range, an array of activations has no dim `unit`, or two are of different probes.

    References
    ----------
    Score of dormant neurons (ReDo): Sokar et al. 2023, arXiv:2302.12902. Survival: Kaplan & Meier 1958,
    doi:10.1080/01621459.1958.10501452, with late entry as in Klein & Moeschberger 2003, Survival Analysis, eq. 4.6.1.
    """
    if window < 1 or tau < 0 or not 0 <= min_active_fraction <= 1:
        raise BadSetting(
            f"cannot use tau={tau}, min_active_fraction={min_active_fraction} and window={window}: choose tau ≥ 0, "
            "min_active_fraction from 0 to 1 and window ≥ 1"
        )
    activations, gradients, weights = activations or {}, gradients or {}, weights or {}
    activity = observe(activations, Activity()) if activations else {}
    layers = layers_of(activity, {**weights, **gradients})
    if not layers:
        raise MissingData(
            "activations, gradients or weights that lead into units were asked for; there are none. Record with "
            "Recorder(gradients=True), or with Recorder(probe=...) and describe={'model': {'factory': …}}."
        )
    tables = {("activity", name): table for name, table in activity.items()}
    for kind, table, arrays in (("gradient", nonzero_table, gradients), ("weight", changed_table, weights)):
        for layer in layers:
            for name in (layer.weight, layer.bias)[: 2 if kind == "gradient" else 1]:
                if name in arrays and shape_of(arrays[name])[0] == layer.units and (kind, name) not in tables:
                    tables[kind, name] = table(arrays[name])
    quantities = partial(
        _result,
        keys=tuple(tables),
        layers=tuple(layers),
        tau=tau,
        min_active_fraction=min_active_fraction,
        window=window,
    )
    result = as_one_task(quantities, *tables.values())
    return annotate(
        result,
        MEANINGS,
        tau=tau,
        min_active_fraction=min_active_fraction,
        window=window,
        **on_one_probe(activity.values()),
    )


def _result(
    *tables: xr.DataArray, keys: tuple[tuple[str, str], ...], layers: tuple[UnitLayer, ...], tau: float,
    min_active_fraction: float, window: int,
) -> xr.Dataset:  # fmt: skip
    found = dict(zip(keys, tables, strict=True))
    kinds = list(dict.fromkeys(kind for kind, _ in keys))
    steps = np.unique(np.concatenate([table["step"].values for (kind, _), table in found.items() if kind == kinds[0]]))

    def join(parts: list[np.ndarray | None]) -> xr.DataArray:
        values = side_by_side(parts, layers, len(steps))
        return xr.DataArray(values, dims=("step", "layer", "unit", "column")[: values.ndim])

    units: dict[str, xr.DataArray] = {}
    counts: dict[str, xr.DataArray] = {}
    if "activity" in kinds:
        columns = join([at_steps(found["activity", layer.name], steps) for layer in layers])
        rectify = xr.DataArray([layer.rectify for layer in layers], dims="layer")
        units, counts = _on_probe(
            columns.assign_coords(column=list(ACTIVITY)).to_dataset("column"), rectify, tau, min_active_fraction
        )
    if "gradient" in kinds:
        own = [[found.get(("gradient", name)) for name in (layer.weight, layer.bias)] for layer in layers]
        units["gradient_dead"] = join([_without_gradient(parts, steps, window) for parts in own])
    if "weight" in kinds:
        marks = [found.get(("weight", layer.weight)) for layer in layers]
        units["weight_static"] = join([None if table is None else 1.0 - at_steps(table, steps) for table in marks])
    labels = {
        "step": ("step", steps, {"long_name": "optimizer step", "units": "1"}),
        "layer": np.array([layer.name for layer in layers], dtype=object),
        "source": ("layer", np.array([layer.source for layer in layers], dtype=object)),
        "units": ("layer", [layer.units for layer in layers]),
    }
    lives = lifetimes(units["dead"].assign_coords(step=steps)) if "dead" in units else {}
    return stride(xr.Dataset(units | _pooled(units, counts) | lives, labels))


def _on_probe(
    sums: xr.Dataset, rectify: xr.DataArray, tau: float, min_active_fraction: float
) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Turn sums over the probe into what each unit is, and into what is to be counted."""
    known = sums.valid > 0
    active_fraction = sums.active / sums.valid
    dead = (sums.active == 0).where(known)
    value = xr.where(rectify, sums.positive, sums["size"]) / sums.valid
    mean = value.sum("unit") / value.count("unit")
    before = dead.shift(step=1)
    both = before.notnull() & dead.notnull()
    back = (before == 1) & (dead == 0)
    seen_alive = (before == 0).cumsum("step") > 0
    units = {
        "active_fraction": active_fraction,
        "dead": dead,
        "near_dead": (active_fraction < min_active_fraction).where(known),
        "dormant": (value <= tau * mean).where(known),
        "dormant_score": value / mean,
    }
    counts = {
        "died": ((before == 0) & (dead == 1)).where(both),
        "revived": (back & seen_alive).where(both),
        "born": (back & ~seen_alive).where(both),
        "nonfinite": sums.nonfinite,
    }
    return units, counts


def _without_gradient(tables: list[xr.DataArray | None], steps: np.ndarray, window: int) -> np.ndarray | None:
    """Tell for each unit whether none of its parameters had a gradient over a window, (step, unit)."""
    known = [table for table in tables if table is not None]
    if not known:
        return None
    own = known[0]["step"].values
    marks = np.fmax.reduce([at_steps(table, own) for table in known])
    dead = np.full(marks.shape, np.nan)
    if len(own) >= window:
        dead[window - 1 :] = 1.0 - np.lib.stride_tricks.sliding_window_view(marks, window, axis=0).max(-1)
    return at_steps(known[0].copy(data=dead), steps)


def _pooled(units: dict[str, xr.DataArray], counts: dict[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Give the shares and counts of units of each layer, and of all layers."""
    shares = {f"fraction_{name}": units[name] for name in FRACTIONS if name in units}
    for name, proxy in (("agreement", "gradient_dead"), ("agreement_static", "weight_static")):
        if "dead" in units and proxy in units:
            both = units["dead"].notnull() & units[proxy].notnull()
            shares[name] = (units["dead"] == units[proxy]).where(both)
    result: dict[str, xr.DataArray] = {}
    for prefix, over in (("", ["unit"]), ("total_", ["layer", "unit"])):
        result |= {prefix + name: share.sum(over) / share.count(over) for name, share in shares.items()}
        result |= {prefix + name: count.sum(over, min_count=1) for name, count in counts.items()}
    return result
