"""What a rule says."""

from typing import NamedTuple

import numpy as np


class Verdict(NamedTuple):
    """What a rule says of one place.

    Parameters
    ----------
    value
        The number that is held against the threshold, (step); NaN where the rule can not be checked.
    fires
        Whether the rule fires, (step).
    """

    value: np.ndarray
    fires: np.ndarray
