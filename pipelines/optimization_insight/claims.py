"""What was claimed of gradients near zero while a CNN learns CIFAR-10 with Adam in batches of 1,024."""

from itertools import pairwise

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, of, verdict
from trajlab.claims import Claim, Measured

KINDS = {"batch": "gradients of the batch", "average": "their moving average", "probe": "gradients on a fixed batch"}
TAU, TINY, RELATIVE = 1e-5, 1e-7, 0.01
RELEASED = (0.34, 0.83, 0.73)
PARTS = ("first", "middle", "last")


def released_share_rises_then_falls(results: Results) -> Claim:
    """Follow the share of near-zero entries that have left one step later, over three parts of the training."""
    found = results["zero_gradients"]
    released, near = found["total_fraction_released"], found["total_fraction_near_zero"]
    shown = _parts(of(released.sel(tau=TAU), variant="batch"))
    published = xr.DataArray(list(RELEASED), {"part": list(PARTS)})
    independent = 1 - _parts(of(near.sel(tau=TAU), variant="batch"))
    holds = [shown.sel(part="middle") > shown.sel(part="first"), shown.sel(part="last") < shown.sel(part="middle")]
    error = of(found["total_fraction_released_se"].sel(tau=TAU), variant="batch").mean("step")
    return Claim(
        "The share of near-zero entries that are released rises early in training and falls a little late.",
        "0.34, 0.83, then 0.73",
        [
            *_rows(f"left |g| ≤ {TAU:g} one step later, batch", shown),
            Measured("sampling error of the share, mean over the steps", error.values, "share"),
        ],
        verdict(np.concatenate([*holds, (abs(shown - published) < 0.1).values.ravel()])),
        "Asked are the rise, the fall, and a share within 0.1 of the published one in each third, in every run. "
        f"{_by_kind(released)} Entries that knew nothing of the step before would leave as often as others are large: "
        f"{_course(independent)}. What stays is mostly exactly zero: "
        f"{_course(_parts(_exactly_zero(of(found, variant='batch'))))} of the near-zero entries of the batches, as "
        "units that no image reaches have no gradient. Hence the share follows how many small entries there are beside "
        f"the zeros, and an absolute threshold makes more of these as gradients shrink: {_sizes(results)}.",
        "zero_gradients",
    )


def retained_entries_flip_like_a_coin(results: Results) -> Claim:
    """Hold the flip rate of entries that stay near zero against a fair coin."""
    flips = results["sign_flips"]
    retained = flips["total_flip_rate_retained"]
    rates = {kind: of(retained.sel(tau=TAU), variant=kind).mean("step") for kind in KINDS}
    whole = {kind: of(flips["total_flip_rate"], variant=kind).mean("step") for kind in KINDS}
    process = {kind: of(flips["total_flip_rate_ar1"], variant=kind).mean("step") for kind in KINDS}
    error = of(flips["total_flip_rate_retained_se"].sel(tau=TAU), variant="batch").mean("step")
    change = of(results["zero_gradients"]["total_weight_change"].sel(tau=TAU), variant="batch").mean("step")
    moved = change.sel(among="retained") / change.sel(among="all")
    return Claim(
        "Entries that stay near zero flip their sign like a coin.",
        "0.48 of the retained entries flip",
        [
            *(Measured(f"flips of retained entries, {KINDS[kind]}", rate.values, "share")
              for kind, rate in rates.items()),
            Measured("sampling error at a step, batch", error.values, "share"),
            *(Measured(f"flips of all entries, {KINDS[kind]}", rate.values, "share") for kind, rate in whole.items()),
            *(Measured(f"flips of an AR(1) process as correlated, {KINDS[kind]}", rate.values, "share")
              for kind, rate in process.items()),
            Measured("change of the weights of retained entries against that of all, batch", moved.values, "share"),
        ],
        verdict(abs(np.concatenate([rate.values for rate in rates.values()]) - 0.5) < 0.05),
        f"Within 0.05 of 0.5 counts as a coin; all are means over the steps at |g| ≤ {TAU:g}. With |g| ≤ {TINY:g} the "
        f"three rates are {_listed(retained.sel(tau=TINY).mean('step'))}, below a hundredth of the layer's root mean "
        f"square {_listed(retained.sel(tau=RELATIVE).mean('step'))}. A coin is what the choice of entries gives by "
        "itself: the joint density of two successive gradients is flat in a window that is small against what is new "
        "in a step, so that all four signs are equally likely there, whatever the correlation outside. A moving "
        "average changes by a tenth of that at each step, often less than the window, and keeps its sign.",
        "sign_flips",
    )  # fmt: skip


def near_zero_counts_collapse_late(results: Results) -> Claim:
    """Compare the number of near-zero entries late in training with the most there were before."""
    near = results["zero_gradients"]["total_fraction_near_zero"]
    shown = {kind: _parts(of(near.sel(tau=TAU), variant=kind)) for kind in KINDS}
    holds = [part.sel(part="last") < 0.5 * part.sel(part=["first", "middle"]).max("part") for part in shown.values()]
    return Claim(
        "Late in training hardly any gradient entry is near zero.",
        "the counts collapse",
        [row for kind, part in shown.items() for row in _rows(f"|g| ≤ {TAU:g}, {KINDS[kind]}", part)],
        verdict(np.concatenate(holds)),
        "Fewer in the last third than half of the most before count as a collapse. With the batch, "
        f"|g| ≤ {TINY:g} have {_course(_parts(of(near.sel(tau=TINY), variant='batch')))}, and below a hundredth of "
        f"the layer's root mean square are {_course(_parts(of(near.sel(tau=RELATIVE), variant='batch')))}. "
        f"The gradients as a whole shrink as the network fits the images: {_sizes(results)}; that moves entries below "
        "an absolute threshold, while their share below a relative one tells of the shape of the distribution.",
        "zero_gradients",
    )


def _parts(array: xr.DataArray) -> xr.DataArray:
    """Give the means over the first, middle and last third of the steps."""
    bounds = np.linspace(0, array.sizes["step"], len(PARTS) + 1).round().astype(int)
    means = [array.isel(step=slice(*bound)).mean("step") for bound in pairwise(bounds)]
    return xr.concat(means, xr.Variable("part", list(PARTS)))


def _rows(what: str, parts: xr.DataArray) -> list[Measured]:
    return [Measured(f"{what}, {name} third", parts.sel(part=name).values, "share") for name in PARTS]


def _course(parts: xr.DataArray) -> str:
    """Write the medians over the runs of the three parts."""
    return " → ".join(f"{middle(parts.sel(part=name)):.2g}" for name in PARTS)


def _by_kind(array: xr.DataArray) -> str:
    """Write how a share goes with each kind of gradients, and with a relative threshold."""
    others = [
        f"{words} {_course(_parts(of(array.sel(tau=TAU), variant=kind)))}"
        for kind, words in KINDS.items()
        if kind != "batch"
    ]
    relative = _course(_parts(of(array.sel(tau=RELATIVE), variant="batch")))
    return (
        f"It depends on what is looked at: {', '.join(others)}; gradients of the batch below a hundredth of the "
        f"layer's root mean square {relative}."
    )


def _listed(rates: xr.DataArray) -> str:
    """Write the medians over the runs of each kind of gradients."""
    known = {kind: of(rates, variant=kind).dropna("run") for kind in KINDS}
    return ", ".join(
        f"{f'{middle(of_kind):.2g}' if of_kind.size else 'unknown'} ({kind})" for kind, of_kind in known.items()
    )


def _exactly_zero(found: xr.Dataset) -> xr.DataArray:
    """Give the share of the near-zero entries that are zero."""
    counts = found["total_transitions"].sel(tau=TAU).sum("state_prev")
    return counts.sel(state_next="zero") / counts.sel(state_next=["zero", "small"]).sum("state_next")


def _sizes(results: Results) -> str:
    """Write how large the gradients of the batch are, and how well the network fits the images by then."""
    sizes = _parts(of(results["gradient_statistics"]["total_rms"], variant="batch"))
    accuracy = middle(last(results["evaluation"]["accuracy"]))
    return f"root mean square {_course(sizes)}, accuracy on the test images {accuracy:.0%} at the end"
