"""MassDeath: many units of a layer that die within a few snapshots."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def mass_death(active: np.ndarray, *, mass_death_window: int, mass_death_share: float) -> Verdict:
    """Fire where many units of a layer died within the last few snapshots.

    Parameters
    ----------
    active
        Share of the probe's positions at which each unit is off the constant of its activation, (step, unit); a unit
        that never is counts as dead.
    mass_death_window
        A unit died if it is dead now and was active at one or more of this many snapshots before.
    mass_death_share
        Upper limit of the share of the layer's units that died.
    """
    value = np.full(len(active), np.nan)
    for i in range(1, len(active)):
        died = (active[i] == 0) & (active[max(0, i - mass_death_window) : i] > 0).any(0)
        units = np.isfinite(active[i]).sum()
        value[i] = died.sum() / units if units else np.nan
    return Verdict(value, value > mass_death_share)


RULE = Rule(
    "MassDeath", "activations of units that can die, from a probe and a model", (mass_death,), {"mass_death_window": 1}
)
