"""What was shown of the features of a perceptron with batch normalization while it learns MNIST, without numbers."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, verdict
from trajlab.claims import Claim, Measured

HIDDEN = ["relu1", "relu2", "relu3"]
LAYERS = [*HIDDEN, "fc4"]
"""From the first hidden layer to what the network gives."""

ENDS = {"untrained": 0, "at the end": -1}

SHOWN = "shown as maps and curves, without numbers"


def features_decorrelate(results: Results) -> Claim:
    """Hold the mean size of the correlation of two features of a layer at the end against that at the start."""
    found = results["correlation"]["absolute_off_diagonal"]
    within = {name: found.sel(layer=name, layer_other=name) for name in HIDDEN}
    fell = {name: (last(array) < array.isel(step=0)).values for name, array in within.items()}
    late = [name for name, array in within.items() if bool((last(array) < array.isel(step=1)).all())]
    return Claim(
        "Training decorrelates the features of a layer.",
        SHOWN,
        _at("|ρ| of two features", within, {"untrained": 0, "after one epoch": 1, "at the end": -1}),
        verdict(np.concatenate([*fell.values()])),
        "Each hidden layer has to end lower than it started, in each run. From the start of the second epoch on "
        f"{', '.join(f'`{name}`' for name in late) or 'none'} fell in all runs. Random features of images hardly "
        "correlate; features that learn to stand for ten digits share what these have in common.",
        "correlation",
    )


def deeper_layers_go_together_more(results: Results) -> Claim:
    """Rank the pairs of neighboring layers by how much their features correlate, at the end and at the start."""
    found = results["correlation"]["absolute_off_diagonal"]
    between = {f"{a} and {b}": found.sel(layer=a, layer_other=b) for a, b in pairwise(LAYERS)}
    alike = [results["correlation"]["cka"].sel(layer=a, layer_other=b) for a, b in pairwise(LAYERS)]
    return Claim(
        "Deeper layers correlate more with each other.",
        SHOWN,
        _at("|ρ|", between),
        verdict(_rising([last(array) for array in between.values()])),
        "Each pair of neighboring layers has to correlate more than the pair before it, in each run, at the end. "
        + _untrained([array.isel(step=0) for array in between.values()])
        + f" By CKA, in which the layers as a whole are compared: {_numbers([last(array) for array in alike])}.",
        "correlation",
    )


def copies_are_more_alike_in_deeper_layers(results: Results) -> Claim:
    """Rank the layers by how alike the augmentations of one digit are."""
    found = results["augmentation"]
    copies, others = (_mean_digit(found[f"{name}_signed"]) for name in ("copies", "others"))
    first, deepest = (last(found["copies_signed"].sel(layer=name)) for name in (LAYERS[0], LAYERS[-1]))
    return Claim(
        "Augmentations of one digit are more alike in deeper layers.",
        SHOWN,
        _at("ρ of two copies", copies),
        verdict(_rising([last(array) for array in copies.values()])),
        "Two copies have to be more alike in each layer than in the one before it, in each run, at the end, as a "
        f"mean over the digits. From the first layer to the last it rises for {int((deepest > first).sum())} of "
        f"{first.size} digits and runs. "
        + _untrained([array.isel(step=0) for array in copies.values()])
        + f" Copies of different digits at the end: {_numbers([last(array) for array in others.values()])}. What these "
        "have in common is no matter of the digit; see the next line.",
        "augmentation",
    )


def training_sets_digits_apart_from_their_copies(results: Results) -> Claim:
    """Hold how alike copies of one digit are against how alike those of others are, at the start and at the end."""
    found = results["augmentation"]
    apart = _mean_digit(found["copies_signed"] - found["others_signed"])
    grown = {name: (last(array) > array.isel(step=0)).values for name, array in apart.items()}
    deeper = _rising([last(array) for array in apart.values()])
    return Claim(
        "It is learned: training sets copies of one digit apart from those of others.",
        "not published; the control of the line above",
        _at("ρ of two copies of a digit less that of different digits", apart),
        verdict(np.concatenate([*grown.values()])),
        "The difference has to be larger at the end than at the start, in each layer and run. At the end it rises from "
        f"a layer to the next in {sum(deeper)} of {len(deeper)} cases. "
        + _untrained([array.isel(step=0) for array in apart.values()]),
        "augmentation",
    )


def invariance_rises_with_depth_and_training(results: Results) -> Claim:
    """Follow the share of the variance that is between digits, not between copies of one."""
    found = results["augmentation"]["invariance"]
    invariance = {name: found.sel(layer=name) for name in LAYERS}
    deeper = _rising([last(array) for array in invariance.values()])
    learned = [bool(one) for array in invariance.values() for one in (last(array) > array.isel(step=0)).values]
    return Claim(
        "Invariance to augmentation rises with depth and with training.",
        SHOWN,
        _at("invariance", invariance),
        verdict([*deeper, *learned]),
        f"At the end it rises from a layer to the next in {sum(deeper)} of {len(deeper)} cases, and over the training "
        f"in {sum(learned)} of {len(learned)}; all have to. "
        + _untrained([array.isel(step=0) for array in invariance.values()]),
        "augmentation",
    )


def _mean_digit(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Give the mean over the digits that were augmented, by layer."""
    return {name: array.sel(layer=name).mean("original") for name in LAYERS}


def _at(what: str, found: dict[str, xr.DataArray], when: Mapping[str, int] = ENDS) -> list[Measured]:
    """Give what was measured at some of the steps, in all runs."""
    return [
        Measured(f"{what}, {name}, {words}", array.isel(step=step).values)
        for name, array in found.items()
        for words, step in when.items()
    ]


def _rising(found: list[xr.DataArray]) -> list[bool]:
    """Say of each layer but the first, and of each run, whether its value is above that of the layer before it."""
    return [bool(one) for a, b in pairwise(found) for one in (b > a).values]


def _untrained(found: list[xr.DataArray]) -> str:
    """Say whether it rises with depth before training, when batch normalization passes its inputs on unchanged."""
    rising = _rising(found)
    told = "in each run, too, so that it is not learned" if all(rising) else "in none" if not any(rising) else "in part"
    return f"In the untrained network it rises with depth {told}: {_numbers(found)}."


def _numbers(found: list[xr.DataArray]) -> str:
    return ", ".join(f"{round(middle(array), 2) + 0.0:.2f}" for array in found)
