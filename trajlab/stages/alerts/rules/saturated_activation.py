"""SaturatedActivation: layers of tanh or sigmoid at their extremes."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict
from trajlab.stages.alerts.rules.dead_relu import inactive_units


def saturated_activation(
    unsaturated: np.ndarray,
    *,
    saturated_activation_threshold_inactivity: float,
    saturated_activation_threshold_layer: float,
) -> Verdict:
    """Fire where too many units of a layer of tanh or sigmoid are too rarely between its extremes.

    Parameters
    ----------
    unsaturated
        Share of the probe's positions at which the input of each unit is between the extremes, (step, unit).
    saturated_activation_threshold_inactivity
        Units between the extremes at less than this percentage of positions are saturated.
    saturated_activation_threshold_layer
        Upper limit of the percentage of saturated units.
    """
    return inactive_units(unsaturated, saturated_activation_threshold_inactivity, saturated_activation_threshold_layer)


RULE = Rule("SaturatedActivation", "activations of tanh or sigmoid, from a probe and a model", (saturated_activation,))
