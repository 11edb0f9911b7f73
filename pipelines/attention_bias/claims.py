"""Claims about where a network looks when the background of its training images predicts their class."""

from itertools import pairwise

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from pipelines.claims import Results, last, measured, of, percent, verdict
from trajlab.reports.claims import Claim, Measured

PUBLISHED = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Published alignments, the shares of training images whose background has the color of their class."""

CHANCE = 0.1
"""Alignment at which the background is independent of the ten classes."""

TREND = -0.8
"""Rank correlation below which 3 % of all orders of six values lie (21 of 720)."""

SURE = 2
"""Standard errors by which a fall between two alignments is significant."""

GROUPS = {"different": "images of one of them", "neither": "images of neither"}
"""Groups of images by whether they are of two classes."""

SAME = 0.01
"""Attention IoUs that differ by less count as equal."""

WATERBIRDS = "Waterbirds, ResNet-18, Grad-CAM, mean of 20 runs: 0.83 at 50 %, 0.82 at 70 %, 0.75 at 90 %, 0.53 at 100 %"

RULE = (
    "Criterion: the mean of the runs falls from each alignment from 50 to 100 % to the next, and the rank correlation "
    f"of each seed is below {TREND}, where 3 % of random orders of six values lie."
)

RESOLUTION = (
    "Grad-CAM is taken at the last ReLU, 7x7, and enlarged to 28x28. It does not resolve strokes thinner than four "
    "pixels, which keeps the IoU below 1."
)

GRADIENT = (
    "The gradient is that of the logit of the predicted class; its absolute values are summed over the channels, "
    "28x28. It likely stays on the strokes as long as the network knows anything about digits: it shows where a small "
    "change alters the logit, not what contributes to it, and each of the many background pixels contributes little."
)

OF_LABELS = (
    "Nine of ten images have the background of another class, which says nothing for their label. A map of the label "
    "shows what the network still knows about the digit, however little that decides."
)


def grad_cam_leaves_the_object(results: Results) -> Claim:
    """Rank the attention IoU of Grad-CAM with the masks by alignment."""
    revised = (
        "at first maps were of the label, as they still are in the third claim, and not scaled to min 0 and max 1, as "
        "they still are in the fourth."
    )
    return _falls(
        results, "attribution", "grad_cam", "Grad-CAM of the predicted class", WATERBIRDS, RESOLUTION, revised
    )


def gradient_leaves_the_object(results: Results) -> Claim:
    """Rank the attention IoU of the input gradient with the masks by alignment."""
    return _falls(results, "attribution", "input_gradient", "the input gradient", "not published", GRADIENT)


def grad_cam_of_the_label_leaves_it_too(results: Results) -> Claim:
    """Rank the attention IoU of Grad-CAM of the label, which was not published, by alignment."""
    name = "Grad-CAM of the label"
    return _falls(results, "attribution_of_label", "grad_cam", name, "not published", f"{OF_LABELS} {RESOLUTION}")


def unscaled_maps_say_the_same(results: Results) -> Claim:
    """Rank the attention IoU of maps that are not scaled to min 0 and max 1 first."""
    name = "unscaled Grad-CAM of the predicted class"
    return _falls(
        results, "attribution", "grad_cam", name, "not published", RESOLUTION, variable="attention_iou_unscaled"
    )


def maps_of_two_classes_grow_alike(results: Results) -> Claim:
    """Compare the attention IoU between the maps of two classes with the least and the largest alignment."""
    overlap = last(results["attribution"]["attribute_iou_group"])
    pairs = overlap.where(overlap["attribute"] != overlap["attribute_other"]).mean(["attribute", "attribute_other"])
    groups = {words: _by_alignment(pairs.sel(group=name)) for name, words in GROUPS.items()}
    ends = [groups[GROUPS["different"]].isel(alignment=share).values for share in (0, -1)]
    return Claim(
        "The maps of two classes overlap more the more the background decides.",
        "not published; the score between two attributes is published for the attributes of faces",
        [
            row
            for words, array in groups.items()
            for row in _at_alignments(f"attention IoU of two classes, {words}", array)
        ],
        verdict(ends[1] > ends[0]),
        "Grad-CAM of each two of the ten classes, mean of all pairs. Criterion, of images of one of the two classes: "
        "more with a background that always agrees with the class than with one that does so in half of the images, "
        "seed by seed.",
        "attribution",
    )


def bias_is_learned(results: Results) -> Claim:
    """Rank the accuracy on images of any background by alignment."""
    at_end = last(results["evaluation"]["accuracy"])
    accuracy = _by_alignment(at_end)
    ranks = _rank_correlations(accuracy)
    return Claim(
        "Control: the higher the alignment, the lower the accuracy on images of any background.",
        "the accuracy of the worst group falls; measured here is that of all groups together",
        [
            *_at_alignments("accuracy on images of any background", accuracy, "share"),
            Measured("accuracy, 10 % aligned (chance)", of(at_end, dataset_alignment=CHANCE).values, "share"),
            _measured_ranks(ranks),
        ],
        _verdict(accuracy, ranks),
        RULE,
        "evaluation",
    )


def start_knows_no_bias(results: Results) -> Claim:
    """Compare the attention IoU at the start between the runs of a seed."""
    overlap = results["attribution"]["attention_iou"].mean("sample").isel(step=0)
    maps = {str(name): _by_alignment(overlap.sel(map=name)) for name in overlap["map"].values}
    ranges = {name: array.max("alignment") - array.min("alignment") for name, array in maps.items()}
    return Claim(
        "Control: before training, the attention IoU does not depend on the alignment.",
        "no dependence",
        measured("range of the attention IoU over the alignments, step 0", ranges),
        verdict(np.concatenate([array.values < SAME for array in ranges.values()])),
        f"Criterion: a range below {SAME}. Runs of a seed start from the same weights and see the same probe; when "
        "step 0 is recorded, batch normalization has seen one batch with backgrounds of its own.",
        "attribution",
        "at first the threshold was 0.000001, which ignored batch normalization.",
    )


def _falls(
    results: Results, figure: str, map_name: str, words: str, published: str, reason: str, revised: str = "",
    variable: str = "attention_iou",
) -> Claim:  # fmt: skip
    overlap = results[figure][variable].sel(map=map_name)
    per_image = _by_alignment(last(overlap))
    means = _by_alignment(last(overlap).mean("sample"))
    ranks, changes = _rank_correlations(means), _changes(per_image)
    empty = float(last(overlap).isnull().mean())
    excluded = (
        f" {100 * empty:.1f} % of the maps are constant and excluded; the authors count them as 0." if empty else ""
    )
    intervals = [f"change from {percent(low)} to {percent(high)}" for low, high in pairwise(PUBLISHED)]
    return Claim(
        f"The attention IoU of {words} with the object falls monotonically with the share of training images whose "
        "background has the color of their class.",
        published,
        [
            *_at_alignments("attention IoU", means),
            Measured(
                "attention IoU, 10 % aligned (chance)",
                of(last(overlap).mean("sample"), dataset_alignment=CHANCE).values,
            ),
            _measured_ranks(ranks),
            *(
                Measured(f"{interval} / its standard error", change.values)
                for interval, change in zip(intervals, changes, strict=True)
            ),
        ],
        _verdict(means, ranks),
        f"{RULE} {_significance(changes)} {reason}{excluded}",
        f"{figure}/runs",
        revised,
    )


def _by_alignment(array: xr.DataArray) -> xr.DataArray:
    """Return the values of the runs by alignment and seed, (alignment, seed)."""
    runs = [of(array, dataset_alignment=alignment).sortby("seed") for alignment in PUBLISHED]
    return xr.concat([values.drop_vars(values.coords).rename(run="seed") for values in runs], dim="alignment")


def _rank_correlations(array: xr.DataArray) -> np.ndarray:
    """Return the rank correlation with the alignment for each seed."""
    return np.array([spearmanr(PUBLISHED, values).statistic for values in array.transpose(..., "alignment").values])


def _changes(array: xr.DataArray) -> xr.DataArray:
    """Return the mean change from each alignment to the next, image by image, in standard errors, (change, seed)."""
    change = array.diff("alignment")
    return change.mean("sample") / (change.std("sample", ddof=1) / change.count("sample") ** 0.5)


def _significance(changes: xr.DataArray) -> str:
    """Write from which alignment on each seed falls significantly."""
    clear = (changes < -SURE).all("seed").values
    start = len(clear) - int(clear[::-1].cumprod().sum())
    where = (
        f"is significant in each seed from {percent(PUBLISHED[start])} on"
        if start < len(clear)
        else "to the highest alignment is not significant in each seed"
    )
    return (
        f"A fall of more than {SURE} standard errors counts as significant. They are those of the mean difference of "
        f"the same image, within one seed, and ignore the spread between trainings. The fall {where}"
        + (", not from each lower alignment." if 0 < start < len(clear) else ".")
    )


def _verdict(array: xr.DataArray, ranks: np.ndarray) -> str:
    falls = array.mean("seed").diff("alignment") < 0
    return verdict([bool(falls.all()), *(ranks < TREND)])


def _at_alignments(quantity: str, array: xr.DataArray, unit: str = "") -> list[Measured]:
    names = [f"{percent(alignment)} aligned" for alignment in PUBLISHED]
    return measured(quantity, dict(zip(names, array, strict=True)), unit)


def _measured_ranks(ranks: np.ndarray) -> Measured:
    return Measured("rank correlation with the alignment, from 50 to 100 %, each seed", ranks)
