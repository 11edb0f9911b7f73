"""Life table of units: when each died, revived and was first active, and how many have not yet died."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from trajlab.statistics.result import Meaning

_KNOWN = "snapshots without a known state are skipped"
MEANINGS = {
    "deaths": Meaning("deaths of the unit", "times", f"count of active before, dead at the next; {_KNOWN}"),
    "revivals": Meaning("revivals of the unit", "times", "count of dead before, active again at the next"),
    "first_active": Meaning(
        "first activity of the unit", "step", "first step at which it is active; NaN if there is none"
    ),
    "first_death": Meaning(
        "first death of the unit", "step", "first step at which it is dead after being active; NaN if there is none"
    ),
    "last_death": Meaning(
        "last death of the unit", "step", "last step at which it is dead after being active at the step before"
    ),
    "dead_steps": Meaning("snapshots at which the unit is dead", "snapshots", "count of dead = 1"),
    "longest_dead": Meaning("longest dead spell", "snapshots", f"largest number of dead snapshots in a row; {_KNOWN}"),
    "longest_dead_span": Meaning(
        "optimizer steps of the longest dead spell",
        "steps",
        "largest number of steps from a first dead snapshot to the next active one, or else to the last known one",
    ),
    "dead_at_end": Meaning("dead at the end", "1", "1 if dead at the last known snapshot, else 0"),
    "at_risk": Meaning(
        "units at risk of a first death",
        "units",
        "count of units active at an earlier snapshot, not dead since, and known at this or a later one",
    ),
    "survival": Meaning(
        "share of units that have not yet died",
        "1",
        "product over steps of 1 − first deaths / at_risk",
        share=True,
    ),
    "fraction_ever_dead": Meaning("share of units ever dead", "1", "dead at any snapshot / known at any", share=True),
    "fraction_never_active": Meaning(
        "share of units never active", "1", "dead at all snapshots / known at any", share=True
    ),
    "fraction_ever_died": Meaning("share of units that ever died", "1", "deaths > 0 / known at any", share=True),
    "fraction_died_for_good": Meaning(
        "share of units that died for good", "1", "deaths > 0 and dead at the end / known at any", share=True
    ),
}


def life_table(dead: xr.DataArray, pool: Sequence[int] | None = None) -> dict[str, xr.DataArray]:
    """Return the life table of units, and the survival of their layers.

    Parameters
    ----------
    dead
        1 where a unit is dead, 0 where it is active and NaN where its state is unknown, (step, layer, unit); the coord
        `step` holds the optimizer steps.
    pool
        Positions of the layers that enter the totals; all by default.

    Returns
    -------
    dict
        Variables of `MEANINGS`: (layer, unit) for units, NaN where the state is never known; (layer) for fractions and
        (step, layer) for `survival` and `at_risk`, with those of all layers under names with `total_`.

        A unit is at risk after it was first active, so one that is dead from the start is at risk from its first
        activity on, and one that is never active is never at risk. It is at risk until it dies, or is censored after
        its last known snapshot. `survival` is NaN until some unit is active.

    References
    ----------
    Kaplan & Meier 1958, doi:10.1080/01621459.1958.10501452, with late entry: Klein & Moeschberger 2003, Survival
    Analysis, eq. 4.6.1.

    Examples
    --------
    >>> dead = [[[0.0, 1]], [[1, 1]], [[1, 0]], [[0, 0]]]
    >>> table = life_table(xr.DataArray(dead, {"step": [0, 5, 10, 20]}, ("step", "layer", "unit")))
    >>> [table[name].values.tolist() for name in ("deaths", "first_death", "first_active", "longest_dead_span")]
    [[[1.0, 0.0]], [[5.0, nan]], [[0.0, 10.0]], [[15.0, 10.0]]]
    >>> table["survival"].values.ravel().tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    values = dead.transpose("step", "layer", "unit").values
    states = _States(values, dead["step"].values)
    table = {name: xr.DataArray(array, dims=("layer", "unit")) for name, array in states.units().items()}
    is_observed = table["deaths"].notnull()
    shares = {
        "ever_dead": table["dead_steps"] > 0,
        "never_active": is_observed & table["first_active"].isnull(),
        "ever_died": table["deaths"] > 0,
        "died_for_good": (table["deaths"] > 0) & (table["dead_at_end"] == 1),
    }
    everywhere = list(range(values.shape[1]))
    for prefix, over, layers in (("", ["unit"], everywhere), ("total_", ["layer", "unit"], list(pool or everywhere))):
        part, axes = {"layer": layers}, 2 if not prefix else (1, 2)
        table |= {
            f"{prefix}fraction_{name}": units.isel(part).sum(over) / is_observed.isel(part).sum(over)
            for name, units in shares.items()
        }
        risk = states.at_risk[:, layers].sum(axes)
        deaths = states.first_deaths[:, layers].sum(axes)
        survival = _survival(deaths, risk, states.born(layers, together=bool(prefix)))
        dims = ("step", "layer")[: risk.ndim]
        table |= {f"{prefix}at_risk": xr.DataArray(risk.astype(float), dims=dims)}
        table |= {f"{prefix}survival": xr.DataArray(survival, dims=dims)}
    return table


def _survival(deaths: np.ndarray, risk: np.ndarray, born: np.ndarray) -> np.ndarray:
    """Return the Kaplan–Meier product over the steps, (step, …); steps with nobody at risk leave it unchanged."""
    outlive = 1.0 - deaths / np.maximum(risk, 1)
    return np.where(born, np.cumprod(outlive, axis=0), np.nan)


class _States:
    """States of units, (step, layer, unit), and the last known state of each before a step."""

    def __init__(self, dead: np.ndarray, steps: np.ndarray):
        self.steps = steps.astype(np.float64)
        self.known = np.isfinite(dead)
        self.dead, self.active = dead == 1, dead == 0
        position = np.arange(len(dead)).reshape(-1, 1, 1)
        last = np.maximum.accumulate(np.where(self.known, position, -1), axis=0)
        self.before = np.concatenate([np.full_like(last[:1], -1), last[:-1]])
        was = np.take_along_axis(self.dead, np.maximum(self.before, 0), axis=0)
        was_dead, was_active = (self.before >= 0) & was, (self.before >= 0) & ~was
        active_yet = np.logical_or.accumulate(self.active, axis=0)
        self.been_active = np.concatenate([np.zeros_like(active_yet[:1]), active_yet[:-1]])
        self.deaths = self.dead & was_active
        self.revivals = self.active & was_dead & self.been_active
        died_yet = np.logical_or.accumulate(self.deaths, axis=0)
        died_before = np.concatenate([np.zeros_like(died_yet[:1]), died_yet[:-1]])
        self.first_deaths = self.deaths & ~died_before
        known_later = np.logical_or.accumulate(self.known[::-1], axis=0)[::-1]
        self.at_risk = self.been_active & ~died_before & known_later

    def born(self, layers: list[int], *, together: bool) -> np.ndarray:
        """Return whether any unit has been active, (step, layer), or (step) for some layers together."""
        return (self.been_active | self.active)[:, layers].any((1, 2) if together else 2)

    def units(self) -> dict[str, np.ndarray]:
        """Return the table, (layer, unit) each."""
        ever = self.known.any(0)
        snapshots, span = self._longest()
        table = {
            "deaths": self.deaths.sum(0),
            "revivals": self.revivals.sum(0),
            "first_active": self._step(self.active),
            "first_death": self._step(self.deaths),
            "last_death": self._step(self.deaths, last=True),
            "dead_steps": self.dead.sum(0),
            "longest_dead": snapshots,
            "longest_dead_span": span,
            "dead_at_end": self._at_end(),
        }
        return {name: np.where(ever, values, np.nan) for name, values in table.items()}

    def _step(self, when: np.ndarray, *, last: bool = False) -> np.ndarray:
        position = len(when) - 1 - when[::-1].argmax(0) if last else when.argmax(0)
        return np.where(when.any(0), self.steps[position], np.nan)

    def _at_end(self) -> np.ndarray:
        position = len(self.known) - 1 - self.known[::-1].argmax(0)
        return np.take_along_axis(self.dead, position[None], axis=0)[0]

    def _longest(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the longest dead spell of each unit, in snapshots and in optimizer steps."""
        count, begun, most, longest = (np.zeros(self.dead.shape[1:]) for _ in range(4))
        for dead, active, step in zip(self.dead, self.active, self.steps, strict=True):
            begun = np.where(dead & (count == 0), step, begun)
            longest = np.maximum(longest, np.where(dead | (active & (count > 0)), step - begun, 0.0))
            count = np.where(dead, count + 1, np.where(active, 0.0, count))
            most = np.maximum(most, count)
        return most, longest
