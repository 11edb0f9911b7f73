"""What was claimed of the parameters of LeNet, ResNet-18 and VGG while they train, and after disturbed starts."""

from itertools import product

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, of, updates, verdict
from trajlab.claims import Claim, Measured

ONE_BY_ONE = 6_946_816
"""Parameters of ResNet-18 that meet nothing but padding where the last stage has 1x1 maps: 62.13 % of 11,181,642.

The first convolution of the stage is 3x3 of stride 2 on 2x2 maps: 5 of its 9 taps, 655,360 entries. The other three are
3x3 on 1x1 maps: 8 of 9 taps, 2,097,152 entries each.
"""

OPTIMIZERS = ("sgd", "adam")


def resnet_keeps_most_of_its_parameters(results: Results) -> Claim:
    """Count the entries whose bits are those of the start at the end."""
    kept = {study: _kept(results, study) for study in _studies(results, "resnet18", but="stem3")}
    return Claim(
        "ResNet-18 keeps over 60 % of its parameters unchanged.",
        "over 60 %",
        [Measured(f"unchanged to the bit at the end, {study}", array.values, "share") for study, array in kept.items()],
        verdict(np.concatenate([array > 0.6 for array in kept.values()])),
        "This is no property of the training: see the next line.",
        f"{next(iter(kept))}/drift",
    )


def kept_parameters_meet_only_padding(results: Results) -> Claim:
    """Tell what the unchanged entries are, and take their cause away with a 3x3 stem."""
    studies = _studies(results, "resnet18", but="stem3")
    structural = {study: _structural(results, study) for study in studies}
    stem = next(study for study in _studies(results, "resnet18") if "stem3" in study)
    without = _kept(results, stem)
    as_counted = [abs(array / ONE_BY_ONE - 1) < 0.001 for array in structural.values()]
    return Claim(
        "The unchanged parameters of ResNet-18 are kernel taps that see only padding, and a 3x3 stem makes them move.",
        "not published; 6,946,816 entries, 62.13 %, by counting taps on the 1x1 maps of the last stage",
        [
            *(
                Measured(f"taps that never get a gradient, {study}", array.values, "entries")
                for study, array in structural.items()
            ),
            Measured(f"unchanged to the bit at the end, {stem}", without.values, "share"),
        ],
        verdict([*np.concatenate(as_counted), *(without < 0.1)]),
        "The original stem shrinks 32x32 images by 32, so that the last stage has 1x1 maps. Less than 10 % unchanged "
        "counts as moving. " + ("" if bool((without < 0.1).all()) else updates(results)),
        f"{studies[0]}/drift",
    )


def lenet_and_vgg_change_almost_all(results: Results) -> Claim:
    """Count the entries whose bits are not those of the start at the end."""
    studies = [study for name in ("lenet", "vgg") for study in _studies(results, name)]
    changed = {study: 1 - _kept(results, study) for study in studies}
    holds = verdict(np.concatenate([array > 0.9 for array in changed.values()]))
    return Claim(
        "LeNet and VGG change over 90 % of their parameters.",
        "over 90 %",
        [
            *(Measured(f"changed at the end, {study}", array.values, "share") for study, array in changed.items()),
            *(
                Measured(f"unchanged in whole units, {study}", _dead(results, study).values, "share")
                for study in studies
            ),
        ],
        holds,
        ""
        if holds == "yes"
        else "The rest is single entries more than whole units: their input was never on while "
        f"their unit got a gradient. {updates(results)}",
        f"{studies[0]}/drift",
    )


def sgd_ends_near_its_start(results: Results) -> Claim:
    """Compare how far SGD and Adam ended from their start, in large networks."""
    studies = [study for name in ("resnet18", "vgg") for study in _studies(results, name, but="stem3")]
    far = {
        (study, optimizer): last(_plain(results, study, optimizer, "total_relative"))
        for study in studies
        for optimizer in OPTIMIZERS
    }
    return Claim(
        "In large networks SGD ends near its start, and Adam does not.",
        "SGD near, Adam far",
        [
            Measured(f"distance from the start, {study}, {optimizer}", array.values, "share")
            for (study, optimizer), array in far.items()
        ]
        + [
            Measured(f"{words}, {study}, {optimizer}", last(_plain(results, study, optimizer, name)).values)
            for words, name in (
                ("rate of drift at the end", "total_update_ratio"),
                ("straightness", "total_straightness"),
            )
            for study, optimizer in far
        ],
        verdict([bool(((array < 0.1) == (optimizer == "sgd")).all()) for (_, optimizer), array in far.items()]),
        "Less than 10 % of the norm at the start counts as near. The rate is the distance between the last two "
        f"snapshots as a share of the norm. {updates(results)}",
        f"{studies[0]}/drift",
    )


def features_of_adam_correlate(results: Results) -> Claim:
    """Match the features of runs of two seeds, and hold their correlation against that of shuffled samples and SGD."""
    found = [last(of(one, variant="plain")).mean("layer") for one in _of_lenets(results, "comparison")]
    alike, greedy, chance = (
        {name: [value for one in found for value in _two_seeds(one[variable], name)] for name in OPTIMIZERS}
        for variable in ("matched_features", "matched_features_greedy", "matched_features_null_95")
    )
    return Claim(
        "Features that Adam learns from different starts correlate.",
        "they correlate",
        [
            *(Measured(f"correlation of matched features, {name}", values) for name, values in alike.items()),
            *(Measured(f"the same, matched greedily, {name}", values) for name, values in greedy.items()),
            Measured("95 % quantile by chance, adam", chance["adam"]),
        ],
        verdict(np.asarray(alike["adam"]) > np.asarray(chance["adam"])),
        "More than chance counts as correlated. Features of SGD's runs correlate "
        f"{'more' if np.median(alike['sgd']) > np.median(alike['adam']) else 'less'} than Adam's. LeNet, mean over "
        "layers, each two seeds.",
        f"{_studies(results, 'lenet')[0]}/comparison",
    )


def features_of_adam_correlate_within_a_network(results: Results) -> Claim:
    """Hold the correlation of different features of one layer against the start, SGD and chance."""
    found = _of_lenets(results, "correlation")
    within = [of(_within_layers(one["absolute_off_diagonal"]), variant="plain") for one in found]
    end = {name: np.concatenate([last(of(one, optimizer=name)) for one in within]) for name in OPTIMIZERS}
    start = np.concatenate([of(one, optimizer="adam").isel(step=0) for one in within])
    samples = found[0].sizes["sample"]
    return Claim(
        "Features within a network that Adam trained correlate.",
        "they correlate",
        [
            *(Measured(f"|ρ| of two features of a layer, {name}", values) for name, values in end.items()),
            Measured("the same before the training", start),
            Measured(f"the same by chance, of {samples} samples", [np.sqrt(2 / np.pi / samples)]),
        ],
        verdict([*(end["adam"] > start), *(end["adam"] > end["sgd"])]),
        "It holds where they correlate more than before the training, and more than SGD's. LeNet, mean over layers.",
        f"{_studies(results, 'lenet')[0]}/correlation",
    )


def distortion_changes_nothing(results: Results) -> Claim:
    """Hold the distance that a small distortion makes against the one that another order of the batches makes."""
    moved, noise = (_ends_apart(results, *pair) for pair in (("distorted", "control"), ("control", "plain")))
    accuracy = [last(one["accuracy"]) for one in _of_lenets(results, "evaluation")]
    answers = {
        variant: np.concatenate([of(one, variant=variant) for one in accuracy]) for variant in ("control", "distorted")
    }
    return Claim(
        "A small distortion of the starting weights changes nothing.",
        "the same end",
        [
            *(Measured(f"distance of the distorted run from the control, {name}", v) for name, v in moved.items()),
            *(Measured(f"distance of the control from the plain run, {name}", v) for name, v in noise.items()),
            *(Measured(f"accuracy on the probe, {name}", values, "share") for name, values in answers.items()),
        ],
        verdict([a <= b for name in moved for a, b in zip(moved[name], noise[name], strict=True)]),
        "The distortion counts as nothing where it moves the end no farther than another order of the batches does, "
        "which is all that parts the control from the plain run. LeNet; distances are relative to the norms.",
        f"{_studies(results, 'lenet')[0]}/comparison",
    )


def flipped_start_ends_far_away(results: Results) -> Claim:
    """Hold the distance that flipped signs make against the control, at the start and at the end."""
    end, noise = (_ends_apart(results, *pair) for pair in (("flipped", "control"), ("control", "plain")))
    far = {
        (variant, when): np.concatenate([of(one, variant=variant).isel(step=step) for one in _from_parents(results)])
        for variant in ("control", "flipped")
        for when, step in (("start", 0), ("end", -1))
    }
    return Claim(
        "A start with flipped signs ends far from where the original ends.",
        "far from the original",
        [
            *(Measured(f"distance of the flipped run from the control, {name}", v) for name, v in end.items()),
            *(Measured(f"distance of the control from the plain run, {name}", v) for name, v in noise.items()),
            *(
                Measured(f"distance of the {variant} run from the plain run's end, at its {when}", values, "share")
                for (variant, when), values in far.items()
            ),
        ],
        verdict([a > 2 * b for name in end for a, b in zip(end[name], noise[name], strict=True)]),
        "Twice the distance that another order of the batches makes counts as far. LeNet; distances are relative to "
        "the norms. Where this order alone sends runs far apart, little is left for the signs to add.",
        f"{_studies(results, 'lenet')[0]}/drift_from_parent",
    )


def _studies(results: Results, name: str, but: str = "none") -> list[str]:
    """Name the studies of a network that were computed."""
    found = dict.fromkeys(key.partition("/")[0] for key in results)
    return sorted(study for study in found if study.startswith(name) and but not in study)


def _of_lenets(results: Results, stage: str) -> list[xr.Dataset]:
    """Give what a stage found of LeNet, on each data set."""
    return [results[f"{study}/{stage}"] for study in _studies(results, "lenet")]


def _from_parents(results: Results) -> list[xr.DataArray]:
    """Give how far LeNet's restarts are from where the runs ended that they restarted from, (run, step)."""
    return [one["total_relative"] for one in _of_lenets(results, "drift_from_parent")]


def _within_layers(array: xr.DataArray) -> xr.DataArray:
    """Give the mean over all layers of what is between a layer and itself."""
    own = [array.sel(layer=layer, layer_other=layer, drop=True) for layer in array["layer"].values]
    return xr.concat(own, dim="layer").mean("layer")


def _drift(results: Results, study: str) -> xr.Dataset:
    return results[f"{study}/drift"]


def _plain(results: Results, study: str, optimizer: str, name: str) -> xr.DataArray:
    """Give the drift of the runs of an optimizer that nothing disturbed."""
    return of(_drift(results, study)[name], variant="plain", optimizer=optimizer)


def _kept(results: Results, study: str) -> xr.DataArray:
    return 1 - last(of(_drift(results, study)["total_changed"], variant="plain"))


def _structural(results: Results, study: str) -> xr.DataArray:
    return of(_drift(results, study)["total_unchanged_cause"].sel(cause="structural"), variant="plain")


def _dead(results: Results, study: str) -> xr.DataArray:
    drift = _drift(results, study)
    return of(drift["total_unchanged_cause"].sel(cause="dead_unit"), variant="plain") / drift["numel"].sum().item()


def _ends_apart(results: Results, one: str, other: str) -> dict[str, list[float]]:
    """Give what parts the ends of LeNet's runs of one variant from those of another that share all else."""
    found: dict[str, list[float]] = {}
    for optimizer, result in product(OPTIMIZERS, _of_lenets(results, "comparison")):
        for run in of(last(result["total_relative_distance"]), variant=one, optimizer=optimizer):
            partner = str(run["run"].item()).replace(f"-{one}-", f"-{other}-")
            found.setdefault(optimizer, []).append(float(run.sel(other=partner)))
    return found


def _two_seeds(alike: xr.DataArray, optimizer: str) -> list[float]:
    """Give what is between each two runs of an optimizer and an init that differ in their seed."""
    runs = of(alike, optimizer=optimizer)
    found = []
    for init in sorted(set(runs["init"].values.tolist())):
        own = of(runs, init=init)
        seeds = own["seed"].values
        found += [float(own[i].sel(other=own["run"][j])) for i, j in np.argwhere(seeds[:, None] < seeds)]
    return found or [np.nan]
