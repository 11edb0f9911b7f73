"""What was claimed of gradients near zero while a CNN learns CIFAR-10 with Adam in batches of 1,024."""

from itertools import pairwise

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, of, verdict
from trajlab.reports.claims import Claim, Measured
from trajlab.statistics.wording import share

KINDS = {"batch": "batch", "average": "moving average", "probe": "fixed batch"}
TAU, TINY, RELATIVE = 1e-5, 1e-7, 0.01
NEAR, NEARER, BELOW = "|g| ≤ 10⁻⁵", "|g| ≤ 10⁻⁷", "|g| below 1 % of the layer's root mean square"
RELEASED = (0.34, 0.83, 0.73)
PARTS = ("first", "middle", "last")
NEARBY = 0.1
"""Shares that differ by less count as the same."""

THIRDS = "The three published numbers are taken for means over thirds of the training, which they are not said to be."

REVISED = (
    "at first the rise, the fall and how close the shares are were one verdict, which one close share made partly."
)


def released_share_rises_then_falls(results: Results) -> Claim:
    """Follow the share of near-zero entries that have left one step later, over three parts of the training."""
    found = results["zero_gradients"]
    batch = of(found, variant="batch")
    released = {kind: _parts(of(found["total_fraction_released"].sel(tau=TAU), variant=kind)) for kind in KINDS}
    shown, relative = released["batch"], _parts(batch["total_fraction_released"].sel(tau=RELATIVE))
    independent = 1 - _parts(batch["total_fraction_near_zero"].sel(tau=TAU))
    holds = [shown.sel(part="middle") > shown.sel(part="first"), shown.sel(part="last") < shown.sel(part="middle")]
    error = batch["total_fraction_released_se"].sel(tau=TAU).mean("step")
    return Claim(
        "The share of near-zero entries that are released rises early in training and falls a little late.",
        "0.34, 0.83, then 0.73",
        [
            *(Measured(f"released, {name} third", shown.sel(part=name).values, "share") for name in PARTS),
            Measured("sampling error of the share at a step", error.values, "share"),
        ],
        verdict(np.concatenate(holds)),
        f"Gradients of batches of {_batch(batch)} images, {NEAR}. Asked are the rise from the first third of the steps "
        f"to the middle one, and the fall from there to the last, in every run. {THIRDS} It depends on what is looked "
        f"at: moving average {_course(released['average'])}, fixed batch {_course(released['probe'])}; {BELOW} "
        f"{_course(relative)}. Entries that knew nothing of the step before would leave as often as any is large: "
        f"{_course(independent)}. Of the near-zero entries {_course(_parts(_exactly_zero(batch)))} are zero to the "
        "bit, as units that no image reaches have no gradient, and these stay. So the share follows how many small "
        "entries there are beside the zeros, and an absolute threshold takes in more as gradients shrink: "
        f"{_sizes(results)}.",
        "zero_gradients",
        REVISED,
    )


def released_share_is_the_published_one(results: Results) -> Claim:
    """Hold the share of near-zero entries that have left one step later against the published numbers."""
    batch = of(results["zero_gradients"], variant="batch")
    shown = _parts(batch["total_fraction_released"].sel(tau=TAU))
    off = shown - xr.DataArray(list(RELEASED), {"part": list(PARTS)})
    return Claim(
        "Of the near-zero entries a third is released early in training, four of five then, three of four late.",
        "0.34, 0.83, then 0.73",
        [Measured(f"released less the published share, {name} third", off.sel(part=name).values) for name in PARTS],
        verdict((abs(off) < NEARBY).values.ravel()),
        f"Within {NEARBY} counts as the same, in every run. {THIRDS} A share that is close in one third only may be so "
        "by chance: whether it rises and falls is asked in the line above. Gradients here are of batches of "
        f"{_batch(batch)} images.",
        "zero_gradients",
        REVISED,
    )


def retained_entries_flip_like_a_coin(results: Results) -> Claim:
    """Hold the flip rate of entries that stay near zero against a fair coin."""
    flips = results["sign_flips"]
    retained = flips["total_flip_rate_retained"].mean("step")
    error = of(flips["total_flip_rate_retained_se"].sel(tau=TAU), variant="batch").mean("step")
    change = of(results["zero_gradients"]["total_weight_change"].sel(tau=TAU), variant="batch").mean("step")
    moved = change.sel(among="retained") / change.sel(among="all")
    rates = {
        "retained entries": retained.sel(tau=TAU),
        "all entries": flips["total_flip_rate"].mean("step"),
        "an AR(1) process as correlated": flips["total_flip_rate_ar1"].mean("step"),
    }
    return Claim(
        "Entries that stay near zero flip their sign like a coin.",
        "0.48 of the retained entries flip",
        [
            *(Measured(f"retained entries, {words}", of(rates["retained entries"], variant=kind).values, "share")
              for kind, words in KINDS.items()),
            Measured("sampling error at a step, batch", error.values, "share"),
            *(Measured(f"{words}, batch", of(rates[words], variant="batch").values, "share")
              for words in list(rates)[1:]),
            Measured("change of a retained entry's weight / of any, batch", moved.values),
        ],
        verdict((abs(rates["retained entries"] - 0.5) < 0.05).values),
        f"Means over the steps, {NEAR}; within 0.05 of 0.5 counts as a coin. It depends on what is looked at: of all "
        f"entries {_listed(rates['all entries'])} flip, of an AR(1) process as correlated "
        f"{_listed(rates['an AR(1) process as correlated'])}. {NEARER}: {_listed(retained.sel(tau=TINY))}; {BELOW}: "
        f"{_listed(retained.sel(tau=RELATIVE))}. Where a step changes a gradient by much more than the threshold, a "
        "coin is what the choice of entries gives by itself: the joint density of two successive gradients is flat in "
        "so small a window, and all four pairs of signs are equally likely, whatever the correlation outside. The "
        "moving average and the gradient on a fixed batch change by less in a step, and keep their sign.",
        "sign_flips",
    )  # fmt: skip


def near_zero_counts_collapse_late(results: Results) -> Claim:
    """Compare the number of near-zero entries late in training with the most there were before."""
    near = results["zero_gradients"]["total_fraction_near_zero"]
    parts = {kind: _parts(of(near.sel(tau=TAU), variant=kind)) for kind in KINDS}
    before = {kind: shown.sel(part=["first", "middle"]).max("part") for kind, shown in parts.items()}
    late = {kind: shown.sel(part="last") for kind, shown in parts.items()}
    return Claim(
        "Late in training hardly any gradient entry is near zero.",
        "the counts collapse",
        [
            row
            for kind, words in KINDS.items()
            for row in (
                Measured(f"most in a third before, {words}", before[kind].values, "share"),
                Measured(f"last third, {words}", late[kind].values, "share"),
            )
        ],
        verdict(np.concatenate([late[kind] < 0.5 * before[kind] for kind in KINDS])),
        f"{NEAR}; fewer in the last third of the steps than half of those before count as a collapse. Gradients of "
        f"batches of {_batch(near)} images go {_course(parts['batch'])}, with {NEARER} "
        f"{_course(_parts(of(near.sel(tau=TINY), variant='batch')))}, {BELOW} "
        f"{_course(_parts(of(near.sel(tau=RELATIVE), variant='batch')))}. As the network fits the images its gradients "
        f"shrink: {_sizes(results)}. That moves entries below an absolute threshold. A relative threshold shrinks with "
        "them, and tells whether the shape of the distribution changes.",
        "zero_gradients",
    )


def _parts(array: xr.DataArray) -> xr.DataArray:
    """Give the means over the first, middle and last third of the steps."""
    bounds = np.linspace(0, array.sizes["step"], len(PARTS) + 1).round().astype(int)
    means = [array.isel(step=slice(*bound)).mean("step") for bound in pairwise(bounds)]
    return xr.concat(means, xr.Variable("part", list(PARTS)))


def _course(parts: xr.DataArray) -> str:
    """Write the medians over the runs of the three parts."""
    return " → ".join(f"{middle(parts.sel(part=name)):.2g}" for name in PARTS)


def _listed(rates: xr.DataArray) -> str:
    """Write the medians over the runs of each kind of gradients."""
    known = {kind: of(rates, variant=kind).dropna("run") for kind in KINDS}
    return ", ".join(
        f"{f'{middle(of_kind):.2g}' if of_kind.size else 'unknown'} ({KINDS[kind]})" for kind, of_kind in known.items()
    )


def _batch(found: xr.Dataset | xr.DataArray) -> str:
    """Write the size of the batches."""
    return " or ".join(f"{size:,}" for size in np.unique(found["batch_size"].values))


def _exactly_zero(found: xr.Dataset) -> xr.DataArray:
    """Give the share of the near-zero entries that are zero."""
    counts = found["total_transitions"].sel(tau=TAU).sum("state_prev")
    return counts.sel(state_next="zero") / counts.sel(state_next=["zero", "small"]).sum("state_next")


def _sizes(results: Results) -> str:
    """Write how large the gradients of the batch are, and how well the network fits the images by then."""
    sizes = _parts(of(results["gradient_statistics"]["total_rms"], variant="batch"))
    accuracy = middle(last(results["evaluation"]["train_accuracy"]))
    return f"root mean square {_course(sizes)}, with {share(accuracy)} of the training images right at the end"
