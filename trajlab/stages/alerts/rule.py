"""What a rule is, and what it says."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np


class Verdict(NamedTuple):
    """What a rule says of one parameter, layer or metric.

    Parameters
    ----------
    value
        The number that is compared with the threshold, (step); NaN where the rule cannot be checked.
    fires
        Whether the rule fires, (step).
    """

    value: np.ndarray
    fires: np.ndarray


class Rule(NamedTuple):
    """A rule that the stage `alerts` checks.

    Parameters
    ----------
    name
        Name in results, such as DeadRelu.
    needs
        What a run must have for the rule to be checked, to follow "the run has no".
    judge
        Functions, each checked where there is the evidence that its positional parameters name. Keyword-only
        parameters are thresholds: settings of the stage under the same name, or their own defaults.
    minimum
        Smallest valid value of settings, by name.
    """

    name: str
    needs: str
    judge: tuple[Callable[..., Verdict], ...]
    minimum: Mapping[str, float] = MappingProxyType({})
