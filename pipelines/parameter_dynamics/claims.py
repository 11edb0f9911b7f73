"""Claims about the parameters of LeNet, ResNet-18 and VGG during training, and when perturbed and trained again."""

from itertools import product

import numpy as np
import xarray as xr

from pipelines.claims import Results, last, measured, of, percent, updates, verdict
from pipelines.parameter_dynamics.runs import (
    LEARNED,
    SEEDS,
    between_seeds,
    changed_norm_ratio,
    distance_from_parent,
    drift_of,
    has_enough_seeds,
    has_learned,
    has_variant,
    of_network,
    restarted_studies,
    share_in_dead_units,
    structural_taps,
    studies_of,
    unchanged_share,
    within_layers,
)
from trajlab.errors import MissingData
from trajlab.reports.claims import Claim, Measured

ONE_BY_ONE = 6_946_816
"""Parameters of ResNet-18 that meet only padding where the last stage has 1x1 maps: 62.13 % of 11,181,642.

The first convolution of the stage is 3x3 with stride 2 on 2x2 maps: 5 of its 9 taps, 655,360 entries. The other three
are 3x3 on 1x1 maps: 8 of 9 taps, 2,097,152 entries each.
"""

OPTIMIZERS = ("sgd", "adam")

SLIGHTLY = {"control": "control", "shifted": "shifted by 10⁻⁶", "distorted": "distorted by 1 %"}
"""Restarts near the trained network, by variant."""

NEGATED = {"control": "control", "negated": "all signs flipped", "negated_buffers": "buffers' signs flipped, too"}
"""Restarts at the opposite of the trained network, and the control, by variant."""

BETWEEN = "between"
"""Folder of the comparisons of two architectures."""

FEW = f"A pair or network of fewer than {SEEDS} seeds is not judged: VGG-19 in the small size, after four updates."

MARGIN = 1.1
"""Ratio up to which two distances count as equal."""


def resnet_keeps_most_of_its_parameters(results: Results) -> Claim:
    """Count the entries that end with the bits of the start."""
    unchanged = {study: unchanged_share(results, study) for study in studies_of(results, "resnet18", but="stem3")}
    norms = {study: changed_norm_ratio(results, study) for study in unchanged}
    return Claim(
        "ResNet-18 keeps over 60 % of its parameters unchanged.",
        "over 60 %",
        [
            *measured("bitwise unchanged at the end", unchanged, "share"),
            *measured("norm of the changed entries, relative to the norm of all", norms, "share"),
        ],
        verdict(np.concatenate([array > 0.6 for array in unchanged.values()])),
        "This is not a property of training: see the next claim.",
        f"{next(iter(unchanged))}/drift",
    )


def kept_parameters_meet_only_padding(results: Results) -> Claim:
    """Determine the cause of unchanged entries, and remove it with a 3x3 stem."""
    studies = studies_of(results, "resnet18", but="stem3")
    structural = {study: structural_taps(results, study) for study in studies}
    stem = next(study for study in studies_of(results, "resnet18") if "stem3" in study)
    without = unchanged_share(results, stem)
    as_counted = [abs(array / ONE_BY_ONE - 1) < 0.001 for array in structural.values()]
    return Claim(
        "The unchanged parameters of ResNet-18 are kernel taps that see only padding, and a 3x3 stem makes them move.",
        "not published; 6,946,816 entries, 62.13 %, by counting taps on the 1x1 maps of the last stage",
        [
            *measured("taps that never get a gradient", structural, "entries"),
            *measured("bitwise unchanged at the end", {stem: without}, "share"),
        ],
        verdict([*np.concatenate(as_counted), *(without < 0.1)]),
        "The original stem shrinks 32x32 images by 32, so the last stage has 1x1 maps. Criterion: the counted number "
        "of taps, and less than 10 % unchanged with the 3x3 stem. "
        + ("" if bool((without < 0.1).all()) else updates(results)),
        f"{studies[0]}/drift",
    )


def lenet_and_vgg_change_almost_all(results: Results) -> Claim:
    """Count the entries whose bits differ from those of the start at the end."""
    studies = [study for name in ("lenet", "vgg", "small_vgg") for study in studies_of(results, name)]
    changed = {study: 1 - unchanged_share(results, study).values for study in studies}
    learned = {study: has_learned(results, study, variant="plain") for study in studies}
    norms = {study: changed_norm_ratio(results, study) for study in studies}
    of_learned = {study: array[learned[study]] for study, array in changed.items()}
    of_others = {study: array[~learned[study]] for study, array in changed.items() if not learned[study].all()}
    in_dead_units = {study: share_in_dead_units(results, study) for study in studies}
    return Claim(
        "LeNet and VGG change over 90 % of their parameters.",
        "over 90 %",
        [
            *measured("changed", of_learned, "share"),
            *measured("changed in runs that did not learn", of_others, "share"),
            *measured("norm of the changed entries, relative to the norm of all", norms, "share"),
            *measured("unchanged in whole units", in_dead_units, "share"),
        ],
        verdict(np.concatenate([array > 0.9 for array in of_learned.values()])),
        f"Criterion: over 90 % in each run that learned, to an accuracy above {percent(LEARNED)}. {updates(results)}",
        f"{studies[0]}/drift",
        "at first runs that did not learn also counted.",
    )


def sgd_ends_near_its_start(results: Results) -> Claim:
    """Compare the distances of SGD and Adam from their start, in large networks."""
    studies = [study for name in ("resnet18", "vgg", "small_vgg") for study in studies_of(results, name, but="stem3")]
    unperturbed = {"variant": ["plain", "control"]}
    rows, near = [], []
    for study, optimizer in product(studies, OPTIMIZERS):
        runs = unperturbed | {"optimizer": optimizer}
        drift, learned = drift_of(results, study), has_learned(results, study, **runs)
        distance, update, straightness = (
            last(of(drift[f"total_{name}"], **runs)).values for name in ("relative", "update_ratio", "straightness")
        )
        label = f"{study}, {optimizer}"
        rows.append(Measured(f"distance from the start, {label}", distance[learned], "share"))
        if not learned.all():
            rows.append(Measured(f"distance in runs that did not learn, {label}", distance[~learned], "share"))
        rows.append(Measured(f"distance between the last two snapshots, {label}", update, "share"))
        rows.append(Measured(f"straightness of the path, {label}", straightness))
        near.extend((distance[learned] < 0.1) == (optimizer == "sgd"))
    return Claim(
        "In large networks SGD ends near its start, and Adam does not.",
        "SGD near, Adam far",
        rows,
        verdict(near),
        "Criterion: near is less than 10 % of the initial norm, which includes the entries of ResNet-18 that never "
        f"move. Only runs that learned count. {updates(results)}",
        f"{studies[0]}/drift",
        "at first the controls were excluded, and networks that did not learn counted as far.",
    )


def features_of_adam_correlate(results: Results) -> Claim:
    """Match the features of LeNets of two seeds, and compare their correlation with the start, SGD and chance."""
    return _between(results, "lenet", "LeNet, mean over layers.", "not of LeNet")


def features_of_adam_correlate_in_resnet(results: Results) -> Claim:
    """Match the 512 penultimate features of ResNets of two seeds."""
    return _between(results, "resnet18", "ResNet-18, the 512 features before the last layer.", "they correlate")


def features_of_adam_correlate_within_a_network(results: Results) -> Claim:
    """Compare the correlation of different features of one layer of LeNet with the start, SGD and chance."""
    return _within(results, "lenet", "LeNet, mean over layers.", "not of LeNet")


def features_of_adam_correlate_within_resnet(results: Results) -> Claim:
    """Compare the correlation of the 512 penultimate features of ResNet with the start, SGD and chance."""
    return _within(results, "resnet18", "ResNet-18, the 512 features before the last layer.", "they correlate")


def features_of_adam_correlate_in_vgg(results: Results) -> Claim:
    """Match the 512 penultimate features of small VGGs of two seeds."""
    return _between(results, "small_vgg", "VGG with one linear layer, the 512 features before it.", "they correlate")


def features_of_adam_correlate_within_vgg(results: Results) -> Claim:
    """Compare the correlation of the penultimate features of VGGs with the start, SGD and chance."""
    of_what = f"VGG-19, the 4,096 features before the last layer, and small VGG, its 512. {FEW}"
    return _within(results, ("vgg19", "small_vgg"), of_what, "they correlate")


def features_correlate_across_architectures(results: Results) -> Claim:
    """Match the penultimate features of two architectures that Adam trained, and compare with chance and the start."""
    pairs: dict[str, list[xr.Dataset]] = {}
    for key, result in results.items():
        study, _, name = key.partition("/")
        if study == BETWEEN:
            pairs.setdefault(name.rpartition("-")[0], []).append(result)
    rows, more = [], []
    for name, of_seeds in pairs.items():
        matched, greedy, chance = (
            np.array([result[variable].isel(run=0, other=1, layer=0, step=-1).item() for result in of_seeds])
            for variable in ("matched_features", "matched_features_greedy", "matched_features_null_95")
        )
        before = [result["matched_features"].isel(run=0, other=1, layer=0, step=0).item() for result in of_seeds]
        values = {
            "matched": matched,
            "matched greedily": greedy,
            "95 % quantile by chance": chance,
            "matched, before training": np.array(before),
        }
        end = int(of_seeds[0]["step"][-1])
        rows += measured(f"correlation of features, {name}, after {end:,} updates", values)
        if len(of_seeds) >= SEEDS:
            more += [*(matched > chance), *(matched > before)]
    if not more:
        raise MissingData(
            f"cannot compare architectures: found {', '.join(pairs) or 'no pair'} in {BETWEEN}, none of {SEEDS} seeds; "
            "compute the comparison of more seeds"
        )
    return Claim(
        "Features that Adam learns in two architectures correlate.",
        "matrices, as they are and sorted by greedy and optimal matching, without numbers",
        rows,
        verdict(more),
        "Criterion: matched features correlate more than with shuffled samples, and more than before training. Runs of "
        f"the same seed on CIFAR-10, at the last step that both recorded. {FEW}",
        next(key for key in results if key.startswith(f"{BETWEEN}/")),
    )


def logits_of_adam_correlate(results: Results) -> Claim:
    """Compare the correlation of 1,000 logits of ResNet with the start, SGD and chance."""
    return _within(results, "logits_resnet18", "ResNet-18, 1,000 logits; ten of them are classes.", "they correlate")


def distortion_changes_nothing(results: Results) -> Claim:
    """Compare shifted and distorted networks, trained again, with controls, in distance and in accuracy."""
    rows, same = [], []
    for study, optimizer in product(restarted_studies(results), OPTIMIZERS):
        ends = {name: distance_from_parent(results, study, name, optimizer)[:, -1] for name in SLIGHTLY}
        accuracy = {
            name: last(of(results[f"{study}/evaluation"]["accuracy"], variant=name, optimizer=optimizer)).values
            for name in ("plain", *SLIGHTLY)
        }
        labels = {name: f"{words}, {study}, {optimizer}" for name, words in SLIGHTLY.items()}
        for quantity, values in (("distance from the trained network", ends), ("accuracy", accuracy)):
            rows += measured(quantity, {label: values[name] for name, label in labels.items()}, "share")
        noise = abs(accuracy["control"] - accuracy["plain"]).max()
        same.append(ends["shifted"].mean() <= MARGIN * ends["control"].mean())
        same.append(abs(accuracy["shifted"].mean() - accuracy["control"].mean()) <= noise)
    return Claim(
        "A small distortion of a trained network changes nothing when it is trained again.",
        "the same end; 10⁻⁶ is added to all parameters",
        rows,
        verdict(same),
        "All start at the trained network and train for as long again; they see the same batches. Criterion, of the "
        f"published distortion: it ends at most {percent(MARGIN - 1)} farther from the trained network than the "
        "undisturbed control, and its accuracy differs from the control's by no more than the control's from the "
        "trained network's. The relative noise of 1 % of each weight is ours and not judged. The publication shows "
        "correlations of features.",
        f"{restarted_studies(results)[0]}/drift_from_parent",
        "at first the restarts had the weights of the untrained network, and the distortion was relative noise.",
    )


def negated_network_ends_far_away(results: Results) -> Claim:
    """Compare the distance of negated networks, trained again, with that of controls and of their start."""
    rows, far = [], []
    for study, optimizer in product(restarted_studies(results), OPTIMIZERS):
        variants = {name: words for name, words in NEGATED.items() if has_variant(results, study, name)}
        distances = {name: distance_from_parent(results, study, name, optimizer) for name in variants}
        label = f"{study}, {optimizer}"
        rows += [
            *measured(
                "distance from the trained network",
                {f"{words}, {label}": distances[name][:, -1] for name, words in variants.items()},
                "share",
            ),
            *measured(
                "accuracy",
                {
                    f"{words}, {label}": last(
                        of(results[f"{study}/evaluation"]["accuracy"], variant=name, optimizer=optimizer)
                    ).values
                    for name, words in variants.items()
                },
                "share",
            ),
        ]
        control, negated = distances["control"], distances["negated"]
        far.append(negated[:, -1].mean() > MARGIN * control[:, -1].mean())
        far.append(negated[:, -1].mean() > 0.5 * negated[:, 0].mean())
    seeds = [
        value
        for result in of_network(results, "lenet", "comparison")
        for optimizer in OPTIMIZERS
        for value in between_seeds(last(of(result["total_relative_distance"], variant="plain")), optimizer)
    ]
    return Claim(
        "A trained network with all signs flipped does not come back when it is trained again.",
        "it ends far from the trained network",
        [*rows, Measured("distance between two seeds, LeNet, relative to the mean of both norms", seeds)],
        verdict(far),
        "It starts at the opposite of the trained network, at twice its norm from it, and trains for as long again. "
        f"Criterion: it ends more than {percent(MARGIN - 1)} farther away than the undisturbed control, and at more "
        "than half of its initial distance. The publication also flips the running statistics of batch normalization.",
        f"{restarted_studies(results)[0]}/drift_from_parent",
        "at first a tenth of the signs of the untrained network were flipped.",
    )


def _between(results: Results, network: str, of_what: str, published: str) -> Claim:
    comparisons = [of(result, variant="plain").mean("layer") for result in of_network(results, network, "comparison")]
    matched, greedy, chance = (
        {
            optimizer: [value for result in comparisons for value in between_seeds(last(result[variable]), optimizer)]
            for optimizer in OPTIMIZERS
        }
        for variable in ("matched_features", "matched_features_greedy", "matched_features_null_95")
    )
    start = [
        value for result in comparisons for value in between_seeds(result["matched_features"].isel(step=0), "adam")
    ]
    more = np.median(matched["sgd"]) > np.median(matched["adam"])
    return Claim(
        "Features that Adam learns from different starts correlate.",
        published,
        [
            *measured("correlation of matched features", matched),
            Measured("correlation before training", start),
            *measured("correlation at the end, matched greedily", greedy),
            Measured("95 % quantile with shuffled samples, adam", chance["adam"]),
        ],
        verdict([*(np.array(matched["adam"]) > chance["adam"]), *(np.array(matched["adam"]) > start)]),
        "Criterion: they correlate more than with shuffled samples, and more than before training, because networks "
        "that see the same images share features before they learn. Features of SGD's runs correlate "
        f"{'more' if more else 'less'} than Adam's. Each two seeds of {of_what}",
        f"{studies_of(results, network, but='stem3')[0]}/comparison",
        "at first the only comparison was with shuffled samples, and only LeNet was asked.",
    )


def _within(results: Results, networks: str | tuple[str, ...], of_what: str, published: str) -> Claim:
    networks = (networks,) if isinstance(networks, str) else networks
    rows, more = [], []
    for network in networks:
        label = f", {network}" if len(networks) > 1 else ""
        correlations = of_network(results, network, "correlation")
        within = [of(within_layers(result["absolute_off_diagonal"]), variant="plain") for result in correlations]
        end = {name: np.concatenate([last(of(array, optimizer=name)) for array in within]) for name in OPTIMIZERS}
        start = np.concatenate([of(array, optimizer="adam").isel(step=0) for array in within])
        chance = np.unique(np.concatenate([np.ravel(result["absolute_null"]) for result in correlations]))
        rows += [
            *measured(f"|ρ| of two features of a layer{label}", end),
            Measured(f"|ρ| before training{label}", start),
            Measured(f"|ρ| by chance{label}", chance),
        ]
        if all(map(has_enough_seeds, correlations)):
            more += [*(end["adam"] > start), *(end["adam"] > end["sgd"])]
    if not more:
        raise MissingData(
            f"cannot judge the features of {', '.join(networks)}: found fewer than {SEEDS} seeds; train more seeds"
        )
    return Claim(
        "Features within a network that Adam trained correlate.",
        published,
        rows,
        verdict(more),
        f"Criterion: they correlate more than before training, and more than SGD's. {of_what}",
        f"{studies_of(results, networks[0], but='stem3')[0]}/correlation",
        "at first only LeNet was asked.",
    )
