"""Distances between runs, matched units and loss barriers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xarray as xr

from trajlab.errors import MissingData
from trajlab.replays.alignment import Chain, aligned_table, chain_in
from trajlab.replays.interpolation import difference
from trajlab.scan.kernels.between_runs import Across
from trajlab.scan.kernels.term_products import AcrossProducts
from trajlab.scan.scan import Tensor, by_name, scan
from trajlab.stages.comparison.pairs import of_pairs as of_pairs
from trajlab.stages.comparison.quantities import MEANINGS as MEANINGS
from trajlab.stages.comparison.tables import (
    alignable,
    annotated,
    check_settings,
    chosen_steps,
    result_of,
    steps_of_both,
    too_wide,
)
from trajlab.stages.comparison.unit_matching import (
    feature_rows,
    feature_table,
    matrix_table,
    unmatched_layers,
    weight_table,
)
from trajlab.statistics.samples import sampled
from trajlab.statistics.scores import score_table
from trajlab.statistics.units import on_one_probe

Replay = Callable[..., Mapping[str, xr.DataArray]]


def comparison(
    weight: Tensor,
    other_weight: Tensor,
    activations: Mapping[str, xr.DataArray] | None = None,
    other_activations: Mapping[str, xr.DataArray] | None = None,
    between_replay: Replay | None = None,
    aligned_replay: Replay | None = None,
    probe: xr.Dataset | None = None,
    chain: Chain | None = None,
    between_metrics: xr.Dataset | None = None,
    *,
    steps: Sequence[int] = (-1,),
    shuffles: int = 20,
    max_units: int = 2048,
    match_weights: bool = True,
    features: bool = True,
    layers: Sequence[str] = (),
    absolute: bool = False,
    matrix_layer: str = "",
    interpolation: bool = True,
    ends: str = "shared",
    objective: str = "",
) -> xr.Dataset:
    """Compare each two runs: distances, directions of movement, matched units, and the loss on the line between them.

    Answers: did two runs reach the same solution, and did a perturbed run return to its control or its parent?

    Parameters
    ----------
    weight
        One parameter over training, dims (step, ...), or a mapping of several.
    other_weight
        The same of another run.
    activations
        Outputs of layers on the probe by name, as `trajlab.replay` returns them, to match units by.
    other_activations
        The same of the other run, on the same probe.
    between_replay
        Runs the network at points of the straight line between the final weights of both runs.
    aligned_replay
        The same with the hidden units of the other run permuted to match the first.
    probe
        The batch with its `targets`, for the loss.
    chain
        Order of the hidden layers; by default from the shapes of the weights.
    between_metrics
        Steps of the ends of the line, the coord `ends` of its metrics.
    steps
        Steps, shared by both runs, at which units are matched; 0 is the first and -1 the last.
    shuffles
        Number of shuffles of one run for the similarity of matched units by chance; at most 5 of more than 256 units.
    max_units
        Units of a layer beyond which it is not matched, as the time grows with the cube of their number: it is NaN, and
        the attr `not_matched` names it. Embeddings and heads of large vocabularies are such layers.
    match_weights
        Whether to match units by their incoming weights, and to align the runs by them.
    features
        Whether to match units by their activations on the probe, too.
    layers
        Names of layers whose units are matched by activations, or patterns such as "layer1.*"; "A=B" matches those of
        a layer A of one network with those of B of the other. By default all activation modules of one name, and where
        two networks share none, the last of each.
    absolute
        Whether units are matched by their absolute correlation, so that opposite ones match, too.
    matrix_layer
        Layer, or "A=B", whose units' correlation matrix is kept, at the last of `steps`.
    interpolation
        Whether to compute the loss at 11 points of the line between both runs.
    ends
        Where the line ends: "shared", at the last step that both runs recorded, or "own", at the last step of each run.
        All else is compared at the steps that both runs recorded.
    objective
        What this loss is: cross_entropy, binary, multilabel or mse; by default what the targets tell, as in
        `evaluation`.

    Returns
    -------
    distance, relative_distance, cosine : (step, parameter)
        Distance and cosine at equal steps. The relative distance is in units of the mean of both norms: 0 for equal
        runs, √2 for orthogonal ones of equal norm, at most 2.
    changed : (step, parameter)
        Share of entries whose bits differ.
    update_cosine : (step, parameter)
        Cosine between the displacements since the first shared step; NaN at that step.
    update_cosine_null : (step, parameter)
        Standard deviation of the cosine between two random directions, whose mean is 0. That of the whole network is of
        directions that are random within each parameter, whose displacements keep their lengths: where few parameters
        move most, it is larger than that of as many entries.
    matched_weights, matched_weights_greedy, matched_weights_null, matched_weights_null_95 : (step, parameter)
        Similarity of the units of a layer, in their incoming weights and bias, with the matched units of the other
        run, and after shuffling the entries of one run. Beyond the first layer, runs of different initialization match
        only by chance, as the units of the layer before are in another order.
    matched_features, matched_features_greedy, matched_features_null, matched_features_null_95 : (step, layer)
        The same by activations on the probe, whose samples are in the same order; of large maps, about 8,192 values of
        each unit. For the null the samples of one run are shuffled, each with all its positions.
    feature_cka : (step, layer)
        Debiased linear CKA of the features of both runs, averaged over positions, as in `correlation`; it needs no
        equal number of units.
    feature_correlation, feature_covariance : (unit, unit_other)
        Of `matrix_layer` only: each unit of the run that comes first in the study with each of the other; NaN for units
        that are constant or not finite. Layers with other numbers of positions are compared by their means.
    feature_match, feature_match_greedy : (unit)
        The unit of the other run that each is matched with, so that the sum is largest, and greedily; NaN for none.
    matched_weights_units, matched_features_units : (step, …)
        Number of matched pairs. Units that are constant or not finite have no match.
    aligned_distance : (step, parameter)
        Distance at `steps` after permuting the hidden units of one run to match the other (Git Re-Basin's weight
        matching), which removes the distance between equal networks with units in another order. For chains of linear
        and convolution layers only; NaN otherwise, and the attr `alignment` says why.
    line_loss, aligned_line_loss : (alpha)
        Loss on the probe along the straight line between the weights at `ends`, before and after alignment. Alpha is 0
        at the run that comes first in the study. Statistics of batch normalization are interpolated, too, not
        re-estimated, which raises the loss between the ends.
    barrier, aligned_barrier : ()
        Largest excess of that loss over the straight line between the losses at both ends: 0 for linearly connected
        runs.
    line_steps : (end)
        Optimizer steps of the two ends of the line, α = 0 first.
    nonfinite : (step, parameter)
        Recorded entries that are NaN or Inf in either run. All of the above but matches exclude them.
    …_se : as the estimate
        Standard errors, where only a sample of the entries was recorded, as of gradients; distances are then those of
        the whole tensor, estimated from the sample.
    unshared_steps : ()
        Steps that only one of the runs recorded, which are excluded.
    total_… : (step)
        The same for the whole network, from the sums over all entries; for a mapping of tensors only.

    For several runs, results are stacked on `run` and `other`, symmetric, and NaN for a run with itself. A parent is
    one more `other`, at equal steps; `drift` measures distances from a fixed step of it. Units are matched for a
    mapping of tensors only. Of networks of two architectures only features are compared; the attr `not_compared` says
    in which tensor they differ.

    Raises
    ------
    MissingData
        The runs share no step, not both recorded a step of `steps`, or their tensors differ in name or shape and there
        are no features.
    BadSetting
        A setting is out of range, or the runs were recorded with different probes.

    References
    ----------
    Matched units: Li et al. 2015, Convergent learning, arXiv:1511.07543. Alignment: Ainsworth et al. 2022, Git
    Re-Basin, arXiv:2209.04836. Barriers: Frankle et al. 2020, Linear mode connectivity, arXiv:1912.05671, relative to
    the line between the ends as in Entezari et al. 2021, arXiv:2110.06296.
    """
    check_settings(shuffles, max_units, ends)
    ours, theirs = by_name(weight), by_name(other_weight)
    shared, unshared = steps_of_both(ours, theirs)
    at = chosen_steps(shared, steps)
    attrs: dict[str, Any] = {}
    large: list[str] = []
    tables: dict[str, xr.DataArray] = {}
    different = difference(*({name: values.shape[1:] for name, values in run.items()} for run in (ours, theirs)))
    with_features = features and activations and other_activations
    if different and isinstance(weight, Mapping) and isinstance(other_weight, Mapping):
        if not with_features:
            raise MissingData(
                f"cannot compare the weights: {different}; compare features with --model and --probe, or runs of one "
                "architecture"
            )
        attrs["not_compared"] = f"weights: {different}"
    else:
        different = ""
        tables["sums"], _ = scan(Across(), weight, other=other_weight, reference=int(shared[0]))
    some = {} if different else sampled(ours)
    if some:
        others = {name: theirs[name] for name in some} if isinstance(weight, Mapping) else other_weight
        tensors = some if isinstance(weight, Mapping) else weight
        tables["products"], _ = scan(AcrossProducts(), tensors, other=others, reference=int(shared[0]))
    if different:
        attrs["alignment"] = different
    elif isinstance(weight, Mapping) and match_weights:
        tables["weights"] = weight_table(ours, theirs, at, shuffles, max_units)
        large += unmatched_layers(ours, max_units)
        attrs["alignment"], chain = alignable(chain_in(ours, chain), max_units)
        if not chain.reason:
            tables["aligned"] = aligned_table(chain, ours, theirs, at)
    elif not match_weights:
        attrs["alignment"] = "match_weights is off"
    if features and activations and other_activations:
        attrs |= on_one_probe([*activations.values(), *other_activations.values()])
        rows, sizes = feature_rows(activations, other_activations, at, layers)
        matched = {name: of_layer for name, of_layer in rows.items() if max(sizes[name]) <= max_units}
        tables["features"] = feature_table(matched, at, shuffles=shuffles, absolute=absolute)
        large += [name for name in rows if name not in matched]
        if matrix_layer:
            if matrix_layer not in rows:
                rows, sizes = feature_rows(activations, other_activations, at, [matrix_layer])
            if matrix_layer in rows:
                tables["matrix"] = matrix_table(rows[matrix_layer][-1], sizes[matrix_layer], absolute=absolute)
    if interpolation and probe is not None and "targets" in probe:
        for name, replay in (("line", between_replay), ("aligned_line", aligned_replay)):
            if replay is not None:
                output = replay(layers=[""])[""]
                attrs |= on_one_probe([output])
                tables[name] = score_table(output, probe, objective).rename(step="point")
    settings = {"steps": list(steps), "shuffles": shuffles, "ends": ends, "matrix_layer": matrix_layer}
    not_matched = {"not_matched": too_wide(large, max_units)} if large else {}
    line = between_metrics if {"line", "aligned_line"} & set(tables) else None
    return annotated(result_of(tables, shared), unshared, line, settings | attrs | not_matched)
