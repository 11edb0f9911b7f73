"""Claims about the features of a perceptron with batch normalization while it learns MNIST, shown without numbers."""

from collections.abc import Mapping
from itertools import chain, pairwise

import numpy as np
import xarray as xr

from pipelines.claims import Results, increases, last, measured, middle, of, verdict
from trajlab.reports.claims import Claim, Measured

HIDDEN = ["relu1", "relu2", "relu3"]
LAYERS = [*HIDDEN, "fc4"]
"""From the first hidden layer to the logits."""

UNTRAINED, EPOCH, END = "untrained", "after one epoch", "at the end"

VARIANT = "softmax"
"""The published network, which ends in a softmax."""

TRAINED, STILL = "adam", "still"
"""Optimizers: one that trains, and one with learning rate 0, with which only batch normalization adapts."""

SHOWN = "not published; our question about published maps and curves without numbers"

SETTLED = (
    "at first the untrained network was that before the first update, whose batch normalization had seen one batch"
)
DIGITS = "the copies were of three digits"

Moments = Mapping[str, xr.DataArray]
"""Values of a network by moment (untrained, at the end), by seed."""


def features_decorrelate(results: Results) -> Claim:
    """Compare the mean |correlation| of two features of a layer at the end with that of an untrained network."""
    correlation = results["correlation"]["absolute_off_diagonal"]
    moments = {name: _with_first_epoch(correlation.sel(layer=name, layer_other=name)) for name in HIDDEN}
    falls = [(values[END] < values[UNTRAINED]).values for values in moments.values()]
    late = [f"`{name}`" for name, values in moments.items() if bool((values[END] < values[EPOCH]).all())]
    return Claim(
        "Training decorrelates the features of a layer.",
        SHOWN,
        _measured("|ρ| of two features", moments),
        verdict(np.concatenate(falls)),
        "Criterion: each hidden layer ends lower than in the untrained network, in each run. After the first epoch, "
        f"{', '.join(late) or 'none'} fell in all runs. Random features of images hardly correlate; features that "
        "learn to represent ten digits share what these have in common.",
        "correlation",
        f"{SETTLED}.",
    )


def deeper_layers_go_together_more(results: Results) -> Claim:
    """Rank the pairs of neighboring layers by the correlation of their features, at the end and untrained."""
    correlation, cka = (results["correlation"][name] for name in ("absolute_off_diagonal", "cka"))
    between = {f"{a} and {b}": _ends(correlation.sel(layer=a, layer_other=b)) for a, b in pairwise(LAYERS)}
    cka_at_end = [_ends(cka.sel(layer=a, layer_other=b))[END] for a, b in pairwise(LAYERS)]
    return Claim(
        "Deeper layers correlate more with each other.",
        SHOWN,
        _measured("|ρ|", between),
        verdict(_increases(between, END)),
        "Criterion: each pair of neighboring layers correlates more than the pair before, in each run, at the end. "
        f"{_untrained(between)} By CKA, which compares whole layers: {_numbers(cka_at_end)}.",
        "correlation",
    )


def copies_are_more_alike_in_deeper_layers(results: Results) -> Claim:
    """Rank the layers by the correlation of augmented copies of one digit."""
    augmentation = results["augmentation"]
    copies, others = (_mean_over_digits(augmentation[f"{name}_signed"]) for name in ("copies", "others"))
    first, deepest = (_ends(augmentation["copies_signed"].sel(layer=name))[END] for name in (LAYERS[0], LAYERS[-1]))
    return Claim(
        "Augmentations of one digit correlate more in deeper layers.",
        SHOWN,
        _measured("ρ of two copies", copies),
        verdict(_increases(copies, END)),
        "Criterion: two copies correlate more in each layer than in the one before, in each run, at the end, averaged "
        f"over {augmentation.sizes['original']} digits, the same in each run. From the first layer to the last it "
        f"rises for {int((deepest > first).sum())} of {first.size} digits and runs. {_untrained(copies)} Copies of "
        f"different digits at the end: {_numbers([values[END] for values in others.values()])}. What these share is "
        "not specific to a digit; see the next claim.",
        "augmentation",
        f"at first {DIGITS}.",
    )


def training_sets_digits_apart_from_their_copies(results: Results) -> Claim:
    """Compare the correlation of copies of one digit with that of copies of others, untrained and at the end."""
    augmentation = results["augmentation"]
    difference = _mean_over_digits(augmentation["copies_signed"] - augmentation["others_signed"])
    grown = [(values[END] > values[UNTRAINED]).values for values in difference.values()]
    deeper = _increases(difference, END)
    return Claim(
        "This is learned: training separates copies of one digit from those of others.",
        "not published; control of the claim above",
        _measured("ρ of two copies of a digit less that of different digits", difference),
        verdict(np.concatenate(grown)),
        "Criterion: the difference is larger at the end than untrained, in each layer and run, averaged over "
        f"{augmentation.sizes['original']} digits. At the end it rises from a layer to the next in {sum(deeper)} of "
        f"{len(deeper)} cases. {_untrained(difference)}",
        "augmentation",
        f"{SETTLED}, and {DIGITS}.",
    )


def invariance_rises_with_depth_and_training(results: Results) -> Claim:
    """Follow the share of the variance that is between digits, not between copies of one."""
    augmentation = results["augmentation"]
    invariance = {name: _ends(augmentation["invariance"].sel(layer=name)) for name in LAYERS}
    deeper = _increases(invariance, END)
    learned = [bool(rises) for values in invariance.values() for rises in (values[END] > values[UNTRAINED]).values]
    return Claim(
        "Invariance to augmentation rises with depth and with training.",
        SHOWN,
        _measured("invariance", invariance),
        verdict([*deeper, *learned]),
        f"Criterion: it rises from each layer to the next at the end ({sum(deeper)} of {len(deeper)} cases), and in "
        f"each layer with training ({sum(learned)} of {len(learned)}). {_untrained(invariance)} Each number is a ratio "
        f"over the copies of {augmentation.sizes['original']} digits, the same in each run.",
        "augmentation",
        f"{SETTLED}, and {DIGITS}.",
    )


def _by_seed(array: xr.DataArray, optimizer: str) -> xr.DataArray:
    """Return the runs of an optimizer by seed."""
    return of(array, optimizer=optimizer, variant=VARIANT).swap_dims(run="seed").sortby("seed")


def _ends(array: xr.DataArray) -> Moments:
    """Return the values of an untrained network with adapted batch normalization, and of a trained one at the end."""
    untrained, trained = xr.align(
        *(
            last(_by_seed(array, optimizer)).drop_vars(["run", "optimizer", "variant"])
            for optimizer in (STILL, TRAINED)
        ),
        join="exact",
    )
    return {UNTRAINED: untrained, END: trained}


def _with_first_epoch(array: xr.DataArray) -> Moments:
    ends = _ends(array)
    return {UNTRAINED: ends[UNTRAINED], EPOCH: _by_seed(array, TRAINED).isel(step=1), END: ends[END]}


def _mean_over_digits(array: xr.DataArray) -> dict[str, Moments]:
    """Return the mean over the augmented digits by layer."""
    return {name: _ends(array.sel(layer=name).mean("original")) for name in LAYERS}


def _measured(quantity: str, layers: Mapping[str, Moments]) -> list[Measured]:
    """Return a line for each layer and moment."""
    return list(chain.from_iterable(measured(f"{quantity}, {name}", moments) for name, moments in layers.items()))


def _increases(layers: Mapping[str, Moments], moment: str) -> list[bool]:
    return increases([moments[moment] for moments in layers.values()])


def _untrained(layers: Mapping[str, Moments]) -> str:
    """Write whether values also rise with depth in the untrained network."""
    rising = _increases(layers, UNTRAINED)
    where = (
        "in each run, so this is not learned" if all(rising) else "in no case" if not any(rising) else "in some cases"
    )
    numbers = _numbers([moments[UNTRAINED] for moments in layers.values()])
    return f"In the untrained network it rises with depth {where}: {numbers}."


def _numbers(arrays: list[xr.DataArray]) -> str:
    return ", ".join(f"{round(middle(array), 2) + 0.0:.2f}" for array in arrays)
