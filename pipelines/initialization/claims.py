"""Claims about seven initializations of a small CNN, trained with Adam on CIFAR-10."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, measured, middle, of, updates, verdict
from trajlab.reports.claims import Claim, Measured

RANDOM = ["kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal"]
UNIFORM = ["kaiming_uniform", "xavier_uniform"]
KINDS = {
    "orthogonal": ["orthogonal"],
    "Kaiming": ["kaiming_normal", "kaiming_uniform"],
    "Xavier": ["xavier_normal", "xavier_uniform"],
}
"""Ranked inits, in the published order."""

VARIANT, OTHER = "published", "gain1"
"""Variants: gain √2 of orthogonal and Xavier starts, as published, and gain 1."""

PUBLISHED = [f"{a} is ahead of {b}." for a, b in combinations(KINDS, 2)]


SPREAD = (
    "The published starts of `xavier_uniform` have gain √2 in the source's code, but the spread of gain 1 in its "
    "figures (standard deviation 0.11 in the first convolution, where √2 gives 0.15)."
)


def means_stay_near_zero(results: Results) -> Claim:
    """Compare the mean of each weight tensor with its standard deviation, at all steps."""
    weights = _weights(results)
    ratios = of(abs(weights["mean"]) / weights["std"], init=RANDOM)
    largest = ratios.max(["step", "parameter"])
    by_parameter = ratios.max(["step", "run"])
    farthest = by_parameter["parameter"].values[by_parameter.values.argmax()]
    return Claim(
        "The means of the weights stay near 0.",
        "means near 0 before, during and after training",
        [Measured("largest |mean| / std of any weight tensor at any step, random starts", largest.values)],
        verdict(largest < 0.1),
        "Criterion: below a tenth of the standard deviation."
        + ("" if bool((largest < 0.1).all()) else f" `{farthest}` is farthest from 0."),
        "distribution",
    )


def spreads_grow(results: Results) -> Claim:
    """Compare the standard deviation of each weight tensor with the one at the start."""
    std = of(_weights(results)["std"], init=RANDOM)
    growth = last(std) / std.isel(step=0)
    grown = (growth > 1).all("parameter")
    least = growth["parameter"].values[growth.min("run").values.argmin()]
    return Claim(
        "The standard deviations of the weights grow in all layers.",
        "grow in every layer",
        [
            Measured("layers whose standard deviation grew", (growth > 1).mean("parameter").values, "share"),
            Measured("growth in the layer that grew least", growth.min("parameter").values - 1, "share"),
            Measured("growth in the layer that grew most", growth.max("parameter").values - 1, "share"),
        ],
        verdict(grown),
        f"`{least}` grew least." if grown.all() else f"`{least}` grew least or shrank. {updates(results)}",
        "distribution",
    )


def uniform_becomes_gaussian(results: Results) -> Claim:
    """Follow the excess kurtosis of weights that start uniform: −1.2 then, 0 for a Gaussian."""
    kurtosis = of(_weights(results)["excess_kurtosis"], init=UNIFORM)
    start, end = kurtosis.isel(step=0), last(kurtosis)
    reached = abs(end) < 0.3
    names = end["parameter"].values
    nearest = names[abs(end).median("run").values.argmin()]
    monotonic = (abs(kurtosis).diff("step") < 0).all(["step", "run"]).values
    return Claim(
        "Weights that start uniform become Gaussian.",
        "excess kurtosis from −1.2 to 0",
        [
            Measured("excess kurtosis at the start, median of the weight tensors", start.median("parameter").values),
            *measured("excess kurtosis at the end", {f"`{name}`": end.sel(parameter=name) for name in names}),
            Measured("tensors that end within 0.3 of 0", reached.mean("parameter").values, "share"),
        ],
        verdict(reached.values.ravel()),
        f"Criterion: within 0.3 of 0 at the end. `{nearest}` came nearest. Nearer to 0 at each snapshot of each run: "
        f"{_listed(names[monotonic])}. {updates(results)} Published are 50 epochs of 50,000 "
        f"images, 39,100 updates. {SPREAD}",
        "distribution",
    )


def feature_spread_grows(results: Results) -> Claim:
    """Compare the standard deviation of the features with the start, and with that of the layer before."""
    std = of(results["features"]["std"], init=RANDOM, variant=VARIANT)
    grown = last(std) > std.isel(step=0)
    deeper = last(std).diff("layer") > 0
    return Claim(
        "The standard deviation of the features grows with training and with depth.",
        "grows with both, for training, validation and random images",
        [
            *measured("layers whose standard deviation grew with training", _by_input(grown), "share"),
            *measured("layers of larger standard deviation than the one before", _by_input(deeper), "share"),
        ],
        verdict([*grown.values.ravel(), *deeper.values.ravel()]),
        "Criterion: it grows in each layer of each run. Features are the outputs of the ReLUs.",
        "features",
    )


def orthogonal_learns_fastest(results: Results) -> Claim:
    """Rank the inits by the training loss, averaged over all updates."""
    evaluation = of(results["evaluation"], variant=VARIANT)
    mean, early = last(evaluation["running_loss"]), evaluation["running_loss"].isel(step=1)
    rankings, early_rankings = (
        [_ranking(a, values[a], b, values[b]) for a, b in combinations(values, 2)]
        for values in (_by_kind(mean), _by_kind(early))
    )
    early_updates = f"{int(early['step']):,}"
    separated = sum("overlap" not in ranking for ranking in early_rankings)
    end = _by_kind(last(evaluation["loss"]))
    return Claim(
        "Orthogonal weights learn fastest, then Kaiming's, then Xavier's.",
        "orthogonal, Kaiming, Xavier",
        [
            *measured("training loss, mean over all updates", _by_kind(mean)),
            *measured(f"training loss, mean over the first {early_updates}", _by_kind(early)),
            *measured("loss on the probe at the end", end),
        ],
        verdict(ranking in PUBLISHED for ranking in rankings),
        "Criterion: of each two inits, all runs of the one are ahead of all runs of the other. "
        + " ".join(rankings)
        + f" Over the first {early_updates} updates {separated} of {len(early_rankings)} pairs are separated. By the "
        f"loss on new images at the end the order is {', '.join(sorted(end, key=lambda name: middle(end[name])))}. "
        + updates(results),
        "evaluation",
        "at first the ranking was by the mean loss on the probe over the snapshots, with that before training, and "
        "orthogonal was not compared with Xavier.",
    )


def gain_decides_the_order(results: Results) -> Claim:
    """Compare the mean training loss of starts with gain √2 and gain 1, and with Kaiming's."""
    loss = last(results["evaluation"]["running_loss"])
    kaiming = of(loss, init=KINDS["Kaiming"], variant=VARIANT)
    gained = {name: inits for name, inits in KINDS.items() if name != "Kaiming"}
    of_gain = {
        variant: {name: of(loss, init=inits, variant=variant) for name, inits in gained.items()}
        for variant in (VARIANT, OTHER)
    }
    cases = [
        of_gain[OTHER][name].sortby(["init", "seed"]).values > of_gain[VARIANT][name].sortby(["init", "seed"]).values
        for name in gained
    ]
    behind = {gain: middle(of_gain[gain]["orthogonal"]) > middle(kaiming) for gain in of_gain}
    return Claim(
        "The gain of the start decides how fast orthogonal and Xavier starts learn.",
        "not published; our question",
        [
            *measured("training loss, mean over all updates, gain √2", of_gain[VARIANT]),
            *measured("training loss, mean over all updates, gain 1", of_gain[OTHER]),
            Measured("training loss, mean over all updates, Kaiming", kaiming.values),
        ],
        verdict(np.concatenate(cases)),
        "Criterion: of each init and seed the run with gain 1 has the larger loss. By the median, orthogonal starts "
        f"are {_behind(behind[VARIANT])} Kaiming's with gain √2, and {_behind(behind[OTHER])} with gain 1. Kaiming's "
        "variance, 2 / fan-in, has the factor √2 in it: with gain 1 the others start smaller than Kaiming's, and "
        "Adam's updates have one size whatever the start.",
        "evaluation",
    )


def zeros_never_learn(results: Results) -> Claim:
    """Compare the loss of the run that starts at zero with the loss of a guess, ln 10."""
    loss = of(results["evaluation"]["loss"], init="zeros", variant=VARIANT)
    deviation = abs(loss - np.log(10)).max("step")
    return Claim(
        "A network that starts at zero never leaves the loss of a guess.",
        "ln 10 = 2.303 at every step",
        [
            Measured("loss on the probe at the end", last(loss).values),
            Measured("largest deviation from ln 10 at any step", deviation.values),
        ],
        verdict(deviation < 0.01),
        "Criterion: within 0.01 of ln 10. Only the bias of the last layer gets a gradient, and learns the class "
        "frequencies.",
        "evaluation",
    )


def _weights(results: Results) -> xr.Dataset:
    """Return the distribution of the weights without that of the biases, which start at zero."""
    distribution = of(results["distribution"], variant=VARIANT)
    names = [name for name in distribution["parameter"].values if name.endswith("weight")]
    return distribution.sel(parameter=names)


def _by_kind(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the runs of each ranked init."""
    return {name: of(array, init=inits) for name, inits in KINDS.items()}


def _ranking(a: str, of_a: xr.DataArray, b: str, of_b: xr.DataArray) -> str:
    """Write which of two inits is ahead in all runs, or that they overlap."""
    if bool(of_a.max() < of_b.min()):
        return f"{a} is ahead of {b}."
    return f"{b} is ahead of {a}." if bool(of_b.max() < of_a.min()) else f"The runs of {a} and {b} overlap."


def _behind(is_behind: bool) -> str:
    return "behind" if is_behind else "ahead of"


def _by_input(layers: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the share of layers for each kind of input."""
    return {f"{kind} inputs": layers.sel(input=kind).mean("layer") for kind in layers["input"].values}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
