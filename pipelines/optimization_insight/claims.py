"""Claims about gradients near zero while a CNN learns CIFAR-10 with Adam in batches of 1,024."""

from itertools import pairwise

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, measured, middle, of, verdict
from trajlab.reports.claims import Claim, Measured
from trajlab.statistics.wording import share

RAW, RAW_AVERAGE = "published", "published_average"
"""Variants that record what the source does."""

ALIGNED, AVERAGE = "batch", "average"
"""The same with the weights at which the gradient was taken, and with averages that are corrected for their start."""

KINDS = {RAW: "batch", AVERAGE: "moving average", "probe": "fixed batch"}
"""Kinds of recorded gradients, by variant."""

TAU, TINY, RELATIVE = 1e-5, 1e-7, 0.01
NEAR, NEARER, BELOW = "|g| ≤ 10⁻⁵", "|g| ≤ 10⁻⁷", "|g| below 1 % of the layer's root mean square"
RELEASED = (0.34, 0.83, 0.73)
PARTS = ("first", "middle", "last")
SAME = 0.1
"""Shares that differ by less count as equal."""

THIRDS = "The three published numbers are taken as means over thirds of training, which the publication does not say."

REVISED = (
    "at first the rise, the fall and the closeness to the published shares were one verdict, which a single close "
    "share made partly true."
)


def released_share_rises_then_falls(results: Results) -> Claim:
    """Compare the share of near-zero entries released at the next step between three thirds of training."""
    batch = of(results["zero_gradients"], variant=RAW)
    by_kind = {
        kind: _parts(of(results["zero_gradients"]["total_fraction_released"].sel(tau=TAU), variant=kind))
        for kind in KINDS
    }
    released, relative = by_kind[RAW], _parts(batch["total_fraction_released"].sel(tau=RELATIVE))
    independent = 1 - _parts(batch["total_fraction_near_zero"].sel(tau=TAU))
    cases = [
        released.sel(part="middle") > released.sel(part="first"),
        released.sel(part="last") < released.sel(part="middle"),
    ]
    error = batch["total_fraction_released_se"].sel(tau=TAU).mean("step")
    return Claim(
        "The share of near-zero entries that are released rises early in training and falls a little late.",
        "0.34, 0.83, then 0.73",
        [
            *(Measured(f"released, {name} third", released.sel(part=name).values, "share") for name in PARTS),
            Measured("sampling error of the share at a step", error.values, "share"),
        ],
        verdict(np.concatenate(cases)),
        f"Gradients of batches of {_batch_size(batch)} images, {NEAR}. Criterion: the share rises from the first to "
        f"the middle third of the steps and falls to the last, in every run. {THIRDS} The course depends on the "
        f"recorded gradient (moving average {_course(by_kind[AVERAGE])}, fixed batch {_course(by_kind['probe'])}) "
        f"and on the threshold ({BELOW}: {_course(relative)}). Entries independent of the step before would be "
        f"released at the share of large entries: {_course(independent)}. Of the near-zero entries "
        f"{_course(_parts(_exact_zeros(batch)))} are exactly zero, because no image reaches their unit, and stay so. "
        "The share therefore follows the number of small nonzero entries, and an absolute threshold includes more as "
        f"gradients shrink: {_sizes(results)}.",
        "zero_gradients",
        REVISED,
    )


def released_share_is_the_published_one(results: Results) -> Claim:
    """Compare the share of near-zero entries released at the next step with the published numbers."""
    batch = of(results["zero_gradients"], variant=RAW)
    released = _parts(batch["total_fraction_released"].sel(tau=TAU))
    difference = released - xr.DataArray(list(RELEASED), {"part": list(PARTS)})
    return Claim(
        "Of the near-zero entries a third is released early in training, then four of five, and three of four late.",
        "0.34, 0.83, then 0.73",
        [Measured(f"released less the published share, {name} third", difference.sel(part=name).values)
         for name in PARTS],
        verdict((abs(difference) < SAME).values.ravel()),
        f"Criterion: within {SAME} of the published share, in every run. {THIRDS} A share that agrees in one third "
        "only may do so by chance; the claim above is about the rise and the fall. Gradients here are of batches of "
        f"{_batch_size(batch)} images.",
        "zero_gradients",
        REVISED,
    )  # fmt: skip


def retained_entries_flip_like_a_coin(results: Results) -> Claim:
    """Compare the flip rate of entries that stay near zero with a fair coin."""
    flips = of(results["sign_flips"], variant=list(KINDS))
    retained = flips["total_flip_rate_retained"].mean("step")
    error = of(flips["total_flip_rate_retained_se"].sel(tau=TAU), variant=RAW).mean("step")
    change = of(results["zero_gradients"]["total_weight_change"].sel(tau=TAU), variant=RAW).mean("step")
    weight_change = change.sel(among="retained") / change.sel(among="all")
    near, everything = retained.sel(tau=TAU), flips["total_flip_rate"].mean("step")
    ar1 = flips["total_flip_rate_ar1"].mean("step")
    return Claim(
        "Entries that stay near zero flip their sign like a coin.",
        "0.48 of the retained entries flip",
        [
            *measured(
                "retained entries", {words: of(near, variant=kind) for kind, words in KINDS.items()}, "share"
            ),
            Measured("sampling error at a step, batch", error.values, "share"),
            Measured("all entries, batch", of(everything, variant=RAW).values, "share"),
            Measured("AR(1) process of equal correlation, batch", of(ar1, variant=RAW).values, "share"),
            Measured("weight change of a retained entry / of any, batch", weight_change.values),
        ],
        verdict((abs(near - 0.5) < 0.05).values),
        f"Means over the steps, {NEAR}. Criterion: within 0.05 of 0.5. The rate depends on the recorded gradient: of "
        f"all entries {_by_kind(everything)} flip, of an AR(1) process of equal correlation {_by_kind(ar1)}. {NEARER}: "
        f"{_by_kind(retained.sel(tau=TINY))}; {BELOW}: {_by_kind(retained.sel(tau=RELATIVE))}. Where a step changes a "
        "gradient by much more than the threshold, selecting small entries alone gives a coin: the joint density of "
        "two successive gradients is flat in so small a window, and all four pairs of signs are equally likely, "
        "whatever the correlation outside. The moving average and the gradient on a fixed batch change less in a step, "
        "and keep their sign.",
        "sign_flips",
    )  # fmt: skip


def near_zero_counts_collapse_late(results: Results) -> Claim:
    """Compare the share of near-zero entries late in training with the largest share before."""
    near = results["zero_gradients"]["total_fraction_near_zero"]
    parts = {kind: _parts(of(near.sel(tau=TAU), variant=kind)) for kind in KINDS}
    before = {kind: values.sel(part=["first", "middle"]).max("part") for kind, values in parts.items()}
    late = {kind: values.sel(part="last") for kind, values in parts.items()}
    batch = of(near, variant=RAW)
    return Claim(
        "Late in training hardly any gradient entry is near zero.",
        "the counts collapse",
        [
            row
            for kind, words in KINDS.items()
            for row in (
                Measured(f"largest share of the first two thirds, {words}", before[kind].values, "share"),
                Measured(f"last third, {words}", late[kind].values, "share"),
            )
        ],
        verdict(np.concatenate([late[kind] < 0.5 * before[kind] for kind in KINDS])),
        f"{NEAR}. Criterion: the share in the last third of the steps is less than half of the largest before. With "
        f"gradients of batches of {_batch_size(near)} images it goes {_course(parts[RAW])}; {NEARER}: "
        f"{_course(_parts(batch.sel(tau=TINY)))}; {BELOW}: {_course(_parts(batch.sel(tau=RELATIVE)))}. As the network "
        f"fits the images its gradients shrink: {_sizes(results)}. That moves entries below an absolute threshold. A "
        "relative threshold shrinks with them, and shows whether the shape of the distribution changes.",
        "zero_gradients",
    )


def averages_keep_their_sign(results: Results) -> Claim:
    """Compare the flip rate of near-zero entries of the moving averages with that of the batch's gradient."""
    retained = results["sign_flips"]["total_flip_rate_retained"].sel(tau=TAU).mean("step")
    rates = {
        words: of(retained, variant=name).sortby("seed").values
        for name, words in ((RAW, "gradient of the batch"), (RAW_AVERAGE, "average, published"), (AVERAGE, "average"))
    }
    batch, *averages = rates.values()
    return Claim(
        "The moving averages of the gradients keep their sign where those of the batch do not.",
        "figures of both without a comparison; our question",
        measured("retained entries that flip", rates, "share"),
        verdict(np.concatenate([average < 0.5 * batch for average in averages])),
        f"Means over the steps, {NEAR}. Criterion: the rate of an average is less than half of the batch's, seed by "
        "seed. The published average starts at the first gradient, ours at zero and is divided by 1 − 0.9ⁿ; after "
        "some twenty steps they agree.",
        "sign_flips",
    )


def misaligned_weights_turn_minima_into_maxima(results: Results) -> Claim:
    """Compare the share of flips that count as minima with weights before and after the update."""
    flips = results["sign_flips"]
    minima, maxima = (flips[f"total_{name}"].sum("step") for name in ("minima", "maxima"))
    share_of_minima = minima / (minima + maxima)
    rates = {
        words: of(share_of_minima, variant=name).sortby("seed").values
        for name, words in (
            (RAW, "batch, weights after the update (published)"),
            (ALIGNED, "batch, weights of the gradient"),
            (RAW_AVERAGE, "average, weights after the update (published)"),
            (AVERAGE, "average, weights of the gradient"),
        )
    }
    published, aligned, *_ = rates.values()
    return Claim(
        "Weights that are one update ahead of the gradients turn minima into maxima.",
        "the rule is published, by which a flip is a minimum if the weight moved along the change of its gradient; the "
        "source takes the weights after the update, beside the gradient before it",
        measured("share of minima among flips across an extremum", rates, "share"),
        verdict([*(aligned > 0.5), *(published < 0.5)]),
        "Criterion: with the weights at which the gradients were taken most flips are minima, and with those after the "
        "update most are maxima, in each run. A step against the gradient moves a weight along the change of a "
        "gradient that has just flipped, and the next step moves it back. Counted are all flips; the source counts "
        "those of near-zero entries only.",
        "sign_flips",
    )


def _parts(array: xr.DataArray) -> xr.DataArray:
    """Return the means over the first, middle and last third of the steps."""
    bounds = np.linspace(0, array.sizes["step"], len(PARTS) + 1).round().astype(int)
    means = [array.isel(step=slice(*bound)).mean("step") for bound in pairwise(bounds)]
    return xr.concat(means, xr.Variable("part", list(PARTS)))


def _course(parts: xr.DataArray) -> str:
    """Write the medians over the runs of the three thirds."""
    return " → ".join(f"{middle(parts.sel(part=name)):.2g}" for name in PARTS)


def _by_kind(rates: xr.DataArray) -> str:
    """Write the median over the runs of each kind of gradients."""
    by_kind = {words: of(rates, variant=kind).dropna("run") for kind, words in KINDS.items()}
    return ", ".join(
        f"{f'{middle(rate):.2g}' if rate.size else 'unknown'} ({words})" for words, rate in by_kind.items()
    )


def _batch_size(result: xr.Dataset | xr.DataArray) -> str:
    return " or ".join(f"{size:,}" for size in np.unique(result["batch_size"].values))


def _exact_zeros(result: xr.Dataset) -> xr.DataArray:
    """Return the share of the near-zero entries that are exactly zero."""
    counts = result["total_transitions"].sel(tau=TAU).sum("state_prev")
    return counts.sel(state_next="zero") / counts.sel(state_next=["zero", "small"]).sum("state_next")


def _sizes(results: Results) -> str:
    """Write the size of the gradients of the batch, and the training accuracy at the end."""
    sizes = _parts(of(results["gradient_statistics"]["total_rms"], variant=RAW))
    accuracy = middle(last(results["evaluation"]["train_accuracy"]))
    return f"root mean square {_course(sizes)}, with a training accuracy of {share(accuracy)} at the end"
