"""What was claimed of the parameters of LeNet, ResNet-18 and VGG while they train, and after disturbed starts."""

from itertools import product

import numpy as np

from pipelines.claims import Results, last, of, updates, verdict
from pipelines.parameter_dynamics.runs import (
    LEARNED,
    drift_of,
    from_parent,
    has_learned,
    in_dead_units,
    kept_share,
    of_lenets,
    restarted_studies,
    structural_taps,
    studies_of,
    two_seeds,
    within_layers,
)
from trajlab.reports.claims import Claim, Measured

ONE_BY_ONE = 6_946_816
"""Parameters of ResNet-18 that meet nothing but padding where the last stage has 1x1 maps: 62.13 % of 11,181,642.

The first convolution of the stage is 3x3 of stride 2 on 2x2 maps: 5 of its 9 taps, 655,360 entries. The other three are
3x3 on 1x1 maps: 8 of 9 taps, 2,097,152 entries each.
"""

OPTIMIZERS = ("sgd", "adam")

MARGIN = 1.1
"""Distances whose ratio is less are not told apart."""


def resnet_keeps_most_of_its_parameters(results: Results) -> Claim:
    """Count the entries whose bits are those of the start at the end."""
    kept = {study: kept_share(results, study) for study in studies_of(results, "resnet18", but="stem3")}
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
    studies = studies_of(results, "resnet18", but="stem3")
    structural = {study: structural_taps(results, study) for study in studies}
    stem = next(study for study in studies_of(results, "resnet18") if "stem3" in study)
    without = kept_share(results, stem)
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
    studies = [study for name in ("lenet", "vgg") for study in studies_of(results, name)]
    changed = {study: 1 - kept_share(results, study).values for study in studies}
    learned = {study: has_learned(results, study, variant="plain") for study in studies}
    lost = [array[~learned[study]] for study, array in changed.items()]
    return Claim(
        "LeNet and VGG change over 90 % of their parameters.",
        "over 90 %",
        [
            *(Measured(f"changed, {study}", array[learned[study]], "share") for study, array in changed.items()),
            *(Measured("changed in runs that never learned", array, "share") for array in lost if len(array)),
            *(
                Measured(f"unchanged in whole units, {study}", in_dead_units(results, study).values, "share")
                for study in studies
            ),
        ],
        verdict(np.concatenate([array[learned[study]] > 0.9 for study, array in changed.items()])),
        f"Of runs that learned, to answer {LEARNED:.0%} of the probe right. {updates(results)}".replace("%", " %"),
        f"{studies[0]}/drift",
        "at first runs that never learned counted as well.",
    )


def sgd_ends_near_its_start(results: Results) -> Claim:
    """Compare how far SGD and Adam ended from their start, in large networks."""
    studies = [study for name in ("resnet18", "vgg") for study in studies_of(results, name, but="stem3")]
    undisturbed = {"variant": ["plain", "control"]}
    rows, near = [], []
    for study, optimizer in product(studies, OPTIMIZERS):
        runs = undisturbed | {"optimizer": optimizer}
        drift, learned = drift_of(results, study), has_learned(results, study, **runs)
        far, rate, straight = (
            last(of(drift[f"total_{name}"], **runs)).values for name in ("relative", "update_ratio", "straightness")
        )
        named = f"{study}, {optimizer}"
        rows.append(Measured(f"distance from the start, {named}", far[learned], "share"))
        if not learned.all():
            rows.append(Measured(f"the same of runs that never learned, {named}", far[~learned], "share"))
        rows.append(Measured(f"distance between the last two snapshots, {named}", rate, "share"))
        rows.append(Measured(f"straightness of the path, {named}", straight))
        near.extend((far[learned] < 0.1) == (optimizer == "sgd"))
    return Claim(
        "In large networks SGD ends near its start, and Adam does not.",
        "SGD near, Adam far",
        rows,
        verdict(near),
        "Less than 10 % of the norm at the start counts as near; in the norm are the entries of ResNet-18 that never "
        f"move. Of runs that learned. {updates(results)}",
        f"{studies[0]}/drift",
        "at first the controls were left out, and networks that never learned counted as far.",
    )


def features_of_adam_correlate(results: Results) -> Claim:
    """Match the features of runs of two seeds; hold their correlation against the start, SGD and shuffled samples."""
    found = [of(one, variant="plain").mean("layer") for one in of_lenets(results, "comparison")]
    alike, greedy, chance = (
        {name: [value for one in found for value in two_seeds(last(one[variable]), name)] for name in OPTIMIZERS}
        for variable in ("matched_features", "matched_features_greedy", "matched_features_null_95")
    )
    start = [value for one in found for value in two_seeds(one["matched_features"].isel(step=0), "adam")]
    return Claim(
        "Features that Adam learns from different starts correlate.",
        "they correlate",
        [
            *(Measured(f"correlation of matched features, {name}", values) for name, values in alike.items()),
            Measured("the same before the training", start),
            *(Measured(f"at the end, matched greedily, {name}", values) for name, values in greedy.items()),
            Measured("95 % quantile with shuffled samples, adam", chance["adam"]),
        ],
        verdict([*(np.array(alike["adam"]) > chance["adam"]), *(np.array(alike["adam"]) > start)]),
        "It holds where they correlate more than with shuffled samples, and more than before the training: networks "
        "that see the same images have features in common before they learn. Features of SGD's runs correlate "
        f"{'more' if np.median(alike['sgd']) > np.median(alike['adam']) else 'less'} than Adam's. LeNet, mean over "
        "layers, each two seeds.",
        f"{studies_of(results, 'lenet')[0]}/comparison",
        "at first shuffled samples were all that it was held against.",
    )


def features_of_adam_correlate_within_a_network(results: Results) -> Claim:
    """Hold the correlation of different features of one layer against the start, SGD and chance."""
    found = of_lenets(results, "correlation")
    within = [of(within_layers(one["absolute_off_diagonal"]), variant="plain") for one in found]
    end = {name: np.concatenate([last(of(one, optimizer=name)) for one in within]) for name in OPTIMIZERS}
    start = np.concatenate([of(one, optimizer="adam").isel(step=0) for one in within])
    chance = np.unique(np.concatenate([np.ravel(one["absolute_null"]) for one in found]))
    return Claim(
        "Features within a network that Adam trained correlate.",
        "they correlate",
        [
            *(Measured(f"|ρ| of two features of a layer, {name}", values) for name, values in end.items()),
            Measured("the same before the training", start),
            Measured("the same by chance", chance),
        ],
        verdict([*(end["adam"] > start), *(end["adam"] > end["sgd"])]),
        "It holds where they correlate more than before the training, and more than SGD's. LeNet, mean over layers.",
        f"{studies_of(results, 'lenet')[0]}/correlation",
    )


def distortion_changes_nothing(results: Results) -> Claim:
    """Hold how far distorted runs end from the original against the controls, and what they answer right."""
    rows, same = [], []
    for study, optimizer in product(restarted_studies(results), OPTIMIZERS):
        control, distorted = (from_parent(results, study, name, optimizer) for name in ("control", "distorted"))
        right = {
            name: last(of(results[f"{study}/evaluation"]["accuracy"], variant=name, optimizer=optimizer)).values
            for name in ("plain", "control", "distorted")
        }
        named = f"{study}, {optimizer}"
        rows += [
            Measured(f"distance from the original's end, control, {named}", control[:, -1], "share"),
            Measured(f"the same, distorted, {named}", distorted[:, -1], "share"),
            Measured(f"accuracy, control, {named}", right["control"], "share"),
            Measured(f"accuracy, distorted, {named}", right["distorted"], "share"),
        ]
        noise = abs(right["control"] - right["plain"]).max()
        same.append(distorted[:, -1].mean() <= MARGIN * control[:, -1].mean())
        same.append(abs(right["distorted"].mean() - right["control"].mean()) <= noise)
    return Claim(
        "A small distortion of the starting weights changes nothing.",
        "the same end",
        rows,
        verdict(same),
        "A control is a restart that sees the batches in another order than the original, and nothing else; the "
        f"distorted runs see that order too. It holds where they end no more than {MARGIN - 1:.0%} farther from the "
        "original's end than the controls, and answer as much right to within what another order changes.".replace(
            "%", " %"
        ),
        f"{restarted_studies(results)[0]}/drift_from_parent",
        "at first no margin was left, so that chance decided, and the accuracy was not asked.",
    )


def flipped_start_ends_far_away(results: Results) -> Claim:
    """Hold how far flipped runs are from the end of the original, against the controls and where they started."""
    rows, far = [], []
    for study, optimizer in product(restarted_studies(results), OPTIMIZERS):
        control, flipped = (from_parent(results, study, name, optimizer) for name in ("control", "flipped"))
        named = f"{study}, {optimizer}"
        rows += [
            Measured(f"distance from the original's end, control, {named}", control[:, -1], "share"),
            Measured(f"the same, flipped, {named}", flipped[:, -1], "share"),
            Measured(f"the same, flipped, at the start, {named}", flipped[:, 0], "share"),
        ]
        far.append(flipped[:, -1].mean() > MARGIN * control[:, -1].mean())
        far.append(flipped[:, -1].mean() > 0.5 * flipped[:, 0].mean())
    seeds = [
        value
        for one in of_lenets(results, "comparison")
        for name in OPTIMIZERS
        for value in two_seeds(last(of(one["total_relative_distance"], variant="plain")), name)
    ]
    return Claim(
        "A start with flipped signs ends far from where the original ends.",
        "far from the original",
        [*rows, Measured("two seeds, LeNet, relative to the mean of both norms", seeds)],
        verdict(far),
        f"It holds where they end more than {MARGIN - 1:.0%} farther from the original's end than the controls, which "
        "see other batches only, and have not come half of the way back that their start was away from it.".replace(
            "%", " %"
        ),
        f"{restarted_studies(results)[0]}/drift_from_parent",
        "at first twice the controls' distance was asked, whatever the distance at the start.",
    )
