"""What was claimed of the parameters of LeNet, ResNet-18 and VGG while they train, and after disturbed starts."""

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, of, verdict
from trajlab.claims import Claim, Measured

ONE_BY_ONE = 6_946_816
"""Parameters of ResNet-18 that meet nothing but padding where the last stage has 1x1 maps: 62.13 % of 11,181,642.

The first convolution of the stage is 3x3 of stride 2 on 2x2 maps: 5 of its 9 taps, 655,360 entries. The other three are
3x3 on 1x1 maps: 8 of 9 taps, 2,097,152 entries each.
"""

FEW = "The default size trains the large networks for a few dozen updates only; `size: published` for 20 epochs."


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
        "counts as moving. " + ("" if bool((without < 0.1).all()) else FEW),
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
        f"their unit got a gradient. {FEW}",
        f"{studies[0]}/drift",
    )


def sgd_ends_near_its_start(results: Results) -> Claim:
    """Compare how far SGD and Adam ended from their start, in large networks."""
    studies = [study for name in ("resnet18", "vgg") for study in _studies(results, name, but="stem3")]
    far = {
        (study, optimizer): last(of(_drift(results, study)["total_relative"], variant="plain", optimizer=optimizer))
        for study in studies
        for optimizer in ("sgd", "adam")
    }
    return Claim(
        "In large networks SGD ends near its start, and Adam does not.",
        "SGD near, Adam far",
        [
            Measured(f"distance from the start, {study}, {optimizer}", array.values, "share")
            for (study, optimizer), array in far.items()
        ],
        verdict([bool(((array < 0.1) == (optimizer == "sgd")).all()) for (_, optimizer), array in far.items()]),
        f"Less than 10 % of the norm at the start counts as near. {FEW}",
        f"{studies[0]}/drift",
    )


def features_of_adam_correlate(results: Results) -> Claim:
    """Match the features of runs of two seeds, and hold their correlation against that of shuffled samples and SGD."""
    study = _studies(results, "lenet")[0]
    found = last(of(results[f"{study}/comparison"], variant="plain")).mean("layer")
    alike = {optimizer: _two_seeds(found["matched_features"], optimizer) for optimizer in ("sgd", "adam")}
    greedy = {optimizer: _two_seeds(found["matched_features_greedy"], optimizer) for optimizer in ("sgd", "adam")}
    chance = _two_seeds(found["matched_features_null_95"], "adam")
    return Claim(
        "Features that Adam learns from different starts correlate.",
        "they correlate",
        [
            *(Measured(f"correlation of matched features, {name}", values) for name, values in alike.items()),
            *(Measured(f"the same, matched greedily, {name}", values) for name, values in greedy.items()),
            Measured("95 % quantile by chance, adam", chance),
        ],
        verdict(np.asarray(alike["adam"]) > np.asarray(chance)),
        "More than chance counts as correlated. Features of SGD's runs correlate "
        f"{'more' if np.median(alike['sgd']) > np.median(alike['adam']) else 'less'} than Adam's. {study}, mean over "
        "layers, each two seeds.",
        f"{study}/comparison",
    )


def distortion_changes_nothing(results: Results) -> Claim:
    """Hold the distance that a small distortion makes against the one that another order of the batches makes."""
    study = _studies(results, "lenet")[0]
    apart = last(results[f"{study}/comparison"]["total_relative_distance"])
    moved = {optimizer: _between(apart, "distorted", "control", optimizer) for optimizer in ("sgd", "adam")}
    noise = {optimizer: _between(apart, "control", "plain", optimizer) for optimizer in ("sgd", "adam")}
    accuracy = last(results[f"{study}/evaluation"]["accuracy"])
    answers = {variant: of(accuracy, variant=variant) for variant in ("control", "distorted")}
    return Claim(
        "A small distortion of the starting weights changes nothing.",
        "the same end",
        [
            *(Measured(f"distance of the distorted run from the control, {name}", v) for name, v in moved.items()),
            *(Measured(f"distance of the control from the plain run, {name}", v) for name, v in noise.items()),
            *(Measured(f"accuracy on the probe, {name}", array.values, "share") for name, array in answers.items()),
        ],
        verdict([a <= b for name in moved for a, b in zip(moved[name], noise[name], strict=True)]),
        "The distortion counts as nothing where it moves the end no farther than another order of the batches does, "
        "which is all that parts the control from the plain run. Distances are relative to the norms.",
        f"{study}/comparison",
    )


def flipped_start_ends_far_away(results: Results) -> Claim:
    """Hold the distance that flipped signs make against the control, at the start and at the end."""
    study = _studies(results, "lenet")[0]
    apart = results[f"{study}/comparison"]["total_relative_distance"]
    first = _between(apart.isel(step=0), "flipped", "control", ["sgd", "adam"])
    end = {optimizer: _between(last(apart), "flipped", "control", optimizer) for optimizer in ("sgd", "adam")}
    noise = {optimizer: _between(last(apart), "control", "plain", optimizer) for optimizer in ("sgd", "adam")}
    return Claim(
        "A start with flipped signs ends far from where the original ends.",
        "far from the original",
        [
            Measured("distance of the flipped run from the control at the start", first),
            *(Measured(f"the same at the end, {name}", values) for name, values in end.items()),
            *(
                Measured(f"distance of the control from the plain run, {name}", values)
                for name, values in noise.items()
            ),
        ],
        verdict([a > 2 * b for name in end for a, b in zip(end[name], noise[name], strict=True)]),
        "Twice the distance that another order of the batches makes counts as far. Distances are relative to the "
        "norms. Where this order alone sends runs far apart, little is left for the signs to add.",
        f"{study}/comparison",
    )


def _studies(results: Results, name: str, but: str = "none") -> list[str]:
    """Name the studies of a network that were computed."""
    found = dict.fromkeys(key.partition("/")[0] for key in results)
    return sorted(study for study in found if study.startswith(name) and but not in study)


def _drift(results: Results, study: str) -> xr.Dataset:
    return results[f"{study}/drift"]


def _kept(results: Results, study: str) -> xr.DataArray:
    return 1 - last(of(_drift(results, study)["total_changed"], variant="plain"))


def _structural(results: Results, study: str) -> xr.DataArray:
    return of(_drift(results, study)["total_unchanged_cause"].sel(cause="structural"), variant="plain")


def _dead(results: Results, study: str) -> xr.DataArray:
    drift = _drift(results, study)
    return of(drift["total_unchanged_cause"].sel(cause="dead_unit"), variant="plain") / drift["numel"].sum().item()


def _between(apart: xr.DataArray, one: str, other: str, optimizer: str | list[str]) -> list[float]:
    """Give what parts runs of one variant from those of the other that share all else."""
    runs = of(apart, variant=one, optimizer=optimizer)
    return [float(run.sel(other=str(run["run"].item()).replace(f"-{one}-", f"-{other}-"))) for run in runs]


def _two_seeds(alike: xr.DataArray, optimizer: str) -> list[float]:
    """Give what is between each two runs of an optimizer and an init that differ in their seed."""
    runs = of(alike, optimizer=optimizer)
    found = []
    for init in sorted(set(runs["init"].values.tolist())):
        own = of(runs, init=init)
        seeds = own["seed"].values
        found += [float(own[i].sel(other=own["run"][j])) for i, j in np.argwhere(seeds[:, None] < seeds)]
    return found or [np.nan]
