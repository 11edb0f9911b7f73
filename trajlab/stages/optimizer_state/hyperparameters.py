"""Factors of the update of each parameter, from the hyperparameters at each step."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.scan.source import epsilon_of, smallest_of

ROUNDINGS = 1.5
"""Relative error of a faded moment after one update, in spacings of its type at 1: that of β₂, and of two products."""

TELLING = 0.1
"""Largest square of a gradient, in units of the second moment, that rounding may hide for `fading` to be known."""


class Factors(NamedTuple):
    """Factors of the update of one parameter at each step, (step) each; NaN where unknown.

    Attributes
    ----------
    first, second
        1/(1 − β₁ᵏ) and 1/(1 − β₂ᵏ) of the moments after k updates.
    following
        1/(1 − β₂ᵏ⁺¹).
    beta, epsilon
        β₂ and ε.
    fade, floor
        The largest second moment that is left if no gradient came since the step before is `fade` times that, plus
        `floor`.
    """

    first: np.ndarray
    second: np.ndarray
    following: np.ndarray
    beta: np.ndarray
    epsilon: np.ndarray
    fade: np.ndarray
    floor: np.ndarray


def factors_of(hyperparameters: xr.Dataset, parameter: str, steps: np.ndarray, stored: str) -> Factors:
    """Return the factors of the updates of a parameter at some steps.

    Parameters
    ----------
    hyperparameters
        Hyperparameters and `updates`, (step, parameter).
    parameter
        The parameter.
    steps
        The steps, rising.
    stored
        Element type of its second moment.
    """
    k, beta1, beta2, epsilon = (
        setting_of(hyperparameters, name, parameter, steps) for name in ("updates", "beta1", "beta2", "eps")
    )
    corrected = setting_of(hyperparameters, "bias_correction", parameter, steps) != 0  # NaN, of torch's, is not 0
    corrected &= setting_of(hyperparameters, "correct_bias", parameter, steps) != 0
    k = np.where(k > 0, k, np.nan)
    with np.errstate(all="ignore"):
        first, second, following = (
            np.where(corrected, 1 / (1 - beta**count), 1.0) for beta, count in ((beta1, k), (beta2, k), (beta2, k + 1))
        )
        since = np.append(np.nan, np.diff(k))
        slack = ROUNDINGS * since * epsilon_of(stored)
        is_fine = (since > 0) & (slack <= TELLING * (1 - beta2**since))
        fade = np.where(is_fine, beta2**since * (1 + slack), np.nan)
    floor = since * smallest_of(stored)
    return Factors(first, second, following, beta2, epsilon, fade, floor)


def setting_of(hyperparameters: xr.Dataset, name: str, parameter: str, steps: np.ndarray) -> np.ndarray:
    """Return a hyperparameter of a parameter at some steps, (step); NaN where there is none."""
    if name not in hyperparameters or parameter not in hyperparameters["parameter"]:
        return np.full(len(steps), np.nan)
    values = hyperparameters[name].sel(parameter=parameter)
    return values.reindex(step=steps).values.astype(np.float64)


def alike(factors: Mapping[str, tuple[np.ndarray, Factors]]) -> list[Sequence[str]]:
    """Group parameters with the same steps and factors, as those of one group of the optimizer; in their order."""
    groups: dict[tuple[bytes, ...], list[str]] = {}
    for name, (steps, of_parameter) in factors.items():
        signature = (steps.tobytes(), *(np.asarray(values).tobytes() for values in of_parameter))
        groups.setdefault(signature, []).append(name)
    return list(groups.values())
