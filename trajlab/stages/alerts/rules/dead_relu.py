"""DeadRelu: layers of ReLUs that are hardly ever active."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def dead_relu(
    relu_active: np.ndarray, *, dead_relu_threshold_inactivity: float, dead_relu_threshold_layer: float
) -> Verdict:
    """Fire where too many ReLUs of a layer are active too rarely.

    Parameters
    ----------
    relu_active
        Share of the probe's positions at which each unit is active, (step, unit).
    dead_relu_threshold_inactivity
        Units active at less than this percentage of positions are inactive.
    dead_relu_threshold_layer
        Upper limit of the percentage of inactive units.
    """
    return inactive_units(relu_active, dead_relu_threshold_inactivity, dead_relu_threshold_layer)


def inactive_units(active: np.ndarray, limit_unit: float, limit_layer: float) -> Verdict:
    """Fire where more than a percentage of units is active at less than a percentage of positions."""
    is_known = np.isfinite(active)
    inactive = (100.0 * active < limit_unit).sum(1)
    percent = 100.0 * inactive / np.where(is_known.any(1), is_known.sum(1), np.nan)
    return Verdict(percent, percent > limit_layer)


RULE = Rule("DeadRelu", "activations of ReLUs, from a probe and a model", (dead_relu,))
