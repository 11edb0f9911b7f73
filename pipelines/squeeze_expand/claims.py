"""Claims about perceptrons with narrow layers between wide ones, trained with Adam on MNIST."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, increases, last, measured, middle, of, verdict
from trajlab.reports.claims import Claim, Measured
from trajlab.statistics.wording import share

WIDTHS = [32, 8, 2, 1]
"""Units of the squeezed layers, from wide to narrow."""

FIRST = "fc1.weight"
SQUEEZED, EXPANDED, DEEPEST = "relu2", "relu3", "relu5"

OTHERS = {
    "squeeze_first8": "squeezes to 8 from the inputs on",
    "squeeze_first2": "squeezes to 2 from the inputs on",
    "direct2": "one layer of 2",
}
"""Networks that are narrow from the first layer on."""


def narrower_squeeze_larger_singular_value(results: Results) -> Claim:
    """Rank the largest singular values of the first layers, which start from the same weights."""
    top = results["spectrum"]["spectral_norm"].sel(parameter=FIRST)
    end, start = _by_width(last(top)), _by_width(top.isel(step=0))
    same = all(np.array_equal(values, start[WIDTHS[0]]) for values in start.values())
    cases = increases([*end.values()])
    return Claim(
        "The narrower the squeeze, the larger the top singular value of the first layer.",
        "20.8, 42.2 and 50.5 for squeezes to 32, 2 and 1; none for 8",
        [
            *measured("largest singular value at the end", _labeled(end)),
            Measured("largest singular value at the start, all of these networks", np.concatenate([*start.values()])),
            *measured("largest singular value at the end", _others(last(top))),
        ],
        verdict(cases),
        f"Criterion: each narrower squeeze has a larger value, seed by seed; {_count(cases)} do. "
        + ("The networks of a seed start from the same first layer, so training makes the difference. " if same else "")
        + "How large the values get depends on the length of training, the learning rate and the start, which the "
        "publication does not fully specify: compare the order. A likely cause: the gradient that a squeeze passes "
        "back has no more directions than the squeeze has units, so the weights move more along a single one.",
        "spectrum",
    )


def value_is_more_than_growth(results: Results) -> Claim:
    """Compare the largest singular value with the Frobenius norm: uniform growth leaves their ratio as it is."""
    spectrum = results["spectrum"].sel(parameter=FIRST)
    rank = _by_width(last(spectrum["stable_rank"]))
    growth = _by_width(last(spectrum["frobenius_norm"]) / spectrum["frobenius_norm"].isel(step=0) - 1)
    distance = _by_width(last(results["drift"]["distance_l2"].sel(parameter=FIRST)))
    largest_growth = max(values.max() for values in growth.values())
    cases = _falls(rank)
    return Claim(
        "The spectrum changes shape: the top singular value also grows relative to the norm of the layer.",
        "not published; control of the claim above",
        [
            *measured("distance from the start", _labeled(distance)),
            *measured("growth of the Frobenius norm", _labeled(growth), "share"),
            *measured("stable rank at the end", _labeled(rank)),
            Measured("stable rank at the start", _by_width(spectrum["stable_rank"].isel(step=0))[WIDTHS[0]]),
        ],
        verdict(cases),
        "The stable rank is the squared ratio of the Frobenius norm to the largest singular value; growth of the whole "
        f"layer leaves it unchanged. Criterion: each narrower squeeze has a smaller one, seed by seed; {_count(cases)} "
        f"do. The Frobenius norm grows by {share(largest_growth)} at most. The layer moves "
        f"{np.median(distance[WIDTHS[0]]):.0f} from its start with the widest squeeze and "
        f"{np.median(distance[WIDTHS[-1]]):.0f} with the narrowest, which explains part of the value, too.",
        "spectrum",
    )


def narrower_squeeze_more_of_one_direction(results: Results) -> Claim:
    """Compare the share of the largest singular value in the spectrum of the features behind a squeeze."""
    powers = last(results["embedding"]["singular_values"]) ** 2
    top = powers.isel(direction=0) / powers.sum("direction")
    before, behind = (_by_width(top.sel(layer=layer)) for layer in ("relu1", EXPANDED))
    cases = increases([*behind.values()])
    return Claim(
        "The narrower the squeeze, the larger the share of one direction in the power spectrum of the features behind.",
        "power spectra of the features without numbers; our question",
        [
            *measured("share of the largest singular value behind", _labeled(behind), "share"),
            *measured("share of the largest singular value before", _labeled(before), "share"),
        ],
        verdict(cases),
        "The share is s₁² / Σ s² of the 512 features behind the first squeeze, less their means. Criterion: each "
        f"narrower squeeze has a larger one, seed by seed; {_count(cases)} do.",
        "embedding",
    )


def expansion_does_not_bring_directions_back(results: Results) -> Claim:
    """Compare the effective ranks of the features before a squeeze and in the wide layer behind it."""
    rank = last(results["embedding"]["effective_rank"])
    before, behind = (_by_width(rank.sel(layer=layer)) for layer in ("relu1", EXPANDED))
    fewer = [after < earlier for width in WIDTHS for earlier, after in zip(before[width], behind[width], strict=True)]
    return Claim(
        "A wide layer behind a squeeze has features of low effective rank, lower behind a narrower squeeze.",
        "not published; our question about the published feature spectra and effective ranks",
        [
            *measured("effective rank of 512 features behind", _labeled(behind)),
            *measured("effective rank of 1,024 features before", _labeled(before)),
        ],
        verdict([*_falls(behind), *fewer]),
        "Criterion: the rank behind is smaller for each narrower squeeze, and smaller than before the squeeze, seed by "
        "seed. A ReLU bends the output of a squeeze, so its rank can exceed the number of units in the squeeze.",
        "embedding",
    )


def narrower_squeeze_tells_fewer_digits(results: Results) -> Claim:
    """Rank the networks by kNN accuracy in the squeezed layer and in the last hidden one."""
    knn = last(results["embedding"]["knn_accuracy"])
    squeezed, deepest = (_by_width(knn.sel(layer=layer)) for layer in (SQUEEZED, DEEPEST))
    accuracy = last(results["evaluation"]["accuracy"])
    cases = _falls(squeezed)
    return Claim(
        "The narrower the squeeze, the lower the kNN accuracy in it.",
        "not published; our question about the published t-SNE and nearest neighbors of each layer",
        [
            *measured("kNN accuracy in the squeezed layer", _labeled(squeezed), "share"),
            *measured("kNN accuracy in the last hidden layer", _labeled(deepest), "share"),
            *measured("accuracy on the probe", _labeled(_by_width(accuracy)), "share"),
            *measured("accuracy on the probe", _others(accuracy), "share"),
        ],
        verdict(cases),
        f"Criterion: each narrower squeeze has a lower kNN accuracy, seed by seed; {_count(cases)} do. The majority "
        f"class alone gives {share(middle(results['embedding']['knn_chance']))}.",
        "embedding",
    )


def _by_width(array: xr.DataArray) -> dict[int, np.ndarray]:
    """Return the values for each width of the squeeze, by seed."""
    return {width: of(array, variant=f"squeeze{width}").sortby("seed").values for width in WIDTHS}


def _labeled(values: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"squeeze to {width}": array for width, array in values.items()}


def _others(array: xr.DataArray) -> dict[str, np.ndarray]:
    """Return the values of the networks without a squeeze, by description."""
    return {words: of(array, variant=name).values for name, words in OTHERS.items()}


def _falls(values: dict[int, np.ndarray]) -> list[bool]:
    """Return for each narrower squeeze, and for each seed, whether its value is smaller than with the wider one."""
    return increases([-array for array in values.values()])


def _count(cases: list[bool]) -> str:
    return f"{sum(cases)} of {len(cases)}"
