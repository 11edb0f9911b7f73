"""What was claimed of channels of residual networks: which emit gradients, and which absorb them."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, middle, of, updates, verdict
from trajlab.reports.claims import Claim, Measured

LOW, DEEP = "layer1", "layer4"
"""The first and the last stage of a residual network; the convolution before them has three input channels only."""

STILL = "still"
"""The optimizer whose steps have length 0."""

UNTRAINED = "_untrained"
"""How the study ends that is the control of pretrained networks."""

MORE = 1.25
"""Emission varies more than absorption from this ratio on, and as much between its inverse and this."""

RATIOS = {"absorption": "cv_ratio", "net absorption": "net_cv_ratio"}
"""What the variation of emission is held against, in words; the first is judged."""

OVER_FILTERS = (
    "What an input channel absorbs is a sum of absolute values over all filters of the layer, up to 512 of them; where "
    "these are still close to random, their differences cancel. What an output channel emits depends on its own "
    "gradient alone."
)

NET = (
    "How many times depends on the quantity: absorption adds the absolute values of what each filter sends, net "
    "absorption is the absolute value of their sum, the gradient that reaches the input. Judged is the former."
)


def channels_of_a_layer_differ(results: Results) -> Claim:
    """Hold the variation among the channels of each layer against that of channels that are alike."""
    sides = {"emission": "em_sum", "absorption": "ab_sum"}
    found = {
        (study, word): [last(one)[f"{name}_channel_{key}"] for key in ("cv", "noise")]
        for study, one in _studies(results).items()
        for word, name in sides.items()
    }
    beyond = {key: _share(variation > noise) for key, (variation, noise) in found.items()}
    return Claim(
        "The channels of one layer differ in emission and absorption.",
        "they differ",
        [
            row
            for (study, word), (variation, noise) in found.items()
            for row in (
                Measured(f"coefficient of variation of {word}, median layer, {study}", _median(variation)),
                Measured(f"the same of alike channels, in 95 % of cases less than, {study}", _median(noise)),
                Measured(f"layers where {word} varies more than that, {study}", beyond[study, word], "share"),
            )
        ],
        verdict(np.concatenate([share > 0.9 for share in beyond.values()])),
        "It holds where nine of ten layers vary more than channels that are all alike would in 95 % of cases, which is "
        "found by shuffling the channels of each sample: what differs from sample to sample in all channels together, "
        f"as the loss does, plays no part. That they differ does not say by how much. {OVER_FILTERS}",
        _figure(results, "variation"),
        "at first each channel of a sample was taken to differ by itself, though all mostly share the scale of the "
        "sample, and the mean of that chance variation had to be exceeded, not its 95 % quantile.",
    )


def emission_varies_more_in_low_layers(results: Results) -> Claim:
    """Compare the coefficients of variation in the first stage of the network."""
    found = _ratios(results, LOW)
    return Claim(
        "In low layers emission varies more from channel to channel than absorption.",
        "emission more",
        _measured(results, LOW),
        verdict(np.concatenate([ratio > MORE for ratio in found.values()])),
        f"From {MORE} on it counts as more. The layers are the convolutions of the first residual stage. {NET} "
        f"{updates(results)}",
        _figure(results, "cv_ratio"),
    )


def both_vary_alike_in_deep_layers(results: Results) -> Claim:
    """Compare the coefficients of variation in the last stage of the network."""
    found = _ratios(results, DEEP)
    more = [ratio > MORE for ratio in found.values()]
    alike = [(ratio < MORE) & (ratio > 1 / MORE) for ratio in found.values()]
    return Claim(
        "In deep layers emission and absorption vary equally.",
        "equally",
        _measured(results, DEEP),
        verdict(np.concatenate(alike)),
        f"Between {1 / MORE:g} and {MORE} it counts as equal. The layers are the convolutions of the last residual "
        f"stage. {OVER_FILTERS + ' ' if np.concatenate(more).any() else ''}{NET} {updates(results)}",
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
            Measured(
                f"variation of emission / of {what}, median of {stage}, {word} {study}",
                _ratio(kinds[word][study], stage, name),
            )
            for what, name in RATIOS.items()
            for study in studies
            for word in kinds
            for stage in (LOW, DEEP)
        ],
        verdict(alone),
        "It holds where the ratio falls from low to deep layers by more than twice what it falls in the same network "
        "with the weights of the start, whose batch normalizations have seen as many images. "
        + ("" if all(alone) else "What untrained networks show too is architecture, not learning."),
        _figure(results, "cv_ratio"),
    )


def filter_norms_do_not_explain_emission(results: Results) -> Claim:
    """Correlate the emission of the channels of a layer with the norms of their filters, and divide it by them."""
    kinds = {"trained": _studies(results), "untrained": _untrained(results)}
    found = {f"{word} {study}": last(one) for word, studies in kinds.items() for study, one in studies.items()}
    trained = [found[f"trained {study}"]["median_norm_correlation"].values for study in kinds["trained"]]
    norms = [middle(_median(found[f"trained {study}"]["filter_norm_channel_cv"])) for study in kinds["trained"]]
    rows = {
        "correlation of emission with the norm of the filter": "norm_correlation",
        "coefficient of variation of the norm of the filter": "filter_norm_channel_cv",
        "coefficient of variation of emission": "em_sum_channel_cv",
        "coefficient of variation of emission / norm of the filter": "em_per_norm_channel_cv",
        "correlation of emission with the gradient that arrives": "out_correlation",
    }
    return Claim(
        "That channels differ in emission is more than their filters' norms.",
        "not published; a control",
        [
            Measured(f"{words}, median layer, {who}", _median(one[name]))
            for words, name in rows.items()
            for who, one in found.items()
        ],
        verdict(np.concatenate([values**2 < 0.5 for values in trained])),
        "It holds where the norm explains less than half of the variance among channels: r² below 0.5, |r| below 0.71. "
        "Filters that all start from one distribution have norms that hardly differ, and keep them at first (here by a "
        f"coefficient of variation of {' and '.join(f'{norm:.2g}' for norm in norms)}): such norms could explain no "
        "larger difference, whatever the correlation. What a channel emits is then little but the gradient that comes "
        "to it, times what is nearly the same for all.",
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


def _ratio(found: xr.Dataset, stage: str, name: str = "cv_ratio") -> np.ndarray:
    """Give the middle ratio of the convolutions of a stage at the end, one for each run."""
    layers = [layer for layer in found["layer"].values if layer.startswith(f"{stage}.")]
    return last(found[name]).sel(layer=layers).median("layer").values


def _ratios(results: Results, stage: str) -> dict[str, np.ndarray]:
    """Give those of the runs that learned, by the name of the network."""
    return {study: _ratio(found, stage) for study, found in _studies(results).items()}


def _measured(results: Results, stage: str) -> list[Measured]:
    """Give them beside what they are with net absorption."""
    return [
        Measured(f"variation of emission / of {words}, median of {stage}, {study}", _ratio(found, stage, name))
        for words, name in RATIOS.items()
        for study, found in _studies(results).items()
    ]


def _median(array: xr.DataArray) -> np.ndarray:
    return array.median("layer").values


def _share(array: xr.DataArray) -> np.ndarray:
    return array.mean("layer").values


def _figure(results: Results, panel: str) -> str:
    return f"{next(iter(_studies(results)))}/channel_gradients-{panel}"
