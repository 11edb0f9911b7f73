"""Claims about the channels of residual networks: which emit gradients, and which absorb them."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, by_network, last, measured, middle, of, updates, verdict
from trajlab.reports.claims import Claim, Measured

LOW, DEEP = "layer1", "layer4"
"""First and last stage of a residual network; the convolution before them has only three input channels."""

PUBLISHED = "channel_gradients_published"
"""Result with the published signal and mode of batch normalization."""

SIDES = {"emission": "em_sum", "absorption": "ab_sum"}

STILL = "still"
"""Optimizer with learning rate 0."""

UNTRAINED = "_untrained"
"""Suffix of the study that is the control of a pretrained network."""

MORE = 1.25
"""Ratio from which on emission varies more than absorption; between its inverse and it they vary equally."""

RATIOS = {"absorption": "cv_ratio", "net absorption": "net_cv_ratio"}
"""Ratios of the coefficients of variation, by the denominator; the verdict is on the first."""

OVER_FILTERS = (
    "The absorption of an input channel sums norms over all filters of the layer, up to 512 of them; where these "
    "are still close to random, their differences cancel. The emission of an output channel depends on its own "
    "gradient alone."
)

NET = (
    "The size of the ratio depends on the quantity: absorption sums the norms of what each filter sends; net "
    "absorption is the norm of the sum, the gradient at the input. The verdict is on absorption."
)


def channels_of_a_layer_differ_in_variance(results: Results) -> Claim:
    """Compare the variation among channels of the variance over images with that of equal channels."""
    measurements, beyond = _variation(_trained(results, PUBLISHED), "variance over images of ", "_variance_channel")
    return Claim(
        "The channels of one layer differ in the variance of emission and absorption over images.",
        "each channel has a different variance, even in the same layer",
        measurements,
        verdict(beyond > 0.9),
        "Criterion: in nine of ten layers the variances of the channels vary more than those of equal channels do in "
        "19 of 20 cases. For equal channels, the channels of each image are shuffled.",
        _figure(results, "sorted", PUBLISHED),
    )


def emission_varies_more_over_images(results: Results) -> Claim:
    """Compare the variance over images of emission with that of absorption, averaged over the channels of a layer."""
    trained = _trained(results, PUBLISHED)
    ratios = {study: _median(last(result)["variance_ratio"]) for study, result in trained.items()}
    stages = {
        words: {study: _ratio(result, stage, name) for study, result in trained.items()}
        for words, stage, name in (
            (f"variance of emission / of absorption, median of {LOW}", LOW, "variance_ratio"),
            (f"variance of emission / of absorption, median of {DEEP}", DEEP, "variance_ratio"),
            (f"the same relative to squared means, {LOW}", LOW, "relative_variance_ratio"),
            (f"the same relative to squared means, {DEEP}", DEEP, "relative_variance_ratio"),
        )
    }
    return Claim(
        "Over images, emission has a higher variance than absorption.",
        "emission has the higher variance; heights of boxes, without numbers",
        [
            *measured("variance of emission / of absorption, median layer", ratios),
            *(row for words, values in stages.items() for row in measured(words, values)),
        ],
        verdict(np.concatenate([ratio > 1 for ratio in ratios.values()])),
        "Criterion: a ratio above 1 in the median layer. Emission of a channel sums norms over the input channels of "
        "its layer, absorption over the output channels: where a layer has more output channels than input channels, "
        "absorption has more terms. Relative to the squared mean of each channel this does not matter. "
        f"{updates(results)}",
        _figure(results, "variance_ratio", PUBLISHED),
    )


def channels_of_a_layer_differ(results: Results) -> Claim:
    """Compare the variation among the channels of each layer with that of equal channels."""
    measurements, beyond = _variation(_trained(results), "", "_channel")
    return Claim(
        "The channels of one layer differ in mean emission and absorption.",
        "not published; our question",
        measurements,
        verdict(beyond > 0.9),
        "Criterion: nine of ten layers vary more than the 95 % quantile for equal channels. The quantile comes from "
        "shuffling the channels within each sample, which cancels what all channels of a sample share, such as its "
        f"loss. That channels differ says nothing about how much. {OVER_FILTERS}",
        _figure(results, "variation"),
        "at first each channel of a sample counted as independent, although channels mostly share the scale of the "
        "sample, and the threshold was the mean under chance, not its 95 % quantile.",
    )


def emission_varies_more_in_low_layers(results: Results) -> Claim:
    """Compare the coefficients of variation in the first stage of the network."""
    ratios = _ratios(results, LOW)
    return Claim(
        "In low layers emission varies more between channels than absorption.",
        "not published; our reading of a figure of variances over images",
        _measured_ratios(results, LOW),
        verdict(np.concatenate([ratio > MORE for ratio in ratios.values()])),
        f"Criterion: a ratio above {MORE}. The layers are the convolutions of the first residual stage. {NET} "
        f"{updates(results)}",
        _figure(results, "cv_ratio"),
    )


def both_vary_alike_in_deep_layers(results: Results) -> Claim:
    """Compare the coefficients of variation in the last stage of the network."""
    ratios = _ratios(results, DEEP)
    more = [ratio > MORE for ratio in ratios.values()]
    equal = [(ratio < MORE) & (ratio > 1 / MORE) for ratio in ratios.values()]
    return Claim(
        "In deep layers emission and absorption vary equally between channels.",
        "not published; our reading of a figure of variances over images",
        _measured_ratios(results, DEEP),
        verdict(np.concatenate(equal)),
        f"Criterion: a ratio between {1 / MORE:g} and {MORE}. The layers are the convolutions of the last residual "
        f"stage. {OVER_FILTERS + ' ' if np.concatenate(more).any() else ''}{NET} {updates(results)}",
        _figure(results, "cv_ratio"),
    )


def the_pattern_is_learned(results: Results) -> Claim:
    """Compare the difference between low and deep layers with that in untrained networks."""
    kinds = {"trained": _trained(results), "untrained": _untrained(results)}
    studies = kinds["trained"]
    falls = {
        (study, word): np.median(_ratio(of_kind[study], LOW)) - np.median(_ratio(of_kind[study], DEEP))
        for study in studies
        for word, of_kind in kinds.items()
    }
    learned = [falls[study, "trained"] > max(2 * falls[study, "untrained"], 0) for study in studies]
    return Claim(
        "The difference between low and deep layers comes from training.",
        "not published; control of the two claims above",
        [
            Measured(
                f"variation of emission / of {words}, median of {stage}, {kind} {study}",
                _ratio(kinds[kind][study], stage, name),
            )
            for words, name in RATIOS.items()
            for study in studies
            for kind in kinds
            for stage in (LOW, DEEP)
        ],
        verdict(learned),
        "Criterion: the ratio falls from low to deep layers by more than twice its fall in the same network with its "
        "initial weights, whose batch normalization has seen as many images. "
        + ("" if all(learned) else "What untrained networks also show is architecture, not learning."),
        _figure(results, "cv_ratio"),
    )


def filter_norms_do_not_explain_emission(results: Results) -> Claim:
    """Correlate the emission of the channels of a layer with the norms of their filters, and divide it by them."""
    kinds = {"trained": _trained(results), "untrained": _untrained(results)}
    ends = {f"{kind} {study}": last(result) for kind, studies in kinds.items() for study, result in studies.items()}
    correlations = [ends[f"trained {study}"]["median_norm_correlation"].values for study in kinds["trained"]]
    norms = [middle(_median(ends[f"trained {study}"]["filter_norm_channel_cv"])) for study in kinds["trained"]]
    quantities = {
        "correlation of emission with the norm of the filter": "norm_correlation",
        "coefficient of variation of the norm of the filter": "filter_norm_channel_cv",
        "coefficient of variation of emission": "em_sum_channel_cv",
        "coefficient of variation of emission / norm of the filter": "em_per_norm_channel_cv",
        "correlation of emission with the incoming gradient": "out_correlation",
    }
    return Claim(
        "The norms of the filters do not explain why channels differ in emission.",
        "not published; a control",
        [
            row
            for words, name in quantities.items()
            for row in measured(f"{words}, median layer", {key: _median(end[name]) for key, end in ends.items()})
        ],
        verdict(np.concatenate([values**2 < 0.5 for values in correlations])),
        "Criterion: the norm explains less than half of the variance among channels (r² below 0.5, |r| below 0.71). "
        "Filters drawn from one distribution have almost equal norms, and keep them at first (here the coefficient of "
        f"variation is {' and '.join(f'{norm:.2g}' for norm in norms)}): such norms could not explain a larger "
        "difference, whatever the correlation. Emission is then almost proportional to the incoming gradient.",
        _figure(results, "norm_correlation"),
    )


def _trained(results: Results, stage: str = "channel_gradients") -> dict[str, xr.Dataset]:
    """Return the results of trained runs by network."""
    return {
        study: of(result, optimizer=[name for name in result["optimizer"].values if name != STILL] or STILL)
        for study, result in by_network(results, stage).items()
        if not study.endswith(UNTRAINED)
    }


def _variation(studies: dict[str, xr.Dataset], of_what: str, suffix: str) -> tuple[list[Measured], np.ndarray]:
    """Return how much channels vary, beside equal ones, and the share of layers where they vary more, by run."""
    rows, beyond = [], []
    for study, result in studies.items():
        for word, name in SIDES.items():
            variation, noise = (last(result)[f"{name}{suffix}_{key}"] for key in ("cv", "noise"))
            beyond.append(_share(variation > noise))
            rows += [
                Measured(f"coefficient of variation of {of_what}{word}, median layer, {study}", _median(variation)),
                Measured(f"95 % quantile of that of {of_what}{word} for equal channels, {study}", _median(noise)),
                Measured(f"layers where {of_what}{word} varies more than that, {study}", beyond[-1], "share"),
            ]
    return rows, np.concatenate(beyond)


def _untrained(results: Results) -> dict[str, xr.Dataset]:
    """Return the results of runs with their initial weights by network."""
    networks = by_network(results, "channel_gradients")
    return {
        study: of(networks.get(f"{study}{UNTRAINED}", networks[study]), optimizer=STILL) for study in _trained(results)
    }


def _ratio(result: xr.Dataset, stage: str, name: str = "cv_ratio") -> np.ndarray:
    """Return the median ratio over the convolutions of a stage at the end, for each run."""
    layers = [layer for layer in result["layer"].values if layer.startswith(f"{stage}.")]
    return last(result[name]).sel(layer=layers).median("layer").values


def _ratios(results: Results, stage: str, name: str = "cv_ratio") -> dict[str, np.ndarray]:
    """Return the ratios of trained runs by network."""
    return {study: _ratio(result, stage, name) for study, result in _trained(results).items()}


def _measured_ratios(results: Results, stage: str) -> list[Measured]:
    return [
        row
        for words, name in RATIOS.items()
        for row in measured(f"variation of emission / of {words}, median of {stage}", _ratios(results, stage, name))
    ]


def _median(array: xr.DataArray) -> np.ndarray:
    return array.median("layer").values


def _share(array: xr.DataArray) -> np.ndarray:
    return array.mean("layer").values


def _figure(results: Results, panel: str, stage: str = "channel_gradients") -> str:
    return f"{next(iter(_trained(results, stage)))}/{stage}-{panel}"
