"""Which algorithm the moments of a parameter are those of."""

from collections.abc import Mapping, Sequence

import xarray as xr

FIRST, SECOND, LARGEST, MOMENTUM = "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"
"""Entries of torch's states: moments of Adam, with amsgrad the largest second one so far; the buffer of SGD."""

ADAM, SGD = "Adam", "SGD with momentum"

OF_ADAM = ("amsgrad", "bias_correction", "correct_bias")
"""Hyperparameters that tell Adam, of PyTorch, apex and transformers, from others with the same moments."""

OF_OTHERS = ("momentum_decay", "grad_averaging")
"""Hyperparameters of NAdam and of LAMB."""

Moments = Mapping[str, Mapping[str, xr.DataArray]]


def algorithms_of(
    moments: Moments, hyperparameters: xr.Dataset, weights: Mapping[str, xr.DataArray]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the algorithm of each parameter, in the order of the weights, and why those of others are not known.

    Parameters
    ----------
    moments
        Moments by entry and parameter.
    hyperparameters
        Hyperparameters, (step, parameter).
    weights
        Parameters by name.
    """
    kinds, others = {}, {}
    with_moments = dict.fromkeys(name for of_entry in moments.values() for name in of_entry)
    for name in [*(name for name in weights if name in with_moments), *(n for n in with_moments if n not in weights)]:
        entries = [entry for entry, of_entry in moments.items() if name in of_entry]
        if name not in weights:
            others[name] = "its weights were not recorded"
        elif {FIRST, SECOND} <= {*entries} and _has(hyperparameters, name, OF_ADAM):
            if _has(hyperparameters, name, OF_OTHERS):
                others[name] = "its hyperparameters are those of NAdam or LAMB, whose updates are not known"
            else:
                kinds[name] = ADAM
        elif MOMENTUM in entries and SECOND not in entries and "square_avg" not in entries:
            kinds[name] = SGD
        else:
            others[name] = f"its moments are {', '.join(entries)}, of an algorithm whose updates are not known"
    return kinds, others


def _has(hyperparameters: xr.Dataset, parameter: str, names: Sequence[str]) -> bool:
    return parameter in hyperparameters.get("parameter", ()) and any(
        name in hyperparameters and bool(hyperparameters[name].sel(parameter=parameter).notnull().any())
        for name in names
    )


def second_moments(moments: Moments, names: Sequence[str]) -> dict[str, xr.DataArray]:
    """Return the second moments by which Adam divides: with amsgrad the largest so far."""
    return {name: moments.get(LARGEST, {}).get(name, moments[SECOND][name]) for name in names}
