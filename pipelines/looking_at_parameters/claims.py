"""What pictures of parameters seem to show, measured: lines of units, filters, and inputs that fool networks."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, of, updates, verdict
from trajlab.reports.claims import Claim, Measured

EARLY = 100
"""The last of the published iterations that lie close together; the perceptron is trained for 9,999."""

LINES = "spirals/unit_lines"

BIASES = {"random biases": "pytorch", "biases of zero": "kaiming_normal"}
"""How the biases of the perceptron start, with each init."""

OURS = "the claim is our reading"
"""Of pictures that were published without a claim."""

BEYOND = (
    "where training makes neighboring weights more alike, in each run, than 95 % of cases would be if it moved them as "
    "far whichever way their neighbors go: by chance that is so of one run in 20, and of two in one network in 400."
)

FROM_THE_START = (
    "at first neighbors were held against noise, whatever they were at the start, on either side, and without taking "
    "their common mean off."
)


def lines_move_far(results: Results) -> Claim:
    """Measure by how much the lines of the units turn, and how far they go from the middle of the data."""
    found = results[LINES]
    turned = last(found["turned"]).median("unit")
    distance = found["distance"].median("unit")
    return Claim(
        "The lines of the units move while the perceptron learns.",
        f"pictures at twelve iterations; {OURS}",
        [
            *_by_biases("angle that a line turned to the end, median", turned, "degrees"),
            *_by_biases("distance of a line from the middle of the data at the start, median", distance.isel(step=0)),
            *_by_biases("distance at the end, median", last(distance)),
        ],
        verdict((turned > 10).values),
        "A median of more than 10 degrees counts as moving. The data extend from about −1 to 1.",
        LINES,
    )


def lines_come_to_the_data(results: Results) -> Claim:
    """Count the units whose line crosses the box around the data, where biases start at random and where at zero."""
    found = results[LINES]["fraction_crossing"]
    asked = of(found, init=BIASES["random biases"])
    return Claim(
        "The lines move from random places to the data.",
        f"pictures at twelve iterations; {OURS}",
        [
            *_by_biases("units whose line crosses the data at the start", found.isel(step=0), "share"),
            *_by_biases(f"at iteration {EARLY}", found.sel(step=EARLY), "share"),
            *_by_biases("at the end", last(found), "share"),
        ],
        verdict((last(asked) > asked.isel(step=0)).values),
        "It holds where more lines cross the box around the data at the end than at the start, of runs whose biases "
        "start at random, as layers of PyTorch do by themselves. Of biases of zero it can not be asked: all lines go "
        "through the middle of the data from the start.",
        f"{LINES}-crossing",
        "at first it was asked of biases of zero, where it can not hold.",
    )


def early_iterations_move_most(results: Results) -> Claim:
    """Tell how much of the way of the weights lies before the 100th iteration, and how much would by chance."""
    path = results["spirals/drift"]["total_path_length"]
    early = path.sel(step=EARLY) / last(path)
    stride = path["step"].diff("step")
    chance = float((stride**0.5).where(stride["step"] <= EARLY).sum() / (stride**0.5).sum())
    accuracy = results["spirals/evaluation"]["accuracy"]
    turned = results[LINES]["turned"].median("unit")
    more = {one: int((of(early, optimizer=one) > chance).sum()) for one in _optimizers(early)}
    return Claim(
        "The early iterations move the lines most.",
        f"pictures at iterations 1, 4, 7, 10, 16, 34, 77, 100, 703, 1407, 2789 and 9999; {OURS}",
        [
            *_by_optimizer(f"share of the way of the weights up to iteration {EARLY}", early),
            Measured("share that a random walk of even steps would have, seen at these iterations", [chance], "share"),
            *_by_optimizer(
                f"angle that a line turned up to iteration {EARLY}, median", turned.sel(step=EARLY), "degrees"
            ),
            *_by_optimizer("angle that a line turned to the end, median", last(turned), "degrees"),
            *_by_optimizer(f"accuracy at iteration {EARLY}", accuracy.sel(step=EARLY)),
            *_by_optimizer("accuracy at the end", last(accuracy)),
        ],
        verdict([*(early > chance).values, *(early > 0.5).values]),
        "It holds where an early iteration moves the weights more than a late one, so that more of the way lies there "
        f"than of that of the walk: in {', '.join(f'{count} runs with {one}' for one, count in more.items())}, of "
        f"{early.size}; and where more than half of it does: in {int((early > 0.5).sum())}. The way is taken from "
        "snapshot to snapshot, and late ones lie far apart: there it is longer than what is seen of it.",
        "spirals/drift",
        "at first both were asked together, which holds in none of the runs.",
    )


def first_filters_show_structure(results: Results) -> Claim:
    """Correlate neighboring weights in the images of the filters of the first layer."""
    return Claim(
        "The filters of the first layer show structure.",
        f"pictures, in which we see edges and spots of color; {OURS}",
        _alike(results, "filters"),
        verdict(_structured(results, "filters").values()),
        f"It holds of a network {BEYOND} Edges finer than a weight make neighbors less alike, and are not counted. "
        f"{_found(results, 'filters')} {updates(results)}",
        f"{next(iter(_named(results, 'filters')))}/filters-kernel",
        FROM_THE_START,
    )


def second_filters_look_like_noise(results: Results) -> Claim:
    """Correlate neighboring weights in the images of the filters of the second layer."""
    found = _named(results, "filters_second")
    structured = _structured(results, "filters_second")
    kurtosis = {
        study: last(results[f"{study}/distribution"]["excess_kurtosis"].sel(parameter=one.attrs["parameter"])).values
        for study, one in found.items()
    }
    return Claim(
        "The filters of the second layer look like noise.",
        f"pictures, in which we see noise; {OURS}",
        [
            *_alike(results, "filters_second"),
            *(Measured(f"excess kurtosis of the weights, {study}", values) for study, values in kurtosis.items()),
        ],
        verdict(not one for one in structured.values()),
        f"It does not hold of a network {BEYOND} "
        + ("What an eye takes for noise has neighbors that are a little alike. " if any(structured.values()) else "")
        + f"{_found(results, 'filters_second')} {updates(results)}",
        f"{next(iter(found))}/filters_second-kernel",
        FROM_THE_START,
    )


def second_layer_is_noise(results: Results) -> Claim:
    """Count the singular values of the second layer that stand out of noise, and out of its own weights shuffled."""
    spectra = {
        study: last(results[f"{study}/spectrum"].sel(parameter=one.attrs["parameter"]))
        for study, one in _named(results, "filters_second").items()
    }
    noise = [found["mp_spikes"] <= found["mp_spikes_null"] for found in spectra.values()]
    return Claim(
        "The matrix of the second layer's filters is noise, too.",
        "not published; a control of the claim above",
        [
            *(
                Measured(f"singular values of the second layer beyond noise, {study}", found["mp_spikes"].values)
                for study, found in spectra.items()
            ),
            *(
                Measured(f"the same, its weights shuffled, {study}", found["mp_spikes_null"].values)
                for study, found in spectra.items()
            ),
        ],
        verdict(np.concatenate([one.values for one in noise])),
        "It holds where no more singular values of the matrix of filters stand out than of its own entries in random "
        "order, whose mean, if it is not zero, stands out in both.",
        f"{next(iter(spectra))}/spectrum",
    )


def adversarial_accuracy_falls(results: Results) -> Claim:
    """Follow the accuracy on inputs that were moved against the network, further and further, or blindly."""
    found = _named(results, "attribution")
    accuracy, noise = (
        {study: last(one[f"{kind}_accuracy"]) for study, one in found.items()} for kind in ("adversarial", "noise")
    )
    falls = {
        study: (one.diff("epsilon") <= 0).all("epsilon")
        & (one.isel(epsilon=-1) < one.isel(epsilon=0))
        & (one.isel(epsilon=slice(1, None)) < noise[study].isel(epsilon=slice(1, None))).all("epsilon")
        for study, one in accuracy.items()
    }
    return Claim(
        "The further inputs are moved against the network, the less of them it gets right.",
        f"pictures of adversarial samples; {OURS}",
        [
            Measured(f"accuracy at ε = {float(size):g}{blindly}, {study}", one.sel(epsilon=size).values, "share")
            for study in found
            for blindly, one in (("", accuracy[study]), (" in random directions", noise[study]))
            for size in one["epsilon"].values[[0, one.sizes["epsilon"] // 2, -1][len(blindly) > 0 :]]
        ],
        verdict(np.concatenate([one.values for one in falls.values()])),
        "It holds where it falls with ε, and below what as large steps in random directions leave. ε is in units of "
        "normalized images; one step by the sign of the gradient.",
        f"{next(iter(accuracy))}/attribution",
    )


def _named(results: Results, result: str) -> dict[str, xr.Dataset]:
    """Give a result of each network that has it, by the name of the network."""
    return {name.partition("/")[0]: found for name, found in results.items() if name.partition("/")[2] == result}


def _beyond(found: xr.Dataset) -> np.ndarray:
    """Say of each run whether training made neighbors more alike than by chance."""
    return (last(found["neighbor_correlation"]) > last(found["neighbor_chance"])).values


def _structured(results: Results, result: str) -> dict[str, bool]:
    """Say of each network whether training made neighbors more alike than by chance in all of its runs."""
    return {study: bool(_beyond(found).all()) for study, found in _named(results, result).items()}


def _found(results: Results, result: str) -> str:
    """Count the runs of each network whose neighbors are more alike than by chance."""
    counts = {study: _beyond(found) for study, found in _named(results, result).items()}
    return f"Runs beyond chance: {', '.join(f'{name} {one.sum()} of {one.size}' for name, one in counts.items())}."


def _alike(results: Results, result: str) -> list[Measured]:
    rows = {
        "correlation of neighbors at the end": ("neighbor_correlation", -1),
        "at the start": ("neighbor_correlation", 0),
        "at the end by chance, in 95 % of cases below": ("neighbor_chance", -1),
    }
    return [
        Measured(f"{what}, {study}", found[name].isel(step=step).values)
        for study, found in _named(results, result).items()
        for what, (name, step) in rows.items()
    ]


def _optimizers(array: xr.DataArray) -> list[str]:
    return sorted(set(map(str, array["optimizer"].values)))


def _by_optimizer(what: str, array: xr.DataArray, unit: str = "share") -> list[Measured]:
    """Give what was measured of the runs of each optimizer."""
    return [Measured(f"{what}, {one}", of(array, optimizer=one).values, unit) for one in _optimizers(array)]


def _by_biases(what: str, array: xr.DataArray, unit: str = "") -> list[Measured]:
    """Give what was measured of the runs of each start of the biases."""
    return [Measured(f"{what}, {words}", of(array, init=init).values, unit) for words, init in BIASES.items()]
