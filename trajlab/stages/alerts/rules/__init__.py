"""Rules that tell when training goes wrong, under the names and with the defaults that people know.

A rule's positional parameters ask for evidence by name, and it is checked wherever there is that evidence; its
keyword-only parameters are thresholds.
"""

import re
from collections.abc import Callable

from trajlab.stages.alerts.rules.curves import loss_not_decreasing, overfit, spike, stuck_loss
from trajlab.stages.alerts.rules.layers import dead_relu, mass_death, saturated_activation
from trajlab.stages.alerts.rules.tensors import (
    all_zero,
    exploding_tensor,
    narrow_gradient,
    rank_collapse,
    tensor_variance,
    unchanged_tensor,
    uneven_variances,
    vanishing_gradient,
    weight_update_ratio,
)
from trajlab.stages.alerts.rules.verdict import Verdict

RULES: dict[str, tuple[Callable[..., Verdict], ...]] = {
    "ExplodingTensor": (exploding_tensor,),
    "VanishingGradient": (vanishing_gradient,),
    "AllZero": (all_zero,),
    "UnchangedTensor": (unchanged_tensor,),
    "TensorVariance": (tensor_variance,),
    "WeightUpdateRatio": (weight_update_ratio,),
    "PoorWeightInitialization": (uneven_variances, narrow_gradient, stuck_loss),
    "LossNotDecreasing": (loss_not_decreasing,),
    "Overfit": (overfit,),
    "Spike": (spike,),
    "DeadRelu": (dead_relu,),
    "SaturatedActivation": (saturated_activation,),
    "MassDeath": (mass_death,),
    "RankCollapse": (rank_collapse,),
}
"""The rules by name; one of several functions fires where any of them does."""

NEEDS = {
    "ExplodingTensor": "weights, gradients, activations or loss",
    "VanishingGradient": "gradients",
    "AllZero": "gradients, or weights of two dims or more",
    "UnchangedTensor": "weights",
    "TensorVariance": "weights of two dims or more",
    "WeightUpdateRatio": "weights of two dims or more",
    "PoorWeightInitialization": "two layers with activations or weights of two dims, gradients, or loss",
    "LossNotDecreasing": "loss among the metrics",
    "Overfit": "training and validation loss among the metrics",
    "Spike": "loss or gradients",
    "DeadRelu": "activations of ReLUs, from a probe and a model",
    "SaturatedActivation": "activations of tanh or sigmoid, from a probe and a model",
    "MassDeath": "activations of units that can die, from a probe and a model",
    "RankCollapse": "weights of two dims or more",
}
"""What each rule needs to be checked."""


def prefix(rule: str) -> str:
    """Give the prefix that a rule's thresholds have among the settings.

    >>> prefix("DeadRelu")
    'dead_relu'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", rule).lower()
