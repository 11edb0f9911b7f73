"""What was claimed of perceptrons that are squeezed to a few units between wide layers, trained with Adam on MNIST."""

from itertools import pairwise

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, of, verdict
from trajlab.reports.claims import Claim, Measured
from trajlab.statistics.wording import share

WIDTHS = [32, 8, 2, 1]
"""Units of the squeezed layers, from wide to narrow."""

FIRST = "fc1.weight"
SQUEEZED, EXPANDED, DEEPEST = "relu2", "relu3", "relu5"

OTHERS = {"all8": "all layers of 8", "all2": "all layers of 2", "direct2": "one layer of 2"}
"""Nets that are narrow from the first layer on."""


def narrower_squeeze_larger_singular_value(results: Results) -> Claim:
    """Rank the largest singular values of the first layers, which start from the same weights."""
    top = results["spectrum"]["spectral_norm"].sel(parameter=FIRST)
    end, start = _by_width(last(top)), _by_width(top.isel(step=0))
    same = all(np.array_equal(values, start[WIDTHS[0]]) for values in start.values())
    holds = verdict(_in_order(end, rising=True))
    return Claim(
        "The narrower the squeeze, the larger the top singular value of the first layer.",
        "20.8, 42.2 and 50.5 for squeezes to 32, 2 and 1; none for 8",
        [
            *(Measured(f"largest singular value at the end, {_squeeze(width)}", end[width]) for width in WIDTHS),
            Measured("largest singular value at the start, all of these nets", np.concatenate([*start.values()])),
            *(
                Measured(f"largest singular value at the end, {words}", of(last(top), variant=name).values)
                for name, words in OTHERS.items()
            ),
        ],
        holds,
        f"Each narrower squeeze has to give a larger value, seed by seed; {_count(end, rising=True)} do. "
        + (
            "The nets of a seed start from the same first layer, so that training makes the difference. "
            if same
            else ""
        )
        + "How large the values get depends on how long, with what learning rate and from which start is trained, of "
        "which the publication tells too little: compare their order. Likely, as what a squeeze passes back to the "
        "layer before it has no more directions than the squeeze has units, so that more of the way goes along one.",
        "spectrum",
    )


def value_is_more_than_growth(results: Results) -> Claim:
    """Hold the largest singular value against the Frobenius norm: growth of all of the layer leaves their ratio."""
    found = results["spectrum"].sel(parameter=FIRST)
    rank = _by_width(last(found["stable_rank"]))
    growth = _by_width(last(found["frobenius_norm"]) / found["frobenius_norm"].isel(step=0) - 1)
    moved = _by_width(last(results["drift"]["distance_l2"].sel(parameter=FIRST)))
    most = max(values.max() for values in growth.values())
    near, far = (np.median(moved[width]) for width in (WIDTHS[0], WIDTHS[-1]))
    return Claim(
        "That value is of the shape of the spectrum: it grows relative to the norm of the layer, too.",
        "not published; the control of the line above",
        [
            *(Measured(f"distance from the start, {_squeeze(width)}", moved[width]) for width in WIDTHS),
            *(Measured(f"growth of the Frobenius norm, {_squeeze(width)}", growth[width], "share") for width in WIDTHS),
            *(Measured(f"stable rank at the end, {_squeeze(width)}", rank[width]) for width in WIDTHS),
            Measured("stable rank at the start", _one(found["stable_rank"].isel(step=0))),
        ],
        verdict(_in_order(rank, rising=False)),
        "The stable rank is the squared ratio of the Frobenius norm to the largest singular value: a layer that only "
        f"grows keeps it. Each narrower squeeze has to give a smaller one, seed by seed; {_count(rank, rising=False)} "
        f"do. The Frobenius norm grows by {share(most)} at most. The layer moves {near:.0f} from its start with the "
        f"widest squeeze and {far:.0f} with the narrowest: how far it moves explains part of the value, too.",
        "spectrum",
    )


def expansion_does_not_bring_directions_back(results: Results) -> Claim:
    """Compare in how many directions the features vary before a squeeze, and in the wide layer behind it."""
    rank = last(results["embedding"]["effective_rank"])
    before, behind = (_by_width(rank.sel(layer=layer)) for layer in ("relu1", EXPANDED))
    lost = [after < own for width in WIDTHS for own, after in zip(before[width], behind[width], strict=True)]
    return Claim(
        "Behind a squeeze the features of a wide layer vary in few directions, in fewer behind a narrower one.",
        "not published; our question to the spectra of features and effective ranks that were shown",
        [
            *(Measured(f"effective rank of 512 features behind, {_squeeze(width)}", behind[width]) for width in WIDTHS),
            *(
                Measured(f"effective rank of 1,024 features before, {_squeeze(width)}", before[width])
                for width in WIDTHS
            ),
        ],
        verdict([*_in_order(behind, rising=False), *lost]),
        "Each narrower squeeze has to leave fewer, and each fewer than were there before it. A ReLU bends what comes "
        "out of a squeeze, so that there may be more directions than units in it.",
        "embedding",
    )


def narrower_squeeze_tells_fewer_digits(results: Results) -> Claim:
    """Rank the nets by how well neighbors tell the digits in the squeezed layer, and the net at its end."""
    found = last(results["embedding"]["knn_accuracy"])
    squeezed, deepest = (_by_width(found.sel(layer=layer)) for layer in (SQUEEZED, DEEPEST))
    accuracy = last(results["evaluation"]["accuracy"])
    return Claim(
        "The narrower the squeeze, the worse neighbors tell the digits in it.",
        "not published; our question to the t-SNE and nearest neighbors of each layer that were shown",
        [
            *(
                Measured(f"kNN accuracy in the squeezed layer, {_squeeze(width)}", squeezed[width], "share")
                for width in WIDTHS
            ),
            *(
                Measured(f"kNN accuracy in the last hidden layer, {_squeeze(width)}", deepest[width], "share")
                for width in WIDTHS
            ),
            *(
                Measured(f"accuracy on the probe, {_squeeze(width)}", values, "share")
                for width, values in _by_width(accuracy).items()
            ),
            *(
                Measured(f"accuracy on the probe, {words}", of(accuracy, variant=name).values, "share")
                for name, words in OTHERS.items()
            ),
        ],
        verdict(_in_order(squeezed, rising=False)),
        f"Each narrower squeeze has to give a lower kNN accuracy, seed by seed; {_count(squeezed, rising=False)} do. "
        f"Always answering the most frequent digit is right for {share(middle(results['embedding']['knn_chance']))}.",
        "embedding",
    )


def _by_width(array: xr.DataArray) -> dict[int, np.ndarray]:
    """Give the values of the nets with each squeeze, by seed."""
    return {width: of(array, variant=f"squeeze{width}").sortby("seed").values for width in WIDTHS}


def _one(array: xr.DataArray) -> np.ndarray:
    return of(array, variant=f"squeeze{WIDTHS[0]}").values


def _squeeze(width: int) -> str:
    return f"squeeze to {width}"


def _in_order(found: dict[int, np.ndarray], *, rising: bool) -> list[bool]:
    """Say of each seed and each squeeze but the widest whether the value is on the right side of the one before."""
    return [
        bool(b > a) if rising else bool(b < a)
        for wide, narrow in pairwise(WIDTHS)
        for a, b in zip(found[wide], found[narrow], strict=True)
    ]


def _count(found: dict[int, np.ndarray], *, rising: bool) -> str:
    order = _in_order(found, rising=rising)
    return f"{sum(order)} of {len(order)}"
