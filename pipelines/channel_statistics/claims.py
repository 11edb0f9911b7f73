"""What was claimed of channels of residual networks: which emit gradients, and which absorb them."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, of, updates, verdict
from trajlab.claims import Claim, Measured

LOW, DEEP = "layer1", "layer4"
"""The first and the last stage of a residual network; the convolution before them has three input channels only."""

STILL = "still"
"""The optimizer whose steps have length 0."""

UNTRAINED = "_untrained"
"""How the study ends that is the control of pretrained networks."""

MORE = 1.25
"""Emission varies more than absorption from this ratio on, and as much between its inverse and this."""

OVER_FILTERS = (
    "What an input channel absorbs is a sum over all filters of the layer, up to 512 of them; where these are still "
    "close to random, their differences cancel. What an output channel emits depends on its own gradient alone."
)


def channels_of_a_layer_differ(results: Results) -> Claim:
    """Hold the variation among the channels of each layer against what the choice of so few samples would give."""
    sides = {"emission": "em_sum", "absorption": "ab_sum"}
    end = {study: last(found) for study, found in _studies(results).items()}
    beyond = {
        (study, word): found[f"{name}_channel_cv"] > found[f"{name}_channel_noise"]
        for study, found in end.items()
        for word, name in sides.items()
    }
    return Claim(
        "The channels of one layer differ in emission and absorption.",
        "they differ",
        [
            *(
                Measured(
                    f"coefficient of variation of {word}, median layer, {study}", _median(found[f"{name}_channel_cv"])
                )
                for study, found in end.items()
                for word, name in sides.items()
            ),
            *(
                Measured(f"layers where {word} varies more than samples alone may, {study}", _share(found), "share")
                for (study, word), found in beyond.items()
            ),
        ],
        verdict(np.concatenate([_share(found) > 0.9 for found in beyond.values()])),
        "It holds where nine of ten layers vary more than channels that are all alike may, for these samples. "
        + ("" if all(_share(one).min() > 0.9 for one in beyond.values()) else OVER_FILTERS),
        _figure(results, "variation"),
    )


def emission_varies_more_in_low_layers(results: Results) -> Claim:
    """Compare the coefficients of variation in the first stage of the network."""
    found = {study: _ratio(found, LOW) for study, found in _studies(results).items()}
    return Claim(
        "In low layers emission varies more from channel to channel than absorption.",
        "emission more",
        [
            Measured(f"variation of emission / of absorption, median of {LOW}, {study}", ratio)
            for study, ratio in found.items()
        ],
        verdict(np.concatenate([ratio > MORE for ratio in found.values()])),
        f"From {MORE} on it counts as more. The layers are the convolutions of the first residual stage. "
        f"{updates(results)}",
        _figure(results, "cv_ratio"),
    )


def both_vary_alike_in_deep_layers(results: Results) -> Claim:
    """Compare the coefficients of variation in the last stage of the network."""
    found = {study: _ratio(found, DEEP) for study, found in _studies(results).items()}
    more = [ratio > MORE for ratio in found.values()]
    alike = [(ratio < MORE) & (ratio > 1 / MORE) for ratio in found.values()]
    return Claim(
        "In deep layers emission and absorption vary equally.",
        "equally",
        [
            Measured(f"variation of emission / of absorption, median of {DEEP}, {study}", ratio)
            for study, ratio in found.items()
        ],
        verdict(np.concatenate(alike)),
        f"Between {1 / MORE:g} and {MORE} it counts as equal. The layers are the convolutions of the last residual "
        f"stage. {OVER_FILTERS + ' ' if np.concatenate(more).any() else ''}{updates(results)}",
        _figure(results, "cv_ratio"),
    )


def the_pattern_is_learned(results: Results) -> Claim:
    """Hold the difference between low and deep layers against that in networks that have learned nothing."""
    kinds = {"trained": _studies(results), "untrained": _untrained(results)}
    studies = kinds["trained"]
    ratios = {
        (study, word, stage): _ratio(found[study], stage)
        for study in studies
        for word, found in kinds.items()
        for stage in (LOW, DEEP)
    }
    falls = {
        (study, word): np.median(ratios[study, word, LOW]) - np.median(ratios[study, word, DEEP])
        for study in studies
        for word in kinds
    }
    alone = [falls[study, "trained"] > max(2 * falls[study, "untrained"], 0) for study in studies]
    return Claim(
        "The difference between low and deep layers comes from training.",
        "not published; the control of the two claims above",
        [
            Measured(f"variation of emission / of absorption, median of {stage}, {word} {study}", ratio)
            for (study, word, stage), ratio in ratios.items()
        ],
        verdict(alone),
        "It holds where the ratio falls from low to deep layers by more than twice what it falls in the same network "
        "with the weights of the start, whose batch normalizations have seen as many images. "
        + ("" if all(alone) else "What untrained networks show too is architecture, not learning."),
        _figure(results, "cv_ratio"),
    )


def filter_norms_do_not_explain_emission(results: Results) -> Claim:
    """Correlate the emission of the channels of a layer with the norms of their filters."""
    kinds = {"trained": _studies(results), "untrained": _untrained(results)}
    found = {
        (study, word): last(one)["median_norm_correlation"].values
        for word, studies in kinds.items()
        for study, one in studies.items()
    }
    trained = [values for (_, word), values in found.items() if word == "trained"]
    return Claim(
        "That channels differ in emission is more than their filters' norms.",
        "not published; a control",
        [
            Measured(f"correlation of emission with the norm of the filter, median layer, {word} {study}", values)
            for (study, word), values in found.items()
        ],
        verdict(np.concatenate([values**2 < 0.5 for values in trained])),
        "It holds where the norm explains less than half of the variance among channels: r² below 0.5, |r| below 0.71. "
        "Filters that all start from one distribution have norms that hardly differ, and keep them at first.",
        _figure(results, "norm_correlation"),
    )


def _studies(results: Results) -> dict[str, xr.Dataset]:
    """Give the results of the runs that learned, by the name of the network."""
    return {
        study: of(found, optimizer=[name for name in found["optimizer"].values if name != STILL] or STILL)
        for study, found in _all(results).items()
        if not study.endswith(UNTRAINED)
    }


def _untrained(results: Results) -> dict[str, xr.Dataset]:
    """Give the results of the runs whose weights are those of the start, by the name of the network."""
    found = _all(results)
    return {study: of(found.get(f"{study}{UNTRAINED}", found[study]), optimizer=STILL) for study in _studies(results)}


def _all(results: Results) -> dict[str, xr.Dataset]:
    return {name.partition("/")[0]: found for name, found in results.items() if name.endswith("/channel_gradients")}


def _ratio(found: xr.Dataset, stage: str) -> np.ndarray:
    """Give the middle ratio of the convolutions of a stage at the end, one for each run."""
    layers = [name for name in found["layer"].values if name.startswith(f"{stage}.")]
    return last(found["cv_ratio"]).sel(layer=layers).median("layer").values


def _median(array: xr.DataArray) -> np.ndarray:
    return array.median("layer").values


def _share(array: xr.DataArray) -> np.ndarray:
    return array.mean("layer").values


def _figure(results: Results, panel: str) -> str:
    return f"{next(iter(_studies(results)))}/channel_gradients-{panel}"
