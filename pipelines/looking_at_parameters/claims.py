"""Claims about pictures of parameters: lines of units, filters, and adversarial inputs."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, by_network, last, measured, of, updates, verdict
from trajlab.reports.claims import Claim, Measured

EARLY = 100
"""Last of the published iterations that lie close together; the perceptron trains for 9,999."""

LINES = "spirals/unit_lines"

BIASES = {"random biases": "pytorch", "biases of zero": "kaiming_normal"}
"""Inits of the perceptron, by the start of its biases."""

OURS = "the claim is our reading"
"""Of pictures that were published without a claim."""

BEYOND = (
    "training makes neighboring weights more similar, in each run, than the 95 % quantile under chance: movements of "
    "the same size regardless of the neighbors. By chance alone this happens in one run of 20, and in all three runs "
    "of one network in 8,000."
)

FROM_THE_START = (
    "at first neighbors were compared with noise, whatever they were at the start, two-sided, and without subtracting "
    "their common mean."
)


def lines_move_far(results: Results) -> Claim:
    """Measure how far the lines of the units turn, and their distance from the center of the data."""
    lines = results[LINES]
    turned = last(lines["turned"]).median("unit")
    distance = lines["distance"].median("unit")
    return Claim(
        "The lines of the units move while the perceptron learns.",
        f"pictures at twelve iterations; {OURS}",
        [
            *measured("angle that a line turned by the end, median", _by_biases(turned), "degrees"),
            *measured(
                "distance of a line from the center of the data at the start, median",
                _by_biases(distance.isel(step=0)),
            ),
            *measured("distance at the end, median", _by_biases(last(distance))),
        ],
        verdict((turned > 10).values),
        "Criterion: a median of more than 10 degrees. The data extend from about −1 to 1.",
        LINES,
    )


def lines_come_to_the_data(results: Results) -> Claim:
    """Count the units whose line crosses the bounding box of the data, with random biases and with biases of zero."""
    crossing = results[LINES]["fraction_crossing"]
    random = of(crossing, init=BIASES["random biases"])
    return Claim(
        "The lines move from random places to the data.",
        f"pictures at twelve iterations; {OURS}",
        [
            *measured("units whose line crosses the data at the start", _by_biases(crossing.isel(step=0)), "share"),
            *measured(f"at iteration {EARLY}", _by_biases(crossing.sel(step=EARLY)), "share"),
            *measured("at the end", _by_biases(last(crossing)), "share"),
        ],
        verdict((last(random) > random.isel(step=0)).values),
        "Criterion: more lines cross the bounding box of the data at the end than at the start, in runs with random "
        "biases, PyTorch's default. Runs with biases of zero are not judged: their lines all pass through the center "
        "of the data at the start.",
        f"{LINES}-crossing",
        "at first the criterion was applied to biases of zero, for which it cannot hold.",
    )


def early_iterations_move_most(results: Results) -> Claim:
    """Compare the share of the weights' path before the 100th iteration with that of a random walk."""
    path = results["spirals/drift"]["total_path_length"]
    early = path.sel(step=EARLY) / last(path)
    stride = path["step"].diff("step")
    chance = float((stride**0.5).where(stride["step"] <= EARLY).sum() / (stride**0.5).sum())
    accuracy = results["spirals/evaluation"]["accuracy"]
    turned = results[LINES]["turned"].median("unit")
    counts = {name: int((values > chance).sum()) for name, values in _by_optimizer(early).items()}
    return Claim(
        "The early iterations move the lines most.",
        f"pictures at iterations 1, 4, 7, 10, 16, 34, 77, 100, 703, 1407, 2789 and 9999; {OURS}",
        [
            *measured(f"share of the weights' path up to iteration {EARLY}", _by_optimizer(early), "share"),
            Measured("the same of a random walk with equal steps, recorded at these iterations", [chance], "share"),
            *measured(
                f"angle that a line turned up to iteration {EARLY}, median",
                _by_optimizer(turned.sel(step=EARLY)),
                "degrees",
            ),
            *measured("angle that a line turned by the end, median", _by_optimizer(last(turned)), "degrees"),
            *measured(f"accuracy at iteration {EARLY}", _by_optimizer(accuracy.sel(step=EARLY)), "share"),
            *measured("accuracy at the end", _by_optimizer(last(accuracy)), "share"),
        ],
        verdict([*(early > chance).values, *(early > 0.5).values]),
        "Criteria: a larger share of the path than a random walk's (an early iteration then moves the weights more "
        f"than a late one): {', '.join(f'{count} runs with {name}' for name, count in counts.items())}, of "
        f"{early.size}; and more than half of the path: {int((early > 0.5).sum())}. The path is measured between "
        "snapshots; late ones lie far apart, which underestimates it there.",
        "spirals/drift",
        "at first both criteria were one, which holds in no run.",
    )


def first_filters_show_structure(results: Results) -> Claim:
    """Correlate neighboring weights in the filters of the first layer."""
    filters = _trained(results, "filters")
    return Claim(
        "The filters of the first layer show structure.",
        f"pictures, in which we see edges and spots of color; {OURS}",
        _correlations(filters),
        verdict(beyond.all() for beyond in _beyond_chance(filters).values()),
        f"Criterion for a network: {BEYOND} Edges finer than a weight make neighbors less similar, and are not "
        f"counted. {_counts(filters)} {updates(results)}",
        f"{next(iter(filters))}/filters-kernel",
        FROM_THE_START,
    )


def second_filters_look_like_noise(results: Results) -> Claim:
    """Correlate neighboring weights in the filters of the second layer."""
    filters = _trained(results, "filters_second")
    structured = [beyond.all() for beyond in _beyond_chance(filters).values()]
    kurtosis = {
        study: last(results[f"{study}/distribution"]["excess_kurtosis"].sel(parameter=result.attrs["parameter"]))
        for study, result in filters.items()
    }
    return Claim(
        "The filters of the second layer look like noise.",
        f"pictures, in which we see noise; {OURS}",
        [*_correlations(filters), *measured("excess kurtosis of the weights", kurtosis)],
        verdict(not shows for shows in structured),
        f"Criterion against a network: {BEYOND} "
        + ("What looks like noise has neighbors that are slightly similar. " if any(structured) else "")
        + f"{_counts(filters)} {updates(results)}",
        f"{next(iter(filters))}/filters_second-kernel",
        FROM_THE_START,
    )


def second_layer_is_noise(results: Results) -> Claim:
    """Count the singular values of the second layer beyond noise, and those of its shuffled weights."""
    spectra = {
        study: last(results[f"{study}/spectrum"].sel(parameter=result.attrs["parameter"]))
        for study, result in _trained(results, "filters_second").items()
    }
    spikes, null = (
        {study: spectrum[name] for study, spectrum in spectra.items()} for name in ("mp_spikes", "mp_spikes_null")
    )
    return Claim(
        "The matrix of the second layer's filters is noise, too.",
        "not published; control of the claim above",
        [
            *measured("singular values of the second layer beyond noise", spikes),
            *measured("singular values of its shuffled weights beyond noise", null),
        ],
        verdict(np.concatenate([(spikes[study] <= null[study]).values for study in spectra])),
        "Criterion: no more singular values exceed noise than after shuffling the entries. A nonzero mean of the "
        "entries exceeds it in both.",
        f"{next(iter(spectra))}/spectrum",
    )


def adversarial_accuracy_falls(results: Results) -> Claim:
    """Compare the accuracy on adversarial inputs over ε, and with steps of equal size in random directions."""
    attribution = by_network(results, "attribution")
    accuracy, noise = (
        {study: last(result[f"{kind}_accuracy"]) for study, result in attribution.items()}
        for kind in ("adversarial", "noise")
    )
    falls = {
        study: (values.diff("epsilon") <= 0).all("epsilon")
        & (values.isel(epsilon=-1) < values.isel(epsilon=0))
        & (values.isel(epsilon=slice(1, None)) < noise[study].isel(epsilon=slice(1, None))).all("epsilon")
        for study, values in accuracy.items()
    }
    return Claim(
        "The larger the adversarial perturbation, the lower the accuracy.",
        f"pictures of adversarial samples; {OURS}",
        [
            Measured(f"accuracy at ε = {float(size):g}{direction}, {study}", values.sel(epsilon=size).values, "share")
            for study in attribution
            for direction, values, first in (("", accuracy[study], 0), (" in random directions", noise[study], 1))
            for size in values["epsilon"].values[[0, values.sizes["epsilon"] // 2, -1][first:]]
        ],
        verdict(np.concatenate([fall.values for fall in falls.values()])),
        "Criterion: it falls with ε, and below the accuracy after steps of equal size in random directions. One step "
        "by the sign of the gradient; ε is in units of normalized images.",
        f"{next(iter(accuracy))}/attribution",
    )


def _trained(results: Results, stage: str) -> dict[str, xr.Dataset]:
    """Return the results of networks that trained here, by network; of others only their weights are shown."""
    return {study: result for study, result in by_network(results, stage).items() if result.sizes["step"] > 1}


def _beyond_chance(filters: dict[str, xr.Dataset]) -> dict[str, np.ndarray]:
    """Return for each network and run whether training made neighbors more similar than chance."""
    return {
        study: (last(result["neighbor_correlation"]) > last(result["neighbor_chance"])).values
        for study, result in filters.items()
    }


def _counts(filters: dict[str, xr.Dataset]) -> str:
    counts = [f"{study} {beyond.sum()} of {beyond.size}" for study, beyond in _beyond_chance(filters).items()]
    return f"Runs beyond chance: {', '.join(counts)}."


def _correlations(filters: dict[str, xr.Dataset]) -> list[Measured]:
    rows = {
        "correlation of neighbors at the end": ("neighbor_correlation", -1),
        "correlation of neighbors at the start": ("neighbor_correlation", 0),
        "95 % quantile under chance at the end": ("neighbor_chance", -1),
    }
    return [
        Measured(f"{words}, {study}", result[name].isel(step=step).values)
        for study, result in filters.items()
        for words, (name, step) in rows.items()
    ]


def _by_optimizer(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the runs of each optimizer."""
    return {name: of(array, optimizer=name) for name in sorted(set(map(str, array["optimizer"].values)))}


def _by_biases(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the runs of each start of the biases."""
    return {words: of(array, init=init) for words, init in BIASES.items()}
