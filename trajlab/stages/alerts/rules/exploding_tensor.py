"""ExplodingTensor: entries that are NaN or Inf."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def exploding_tensor(nonfinite: np.ndarray) -> Verdict:
    """Fire where an entry is NaN or Inf.

    Parameters
    ----------
    nonfinite
        Entries that are NaN or Inf, (step).
    """
    return Verdict(nonfinite, nonfinite > 0)


RULE = Rule("ExplodingTensor", "weights, gradients, activations or losses", (exploding_tensor,))
