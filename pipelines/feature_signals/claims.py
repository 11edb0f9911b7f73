"""What was shown of the features of a perceptron with batch normalization while it learns MNIST, without numbers."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, of, verdict
from trajlab.reports.claims import Claim, Measured

HIDDEN = ["relu1", "relu2", "relu3"]
LAYERS = [*HIDDEN, "fc4"]
"""From the first hidden layer to what the network gives."""

UNTRAINED, EPOCH, END = "untrained", "after one epoch", "at the end"

TRAINED, STILL = "adam", "still"
"""Optimizers: the one that trains, and the one whose steps have length 0, so that batch normalization alone settles."""

SHOWN = "not published; our question to maps and curves that were shown without numbers"

SETTLED = (
    "at first the untrained network was that before the first update, whose batch normalization had seen one batch"
)
DIGITS = "the copies were of three digits"

Ends = dict[str, xr.DataArray]
"""What was measured of an untrained network and of the same at the end of the training, by seed."""


def features_decorrelate(results: Results) -> Claim:
    """Hold the mean size of the correlation of two features of a layer at the end against an untrained network."""
    found = results["correlation"]["absolute_off_diagonal"]
    within = {name: found.sel(layer=name, layer_other=name) for name in HIDDEN}
    early = {name: _by_seed(array, TRAINED).isel(step=1) for name, array in within.items()}
    ends = {name: _ends(array) for name, array in within.items()}
    fell = [(one[END] < one[UNTRAINED]).values for one in ends.values()]
    late = [name for name, one in ends.items() if bool((one[END] < early[name]).all())]
    return Claim(
        "Training decorrelates the features of a layer.",
        SHOWN,
        _at(
            "|ρ| of two features",
            {n: {UNTRAINED: ends[n][UNTRAINED], EPOCH: early[n], END: ends[n][END]} for n in ends},
        ),
        verdict(np.concatenate(fell)),
        "Each hidden layer has to end lower than it is untrained, in each run. From the start of the second epoch on "
        f"{', '.join(f'`{name}`' for name in late) or 'none'} fell in all runs. Random features of images hardly "
        "correlate; features that learn to stand for ten digits share what these have in common.",
        "correlation",
        f"{SETTLED}.",
    )


def deeper_layers_go_together_more(results: Results) -> Claim:
    """Rank the pairs of neighboring layers by how much their features correlate, at the end and untrained."""
    found = results["correlation"]["absolute_off_diagonal"]
    between = {f"{a} and {b}": _ends(found.sel(layer=a, layer_other=b)) for a, b in pairwise(LAYERS)}
    alike = [_ends(results["correlation"]["cka"].sel(layer=a, layer_other=b))[END] for a, b in pairwise(LAYERS)]
    return Claim(
        "Deeper layers correlate more with each other.",
        SHOWN,
        _at("|ρ|", between),
        verdict(_rising(between, END)),
        "Each pair of neighboring layers has to correlate more than the pair before it, in each run, at the end. "
        + _untrained(between)
        + f" By CKA, in which the layers as a whole are compared: {_numbers(alike)}.",
        "correlation",
    )


def copies_are_more_alike_in_deeper_layers(results: Results) -> Claim:
    """Rank the layers by how alike the augmentations of one digit are."""
    found = results["augmentation"]
    copies, others = (_mean_digit(found[f"{name}_signed"]) for name in ("copies", "others"))
    first, deepest = (_ends(found["copies_signed"].sel(layer=name))[END] for name in (LAYERS[0], LAYERS[-1]))
    return Claim(
        "Augmentations of one digit are more alike in deeper layers.",
        SHOWN,
        _at("ρ of two copies", copies),
        verdict(_rising(copies, END)),
        "Two copies have to be more alike in each layer than in the one before it, in each run, at the end, as a mean "
        f"over {found.sizes['original']} digits, the same in each run. From the first layer to the last it rises for "
        f"{int((deepest > first).sum())} of {first.size} digits and runs. "
        + _untrained(copies)
        + f" Copies of different digits at the end: {_numbers([one[END] for one in others.values()])}. What these "
        "have in common is no matter of the digit; see the next line.",
        "augmentation",
        f"at first {DIGITS}.",
    )


def training_sets_digits_apart_from_their_copies(results: Results) -> Claim:
    """Hold how alike copies of one digit are against how alike those of others are, untrained and at the end."""
    found = results["augmentation"]
    apart = _mean_digit(found["copies_signed"] - found["others_signed"])
    grown = [(one[END] > one[UNTRAINED]).values for one in apart.values()]
    deeper = _rising(apart, END)
    return Claim(
        "It is learned: training sets copies of one digit apart from those of others.",
        "not published; the control of the line above",
        _at("ρ of two copies of a digit less that of different digits", apart),
        verdict(np.concatenate(grown)),
        "The difference has to be larger at the end than untrained, in each layer and run, as a mean over "
        f"{found.sizes['original']} digits. At the end it rises from a layer to the next in {sum(deeper)} of "
        f"{len(deeper)} cases. {_untrained(apart)}",
        "augmentation",
        f"{SETTLED}, and {DIGITS}.",
    )


def invariance_rises_with_depth_and_training(results: Results) -> Claim:
    """Follow the share of the variance that is between digits, not between copies of one."""
    found = results["augmentation"]
    invariance = {name: _ends(found["invariance"].sel(layer=name)) for name in LAYERS}
    deeper = _rising(invariance, END)
    learned = [bool(more) for one in invariance.values() for more in (one[END] > one[UNTRAINED]).values]
    return Claim(
        "Invariance to augmentation rises with depth and with training.",
        SHOWN,
        _at("invariance", invariance),
        verdict([*deeper, *learned]),
        f"At the end it rises from a layer to the next in {sum(deeper)} of {len(deeper)} cases, and over the training "
        f"in {sum(learned)} of {len(learned)}; all have to. {_untrained(invariance)} Each number is a ratio over the "
        f"copies of {found.sizes['original']} digits, the same in each run.",
        "augmentation",
        f"{SETTLED}, and {DIGITS}.",
    )


def _by_seed(array: xr.DataArray, optimizer: str) -> xr.DataArray:
    """Give the runs of an optimizer, by their seed."""
    return of(array, optimizer=optimizer).swap_dims(run="seed").sortby("seed")


def _ends(array: xr.DataArray) -> Ends:
    """Give what an untrained network shows once its batch normalization has settled, and a trained one at the end."""
    untrained, trained = xr.align(
        *(last(_by_seed(array, one)).drop_vars(["run", "optimizer"]) for one in (STILL, TRAINED)), join="exact"
    )
    return {UNTRAINED: untrained, END: trained}


def _mean_digit(array: xr.DataArray) -> dict[str, Ends]:
    """Give the mean over the digits that were augmented, by layer."""
    return {name: _ends(array.sel(layer=name).mean("original")) for name in LAYERS}


def _at(what: str, found: Mapping[str, Mapping[str, xr.DataArray]]) -> list[Measured]:
    """Give what was measured of each layer at some moments."""
    return [
        Measured(f"{what}, {name}, {when}", array.values) for name, own in found.items() for when, array in own.items()
    ]


def _rising(found: Mapping[str, Ends], when: str) -> list[bool]:
    """Say of each layer but the first, and of each run, whether its value is above that of the layer before it."""
    return [bool(one) for a, b in pairwise(own[when] for own in found.values()) for one in (b > a).values]


def _untrained(found: Mapping[str, Ends]) -> str:
    """Say whether it rises with depth in the untrained network, too."""
    rising = _rising(found, UNTRAINED)
    told = "in each run, too, so that it is not learned" if all(rising) else "in none" if not any(rising) else "in part"
    return (
        f"In the untrained network it rises with depth {told}: {_numbers([one[UNTRAINED] for one in found.values()])}."
    )


def _numbers(found: Iterable[xr.DataArray]) -> str:
    return ", ".join(f"{round(middle(array), 2) + 0.0:.2f}" for array in found)
