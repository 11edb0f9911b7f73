"""What was claimed of seven ways to start a small CNN, trained with Adam on CIFAR-10."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, of, updates, verdict
from trajlab.reports.claims import Claim, Measured

RANDOM = ["kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal"]
UNIFORM = ["kaiming_uniform", "xavier_uniform"]
KINDS = {
    "orthogonal": ["orthogonal"],
    "Kaiming": ["kaiming_normal", "kaiming_uniform"],
    "Xavier": ["xavier_normal", "xavier_uniform"],
}
"""The starts that are ranked, in the published order."""

PUBLISHED = [f"{a} is ahead of {b}." for a, b in combinations(KINDS, 2)]

LARGER = (
    "Likely because updates of Adam are of one size whatever the start, and Kaiming's larger weights pass what they "
    "change on amplified."
)


def means_stay_near_zero(results: Results) -> Claim:
    """Hold the mean of each weight against its spread, at all steps; near is a tenth of the standard deviation."""
    found = _weights(results)
    ratio = of(abs(found["mean"]) / found["std"], init=RANDOM).max(["step", "parameter"])
    return Claim(
        "The means of the weights stay near 0.",
        "means near 0 before, during and after training",
        [Measured("largest |mean| / std of any weight tensor at any step, random starts", ratio.values)],
        verdict(ratio < 0.1),
        "A tenth of the standard deviation counts as near 0."
        + ("" if bool((ratio < 0.1).all()) else " " + _where(found)),
        "distribution",
    )


def spreads_grow(results: Results) -> Claim:
    """Compare the standard deviation of each weight with the one at the start."""
    std = of(_weights(results)["std"], init=RANDOM)
    growth = last(std) / std.isel(step=0)
    grown = (growth > 1).all("parameter")
    least = growth["parameter"].values[growth.min("run").values.argmin()]
    return Claim(
        "The standard deviations grow in all layers.",
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
    """Follow the excess kurtosis of weights that start uniform: -1.2 there, 0 for a Gaussian."""
    kurtosis = of(_weights(results)["excess_kurtosis"], init=UNIFORM)
    first, final = kurtosis.isel(step=0), last(kurtosis)
    reached = abs(final) < 0.3
    names = final["parameter"].values
    nearest = names[abs(final).median("run").values.argmin()]
    nearing = (abs(kurtosis).diff("step") < 0).all(["step", "run"]).values
    return Claim(
        "Weights that start uniform become Gaussian.",
        "excess kurtosis from −1.2 to 0",
        [
            Measured("excess kurtosis at the start, median of the weight tensors", first.median("parameter").values),
            *(Measured(f"excess kurtosis at the end, `{name}`", final.sel(parameter=name).values) for name in names),
            Measured("tensors that end within 0.3 of 0", reached.mean("parameter").values, "share"),
        ],
        verdict(reached.values.ravel()),
        f"`{nearest}` came nearest. On the way, nearer to 0 at each snapshot of each run: {_listed(names[nearing])}. "
        f"{updates(results)} 20 epochs of all 50,000 images are 15,620.",
        "distribution",
    )


def feature_spread_grows(results: Results) -> Claim:
    """Compare the spread of the features at the end with the start, and of each layer with the one before."""
    std = of(results["features"]["std"], init=RANDOM)
    grown = last(std) > std.isel(step=0)
    deeper = last(std).diff("layer") > 0
    return Claim(
        "The spread of the features grows with training and with depth.",
        "grows with both, for training, validation and random images",
        [
            *(
                Measured(f"layers whose spread grew with training, {kind} inputs", share.values, "share")
                for kind, share in _by_input(grown)
            ),
            *(
                Measured(f"layers of more spread than the one before, {kind} inputs", share.values, "share")
                for kind, share in _by_input(deeper)
            ),
        ],
        verdict([*grown.values.ravel(), *deeper.values.ravel()]),
        "It holds where it does in each layer of each run. Features are what the ReLUs give.",
        "features",
    )


def orthogonal_learns_fastest(results: Results) -> Claim:
    """Rank the starts by the loss while training, as a mean over all updates: less is faster."""
    found = results["evaluation"]
    mean, early = last(found["running_loss"]), found["running_loss"].isel(step=1)
    told, soon = ([_told(*pair) for pair in _pairs(_by_kind(array))] for array in (mean, early))
    rows = {
        "loss while training, mean over all updates": mean,
        f"the same over the first {int(early['step']):,}": early,
        "loss on the probe at the end": last(found["loss"]),
    }
    return Claim(
        "Orthogonal weights learn fastest, then Kaiming's, then Xavier's.",
        "orthogonal, Kaiming, Xavier",
        [
            Measured(f"{what}, {name}", values.values)
            for what, array in rows.items()
            for name, values in _by_kind(array).items()
        ],
        verdict(one in PUBLISHED for one in told),
        "Of each two of them, all runs of the one have to be ahead of all runs of the other. "
        + " ".join(told)
        + (f" {LARGER}" if "Kaiming is ahead of orthogonal." in told else "")
        + f" Over the first {int(early['step']):,} updates {sum('overlap' not in one for one in soon)} of {len(soon)} "
        f"pairs are apart. By the loss on new images at the end the order is {', '.join(_order(last(found['loss'])))}. "
        + updates(results),
        "evaluation",
        "at first the mean of the loss on the probe over the snapshots was ranked, with that before training, and "
        "orthogonal was not held against Xavier.",
    )


def zeros_never_learn(results: Results) -> Claim:
    """Compare the loss of the run that starts at zero with the loss of a guess, ln 10."""
    loss = of(results["evaluation"]["loss"], init="zeros")
    away = abs(loss - np.log(10)).max("step")
    return Claim(
        "A network that starts at zero never leaves the loss of a guess.",
        "ln 10 = 2.303 at every step",
        [
            Measured("loss on the probe at the end", last(loss).values),
            Measured("farthest from ln 10 at any step", away.values),
        ],
        verdict(away < 0.01),
        "Only the bias of the last layer gets a gradient, which learns how often each class occurs.",
        "evaluation",
    )


def _weights(results: Results) -> xr.Dataset:
    """Choose the weights among the parameters; biases start at zero."""
    found = results["distribution"]
    return found.sel(parameter=[name for name in found["parameter"].values if name.endswith("weight")])


def _by_kind(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Give the runs of each kind of start that is ranked."""
    return {name: of(array, init=inits) for name, inits in KINDS.items()}


def _order(array: xr.DataArray) -> list[str]:
    """Rank the kinds of start by their median, the least first."""
    found = _by_kind(array)
    return sorted(found, key=lambda name: middle(found[name]))


def _pairs(found: dict[str, xr.DataArray]) -> list[tuple[str, xr.DataArray, str, xr.DataArray]]:
    """Give each two of them, first the one that was published to be ahead."""
    return [(a, found[a], b, found[b]) for a, b in combinations(found, 2)]


def _told(a: str, first: xr.DataArray, b: str, second: xr.DataArray) -> str:
    """Say which of two is ahead in all runs, or that they overlap."""
    if bool(first.max() < second.min()):
        return f"{a} is ahead of {b}."
    return f"{b} is ahead of {a}." if bool(second.max() < first.min()) else f"The runs of {a} and {b} overlap."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _by_input(each: xr.DataArray) -> list[tuple[str, xr.DataArray]]:
    """Give the share of layers for each kind of inputs."""
    return [(str(kind), each.sel(input=kind).mean("layer")) for kind in each["input"].values]


def _where(found: xr.Dataset) -> str:
    ratio = of(abs(found["mean"]) / found["std"], init=RANDOM).max(["step", "run"])
    return f"`{ratio['parameter'].values[ratio.values.argmax()]}` is farthest from it."
