"""What pictures of parameters were said to show, measured: lines of units, filters, and inputs that fool networks."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, updates, verdict
from trajlab.claims import Claim, Measured

EARLY = 100
"""The last of the published iterations that lie close together; the perceptron is trained for 9,999."""

LINES = "spirals/unit_lines"


def lines_move_far(results: Results) -> Claim:
    """Measure by how much the lines of the units turn, and how far they go from the middle of the data."""
    found = results[LINES]
    turned = last(found["turned"]).median("unit").values
    distance = found["distance"].median("unit")
    return Claim(
        "The lines of the units move while the perceptron learns.",
        "pictures at twelve iterations",
        [
            Measured("angle that a line turned to the end, median", turned, "degrees"),
            Measured(
                "distance of a line from the middle of the data at the start, median", distance.isel(step=0).values
            ),
            Measured("distance at the end, median", last(distance).values),
        ],
        verdict(turned > 10),
        "A median of more than 10 degrees counts as moving. The data extend from about −1 to 1.",
        LINES,
    )


def lines_come_to_the_data(results: Results) -> Claim:
    """Count the units whose line crosses the box around the data."""
    crossing = results[LINES]["fraction_crossing"]
    start, end = crossing.isel(step=0).values, last(crossing).values
    reason = "Biases start at zero, so that every line goes through the middle of the data from the start. "
    left = "Training takes some of them out of the data. " if (end < start).any() else ""
    return Claim(
        "The lines move from random places to the data.",
        "random at first, at the data at last",
        [
            Measured("units whose line crosses the data at the start", start, "share"),
            Measured(f"at iteration {EARLY}", crossing.sel(step=EARLY).values, "share"),
            Measured("at the end", end, "share"),
        ],
        verdict(end > start),
        "It holds where more lines cross the box around the data at the end than at the start."
        + (f" {reason}{left}What moves is told above." if (start == 1).all() else ""),
        f"{LINES}-crossing",
    )


def early_iterations_move_most(results: Results) -> Claim:
    """Tell how much of the way of the weights lies before the 100th iteration, and how much would by chance."""
    path = results["spirals/drift"]["total_path_length"]
    early = (path.sel(step=EARLY) / last(path)).values
    stride = path["step"].diff("step")
    chance = float((stride**0.5).where(stride["step"] <= EARLY).sum() / (stride**0.5).sum())
    accuracy = results["spirals/evaluation"]["accuracy"]
    turned = results[LINES]["turned"].median("unit")
    return Claim(
        "The early iterations move the lines most.",
        "pictures at iterations 1, 4, 7, 10, 16, 34, 77, 100, 703, 1407, 2789 and 9999",
        [
            Measured(f"share of the way of the weights up to iteration {EARLY}", early, "share"),
            Measured("share that a random walk of even steps would have, seen at these iterations", [chance], "share"),
            Measured(
                f"angle that a line turned up to iteration {EARLY}, median", turned.sel(step=EARLY).values, "degrees"
            ),
            Measured("to the end", last(turned).values, "degrees"),
            Measured(f"accuracy at iteration {EARLY}", accuracy.sel(step=EARLY).values, "share"),
            Measured("accuracy at the end", last(accuracy).values, "share"),
        ],
        verdict([*(early > chance), *(early > 0.5)]),
        "It holds where an early iteration moves the weights more than a late one, so that more of the way lies there "
        "than of that of the walk; and where more than half of it does. The way is taken from snapshot to snapshot, "
        "and late ones lie far apart: there it is longer than what is seen of it.",
        "spirals/drift",
        "at first both were asked together, which holds in none of the runs.",
    )


def first_filters_show_structure(results: Results) -> Claim:
    """Correlate neighboring weights in the images of the filters of the first layer."""
    return Claim(
        "The filters of the first layer show structure.",
        "edges and spots of color in the pictures",
        [*_alike(results, "filters"), *_untouched(results, "filters")],
        verdict(np.concatenate([_beyond(found) for found in _named(results, "filters").values()])),
        "It holds where neighboring weights are more alike, or more unlike, than 95 % of noise. " + updates(results),
        f"{next(iter(_named(results, 'filters')))}/filters-kernel",
    )


def second_filters_look_like_noise(results: Results) -> Claim:
    """Correlate neighboring weights in the images of the filters of the second layer."""
    found = _named(results, "filters_second")
    noise = np.concatenate([~_beyond(one) for one in found.values()])
    kurtosis = {
        study: last(results[f"{study}/distribution"]["excess_kurtosis"].sel(parameter=one.attrs["parameter"])).values
        for study, one in found.items()
    }
    return Claim(
        "The filters of the second layer look like noise.",
        "like noise, as images",
        [
            *_alike(results, "filters_second"),
            *_untouched(results, "filters_second"),
            *(Measured(f"excess kurtosis of the weights, {study}", values) for study, values in kurtosis.items()),
        ],
        verdict(noise),
        "It holds where neighboring weights are as alike as 95 % of noise, which starts without structure in each run. "
        + ("" if noise.all() else "What an eye takes for noise has neighbors that are alike. ")
        + updates(results),
        f"{next(iter(found))}/filters_second-kernel",
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
    """Follow the accuracy on inputs that were moved against the network, further and further."""
    accuracy = {study: last(found["adversarial_accuracy"]) for study, found in _named(results, "attribution").items()}
    falls = {
        study: (one.diff("epsilon") <= 0).all("epsilon") & (one.isel(epsilon=-1) < one.isel(epsilon=0))
        for study, one in accuracy.items()
    }
    return Claim(
        "The further inputs are moved against the network, the less of them it gets right.",
        "pictures of adversarial samples",
        [
            Measured(f"accuracy at ε = {float(size):g}, {study}", one.sel(epsilon=size).values, "share")
            for study, one in accuracy.items()
            for size in one["epsilon"].values[[0, one.sizes["epsilon"] // 2, -1]]
        ],
        verdict(np.concatenate([one.values for one in falls.values()])),
        "ε is in units of normalized images; one step by the sign of the gradient.",
        f"{next(iter(accuracy))}/attribution",
    )


def _named(results: Results, result: str) -> dict[str, xr.Dataset]:
    """Give a result of each network that has it, by the name of the network."""
    return {name.partition("/")[0]: found for name, found in results.items() if name.partition("/")[2] == result}


def _beyond(found: xr.Dataset) -> np.ndarray:
    """Say of each run whether neighbors correlate beyond 95 % of noise, on either side, at the end."""
    return (abs(last(found["neighbor_correlation"])) > found["neighbor_noise"]).values


def _alike(results: Results, result: str) -> list[Measured]:
    found = _named(results, result)
    return [
        *(
            Measured(f"correlation of neighbors, {study}", last(one["neighbor_correlation"]).values)
            for study, one in found.items()
        ),
        *(
            Measured(f"most that noise has in 95 %, {study}", one["neighbor_noise"].values.ravel())
            for study, one in found.items()
        ),
    ]


def _untouched(results: Results, result: str) -> list[Measured]:
    return [
        Measured(f"correlation of neighbors at the start, {study}", one["neighbor_correlation"].isel(step=0).values)
        for study, one in _named(results, result).items()
    ]
