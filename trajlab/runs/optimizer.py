"""State of the optimizer over training: moments of parameters as tensors, and hyperparameters by step."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from trajlab.runs.tensors import Series, Tensors, attributes_of

UPDATES = "updates"
"""Number of updates that the moments of a parameter have seen, torch's `step`."""


class OptimizerState:
    """State of the optimizer at the steps at which a run kept it.

    Parameters
    ----------
    tensors
        Moments by "<parameter>/<entry>", such as "fc.weight/exp_avg", (step, ...) each, with torch's names of entries.
    hyperparameters
        Settings and counts that belong to parameters, such as `lr`, `beta1`, `eps` and `updates`, (step, parameter);
        NaN where the optimizer has no such setting.
    left_out
        Parameters, moments and files that could not be matched or read, with the reason.
    """

    def __init__(
        self,
        tensors: Tensors | None = None,
        hyperparameters: xr.Dataset | None = None,
        left_out: Mapping[str, str] | None = None,
    ):
        self.tensors = Tensors({}) if tensors is None else tensors
        self.hyperparameters = xr.Dataset() if hyperparameters is None else hyperparameters
        self.left_out = dict(left_out or {})

    @property
    def moments(self) -> dict[str, dict[str, xr.DataArray]]:
        """The moments of all parameters by entry and parameter, such as ``moments["exp_avg"]["fc.weight"]``."""
        moments: dict[str, dict[str, xr.DataArray]] = {}
        for name in self.tensors:
            parameter, entry = split_name(name)
            moments.setdefault(entry, {})[parameter] = self.tensors[name]
        return moments

    @property
    def steps(self) -> np.ndarray:
        """Steps at which any moment was kept, (step)."""
        return self.tensors.steps

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        names = [split_name(name) for name in self.tensors]
        entries = ", ".join(dict.fromkeys(entry for _, entry in names)) or "no moments"
        return f"<OptimizerState: {entries} of {len({name for name, _ in names})} parameters; {len(self.steps)} steps>"


def moment_name(parameter: str, entry: str) -> str:
    """Return the name of a moment.

    >>> moment_name("fc.weight", "exp_avg")
    'fc.weight/exp_avg'
    """
    return f"{parameter}/{entry}"


def split_name(name: str) -> tuple[str, str]:
    """Return the parameter and the entry of a moment's name.

    >>> split_name("fc.weight/exp_avg")
    ('fc.weight', 'exp_avg')
    """
    parameter, _, entry = name.rpartition("/")
    return parameter, entry


def moment_attributes(facts: Mapping[str, Any], weights: Mapping[str, Series]) -> Callable[[str], dict[str, Any]]:
    """Return a function of the name of a moment that returns the attrs of its parameter.

    Parameters
    ----------
    facts
        What made the run.
    weights
        The parameters.
    """
    attributes = attributes_of(facts, weights)

    def of_moment(name: str) -> dict[str, Any]:
        parameter, _ = split_name(name)
        return attributes(parameter) if parameter in weights else {}

    return of_moment
