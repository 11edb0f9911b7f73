"""What was claimed of where a network looks, when the ground of its training images gives their class away."""

from itertools import pairwise

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from pipelines.claims import Results, last, of, verdict
from trajlab.reports.claims import Claim, Measured

PUBLISHED = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of aligned training images that were published and are tried at each size."""

CHANCE = 0.1
"""Share of aligned training images at which the ground says nothing of ten classes."""

TREND = -0.8
"""Rank correlation below which six values without a relation are in 3 % of all orders (21 of 720)."""

SURE = 2
"""Standard errors beyond which a fall from one share to the next is told from none."""

SAME = 0.01
"""Attention IoUs that differ by less count as the same."""

WATERBIRDS = "Waterbirds, ResNet-18, Grad-CAM, mean of 20 runs: 0.83 at 50 %, 0.82 at 70 %, 0.75 at 90 %, 0.53 at 100 %"

RULE = (
    "It holds if the mean of the runs falls from each share from 50 to 100 % to the next, and the rank correlation of "
    f"each seed is below {TREND}, which six values without a relation are by chance in 3 % of cases."
)

ENLARGED = (
    "Grad-CAM is of the last ReLU, 7x7, enlarged to 28x28: strokes thinner than four pixels are not resolved, which "
    "keeps it from 1. A map that is the same everywhere has about 0.35 with these masks."
)

SLOPES = (
    "The gradient is of the logit of the class told; its sizes are added over the channels, 28x28. Likely it stays at "
    "the strokes as long as anything is known of digits: it tells where a small change moves the logit, not what the "
    "logit is made of, and each of the many pixels of the ground says little."
)

OF_LABELS = (
    "Nine of ten images have the ground of another class, which says nothing for their label: a map of the label shows "
    "what the network still knows of the digit, however little it decides."
)


def grad_cam_leaves_the_object(results: Results) -> Claim:
    """Rank the attention IoU of Grad-CAM with the masks by the share of aligned images."""
    revised = "at first maps were of the label, as they still are in the third line."
    return _falls(results, "attribution", "grad_cam", "Grad-CAM of the class told", WATERBIRDS, ENLARGED, revised)


def gradient_leaves_the_object(results: Results) -> Claim:
    """Rank the attention IoU of the input gradient with the masks by the share of aligned images."""
    return _falls(results, "attribution", "input_gradient", "the input gradient", "not published", SLOPES)


def grad_cam_of_the_label_leaves_it_too(results: Results) -> Claim:
    """Rank the attention IoU of Grad-CAM of the label, which is not what was published."""
    name = "Grad-CAM of the label"
    return _falls(results, "attribution_of_label", "grad_cam", name, "not published", f"{OF_LABELS} {ENLARGED}")


def bias_is_learned(results: Results) -> Claim:
    """Rank the accuracy on images of any ground by the share of aligned images."""
    right = last(results["evaluation"]["accuracy"])
    accuracy = _by_share(right)
    ranks = _ranks(accuracy)
    return Claim(
        "Control: the more training images are aligned, the fewer images of any ground are answered right.",
        "the accuracy of the worst group falls; measured here is that of all groups together",
        [
            *_at_shares(accuracy, "accuracy on images of any ground", "share"),
            Measured("the same, 10 % aligned, which is chance", of(right, dataset_alignment=CHANCE).values, "share"),
            _measured_ranks(ranks),
        ],
        _verdict(accuracy, ranks),
        RULE,
        "evaluation",
    )


def start_knows_no_bias(results: Results) -> Claim:
    """Hold the attention IoU of runs of a seed against each other at the start."""
    overlap = results["attribution"]["attention_iou"].mean("sample").isel(step=0)
    maps = {str(name): _by_share(overlap.sel(map=name)) for name in overlap["map"].values}
    apart = {name: array.max("share") - array.min("share") for name, array in maps.items()}
    return Claim(
        "Control: before the training, the attention IoU does not depend on the share.",
        "none",
        [
            Measured(f"largest less smallest attention IoU of {name} over the shares, step 0", array.values)
            for name, array in apart.items()
        ],
        verdict(np.concatenate([array.values < SAME for array in apart.values()])),
        f"Less than {SAME} counts as none. Runs of a seed start from the same weights and are asked about the same "
        "images; batch normalization has seen a batch on grounds of their own when step 0 is recorded.",
        "attribution",
        "at first less than 0.000001 was asked, without a thought of batch normalization.",
    )


def _falls(
    results: Results, figure: str, name: str, called: str, published: str, reason: str, revised: str = ""
) -> Claim:
    overlap = results[figure]["attention_iou"].sel(map=name)
    by_share = _by_share(last(overlap).mean("sample"))
    ranks, changes = _ranks(by_share), _changes(_by_share(last(overlap)))
    empty = float(last(overlap).isnull().mean())
    chance = of(last(overlap).mean("sample"), dataset_alignment=CHANCE)
    lost = (
        f" {empty:.1%} of the maps are 0 everywhere and left out; the authors count them as 0.".replace("%", " %")
        if empty
        else ""
    )
    return Claim(
        f"The attention IoU of {called} with the object falls monotonically, as the ground of more training images "
        "goes with their class.",
        published,
        [
            *_at_shares(by_share, "attention IoU", ""),
            Measured("the same, 10 % aligned, which is chance", chance.values),
            _measured_ranks(ranks),
            *(
                Measured(f"change from {low:.0%} to {high:.0%} / its standard error".replace("%", " %"), one.values)
                for (low, high), one in zip(pairwise(PUBLISHED), changes, strict=True)
            ),
        ],
        _verdict(by_share, ranks),
        f"{RULE} {_resolved(changes)} {reason}{lost}",
        f"{figure}/runs",
        revised,
    )


def _by_share(array: xr.DataArray) -> xr.DataArray:
    """Give what was found of the runs by their share of aligned images and their seed, (share, seed)."""
    found = [of(array, dataset_alignment=share).sortby("seed") for share in PUBLISHED]
    return xr.concat([one.drop_vars(one.coords).rename(run="seed") for one in found], dim="share")


def _ranks(found: xr.DataArray) -> np.ndarray:
    """Give the rank correlation of each seed with the share."""
    return np.array([spearmanr(PUBLISHED, one).statistic for one in found.transpose(..., "share").values])


def _changes(found: xr.DataArray) -> xr.DataArray:
    """Give the mean change from each share to the next, image by image, in its standard errors, (change, seed)."""
    change = found.diff("share")
    return change.mean("sample") / (change.std("sample", ddof=1) / change.count("sample") ** 0.5)


def _resolved(changes: xr.DataArray) -> str:
    """Say from which share on each seed falls by more than its errors."""
    clear = (changes < -SURE).all("seed").values
    start = len(clear) - int(clear[::-1].cumprod().sum())
    where = (
        f"is beyond {SURE} of them in each seed from {PUBLISHED[start]:.0%} on".replace("%", " %")
        if start < len(clear)
        else f"to the largest share is not beyond {SURE} of them in each seed"
    )
    return (
        "Standard errors are those of the mean difference of the same image, of one seed, and know nothing of other "
        f"trainings: the fall {where}" + (", not from each share below." if 0 < start < len(clear) else ".")
    )


def _verdict(found: xr.DataArray, ranks: np.ndarray) -> str:
    falls = found.mean("seed").diff("share") < 0
    return verdict([bool(falls.all()), *(ranks < TREND)])


def _at_shares(found: xr.DataArray, what: str, unit: str) -> list[Measured]:
    return [
        Measured(f"{what}, {share:.0%} aligned".replace("%", " %"), one.values, unit)
        for share, one in zip(PUBLISHED, found, strict=True)
    ]


def _measured_ranks(ranks: np.ndarray) -> Measured:
    return Measured("rank correlation with the share, from 50 to 100 %, each seed", ranks)
