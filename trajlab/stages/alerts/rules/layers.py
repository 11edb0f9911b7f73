"""Rules on the units of a layer over the positions of a probe, (step, unit) each."""

import numpy as np

from trajlab.stages.alerts.rules.verdict import Verdict


def dead_relu(active: np.ndarray, *, threshold_inactivity: float, threshold_layer: float) -> Verdict:
    """Fire where too many ReLUs of a layer are active too seldom.

    Parameters
    ----------
    active
        Share of positions at which each unit is active.
    threshold_inactivity
        Units active at fewer per cent of positions are inactive.
    threshold_layer
        Limit of the per cent of units that are inactive.
    """
    known = np.isfinite(active)
    inactive = (100.0 * active < threshold_inactivity).sum(1)
    percent = 100.0 * inactive / np.where(known.any(1), known.sum(1), np.nan)
    return Verdict(percent, percent > threshold_layer)


def saturated_activation(unsaturated: np.ndarray, *, threshold_inactivity: float, threshold_layer: float) -> Verdict:
    """Fire where too many units of a layer of tanh or sigmoid are too seldom between its extremes.

    Parameters
    ----------
    unsaturated
        Share of positions at which the input of each unit is between the extremes.
    threshold_inactivity
        Units that are so at fewer per cent of positions are saturated.
    threshold_layer
        Limit of the per cent of units that are saturated.
    """
    return dead_relu(unsaturated, threshold_inactivity=threshold_inactivity, threshold_layer=threshold_layer)


def mass_death(alive: np.ndarray, *, window: int, share: float) -> Verdict:
    """Fire where many units of a layer died within the last few snapshots.

    Parameters
    ----------
    alive
        Share of positions at which each unit is active; a unit that never is counts as dead.
    window
        A unit died if it is dead now and was not at one or more of so many snapshots before.
    share
        Limit of the share of the layer's units that died.
    """
    value = np.full(len(alive), np.nan)
    for i in range(1, len(alive)):
        died = (alive[i] == 0) & (alive[max(0, i - window) : i] > 0).any(0)
        known = np.isfinite(alive[i]).sum()
        value[i] = died.sum() / known if known else np.nan
    return Verdict(value, value > share)
