"""When and where training goes wrong."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.scan import Tensor, by_name
from trajlab.stages.alerts.evidence import gather
from trajlab.stages.alerts.judge import judge
from trajlab.stages.alerts.matrix_rank import MEASURES, matrices_of, rank_operations
from trajlab.stages.alerts.rule import Rule
from trajlab.stages.alerts.rules import all_rules, evidence_for, rule_names
from trajlab.stages.alerts.tables import Key, gradient_tables, layer_tables, metric_tables, weight_tables
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.units import on_one_probe

INPUTS = ("metrics", "gradient", "weight", "activation")

OF_LAYERS = {
    "active", "relu_active", "unsaturated", "nonfinite", "early_variances", "published_early_variances",
}  # fmt: skip
"""Evidence that activations give."""

SIGNED = ("loss_not_decreasing_diff_percent", "overfit_ratio_threshold")
"""Thresholds that may be negative."""

MEANINGS = {
    "fires": Meaning("rule fires", "1", "1 where value is beyond the rule's threshold, 0 where not, NaN if unknown"),
    "value": Meaning("value that the rule checks", "as the rule", "see the rule in the help of the stage"),
    "first_step": Meaning("first step at which the rule fires", "steps", "NaN if it never fires"),
    "last_step": Meaning("last step at which the rule fires", "steps", "NaN if it never fires"),
    "duration": Meaning(
        "longest alert", "recorded steps", "largest number of checked steps in a row at which the rule fires"
    ),
    "checked": Meaning("places checked", "places", "count of places with a known value"),
    "fired": Meaning("places where the rule fires", "places", "count of places where it fires at some step"),
    "reason": Meaning("reason why the rule was not checked", "text", "what the run lacks; empty if it was checked"),
    "rules_fired": Meaning("rules that fire", "rules", "count of rules that fire somewhere at some step"),
}


def alerts(
    metrics: xr.Dataset | None = None,
    gradient: Tensor | None = None,
    weight: Tensor | None = None,
    activation: Tensor | None = None,
    *,
    rules: Sequence[str] = (),
    published: bool = False,
    vanishing_gradient_threshold: float = 1e-7,
    all_zero_threshold: float = 100.0,
    unchanged_tensor_num_steps: int = 3,
    unchanged_tensor_rtol: float = 1e-5,
    unchanged_tensor_atol: float = 1e-8,
    tensor_variance_max_threshold: float = 10.0,
    tensor_variance_min_threshold: float = 1e-5,
    weight_update_ratio_large_threshold: float = 10.0,
    weight_update_ratio_small_threshold: float = 1e-8,
    weight_update_ratio_epsilon: float = 1e-9,
    poor_weight_initialization_threshold: float = 10.0,
    poor_weight_initialization_distribution_range: float = 0.001,
    poor_weight_initialization_patience: int = 5,
    poor_weight_initialization_steps: int = 10,
    loss: str = "",
    validation_loss: str = "",
    loss_not_decreasing_num_steps: int = 10,
    loss_not_decreasing_diff_percent: float = 0.1,
    loss_not_decreasing_window: int = 0,
    overfit_start_step: int = 0,
    overfit_patience: int = 1,
    overfit_ratio_threshold: float = 0.1,
    spike_window: int = 50,
    spike_min_values: int = 10,
    spike_deviations: float = 10.0,
    spike_smallest_deviation: float = 0.01,
    dead_relu_threshold_inactivity: float = 1.0,
    dead_relu_threshold_layer: float = 50.0,
    saturated_activation_threshold_tanh: Sequence[float] = (-9.4999, 9.4999),
    saturated_activation_threshold_sigmoid: Sequence[float] = (-23.0, 16.99999),
    saturated_activation_threshold_inactivity: float = 1.0,
    saturated_activation_threshold_layer: float = 50.0,
    mass_death_window: int = 5,
    mass_death_share: float = 0.25,
    rank_collapse_measure: str = "effective",
    rank_collapse_share: float = 0.5,
    rank_collapse_steps: int = 50,
) -> xr.Dataset:
    """Check rules for training problems: those of SageMaker Debugger and MindInsight, and a few more, offline.

    Answers: did anything go wrong in this run, where first, since when, and for how long?

    A rule is checked wherever the run has what it needs. ExplodingTensor: an entry of a weight or gradient, an
    activation, the loss or the validation loss is NaN or Inf; a step at which a loss was not measured does not count,
    see `trajlab.from_arrays`. VanishingGradient: the mean |g| of the gradient of a matrix. AllZero: the percentage of
    zeros in a gradient or matrix. UnchangedTensor: recorded matrices in a row that are close, as in `numpy.allclose`.
    TensorVariance: the variance of a matrix. WeightUpdateRatio: mean |w_t − w_prev| / (mean |w_prev| + epsilon) of a
    matrix, between snapshots. LossNotDecreasing: the mean loss over a window compared with that over the first one; a
    loss that has fallen and stays there has converged. Overfit: the validation loss, once it has risen and exceeds the
    mean training loss since the previous validation. DeadRelu and SaturatedActivation: the percentage
    of a layer's ReLUs that are rarely active, or of its units rarely between the extremes of tanh or sigmoid, on the
    probe; functions such as `F.relu` are layers, too, and activations that cannot be observed are named in the attr
    `unobserved`. Spike:
    the loss, or the norm of the whole gradient, compared with the median of the values before. MassDeath: units of a
    layer that are stuck at the constant of their activation, 0 of a ReLU, and were not a few snapshots before; units of
    tanh, ELU and their like cannot be. RankCollapse: the rank of a matrix compared with its
    first one.

    PoorWeightInitialization checks the first few optimizer steps: the factor by which the variance of activations on
    the probe changes from layer to layer, or without a probe that of fan_in·var(w), the gain of a matrix for inputs of
    unit variance; the RMS of a matrix's gradient compared with the largest of all; and whether the loss rises.

    Five rules fire in healthy runs as they are published, and are checked otherwise by default. With `published`,
    LossNotDecreasing compares losses of single steps, Overfit the validation loss with the training loss alone,
    VanishingGradient and UnchangedTensor check biases and norms, too, and PoorWeightInitialization compares the largest
    with the smallest variance (SageMaker's, of the inputs of ReLUs), the 5th and 95th percentile of each gradient, and
    the age of the lowest loss.

    Matrices are weights of two dims or more, as biases and norms start as constants, and a bias in front of a
    normalization has no gradient. A matrix that starts at zero, as the second one of LoRA does, is judged once it has
    left zero; as published, from the first step. Saturation is measured on outputs, with the limits of the inputs put
    through the function.

    Parameters
    ----------
    metrics
        Recorded metrics.
    gradient
        Gradients by name, dims (step, ...) or (step, sample); of samples, the recorded entries.
    weight
        Weights by name, dims (step, ...).
    activation
        Outputs of layers on the probe by name, dims (step, …, unit, …), as `trajlab.replay` returns them.
    rules
        Names of the rules to check, such as DeadRelu; all by default. What only others need is not computed.
    published
        Check the rules of SageMaker Debugger as they are published, on single steps and all tensors.
    vanishing_gradient_threshold
        VanishingGradient fires below this mean |g|.
    all_zero_threshold
        AllZero fires if at least this percentage of entries is zero.
    unchanged_tensor_num_steps
        UnchangedTensor fires if this number of recorded steps in a row are close.
    unchanged_tensor_rtol
        Relative tolerance of UnchangedTensor.
    unchanged_tensor_atol
        Absolute tolerance of UnchangedTensor.
    tensor_variance_max_threshold
        TensorVariance fires above this variance.
    tensor_variance_min_threshold
        TensorVariance fires below this variance.
    weight_update_ratio_large_threshold
        WeightUpdateRatio fires above this ratio.
    weight_update_ratio_small_threshold
        WeightUpdateRatio fires below this ratio.
    weight_update_ratio_epsilon
        Added to mean |w_prev| in WeightUpdateRatio, as in SageMaker Debugger and MindInsight.
    poor_weight_initialization_threshold
        PoorWeightInitialization fires above this ratio of variances from layer to layer; as published, of the largest
        to the smallest.
    poor_weight_initialization_distribution_range
        PoorWeightInitialization fires if the RMS of a gradient is below this share of the largest; as published, if the
        percentiles of a gradient are closer than this.
    poor_weight_initialization_patience
        PoorWeightInitialization fires if the mean of this number of losses is above that of those before; as published,
        if the lowest loss is this number of recorded steps old.
    poor_weight_initialization_steps
        Number of optimizer steps, from the first recorded one, that PoorWeightInitialization checks.
    loss
        Name of the metric with the training loss; by default the first of the usual names.
    validation_loss
        Name of the metric with the validation loss; by default the first of the usual names.
    loss_not_decreasing_num_steps
        Number of optimizer steps between checks of LossNotDecreasing.
    loss_not_decreasing_diff_percent
        LossNotDecreasing fires if the loss fell by less than this percentage.
    loss_not_decreasing_window
        Number of recorded losses over which LossNotDecreasing averages; 0 for a quarter of all, at most 50.
    overfit_start_step
        First step that Overfit checks.
    overfit_patience
        Overfit fires after this number of validations in a row.
    overfit_ratio_threshold
        Overfit counts validations at which the validation loss exceeds both its lowest value and the training loss by
        this share; as published, the training loss alone.
    spike_window
        Number of preceding values that form the baseline of Spike.
    spike_min_values
        Smallest number of values in a baseline of Spike.
    spike_deviations
        Spike fires above this number of robust standard deviations, each 1.4826 median absolute deviations; of positive
        values those of the logarithm.
    spike_smallest_deviation
        Smallest robust standard deviation of a baseline, as a share of its median. It is also at least the decimal to
        which all values of the baseline are rounded.
    dead_relu_threshold_inactivity
        ReLUs active at less than this percentage of positions count as dead.
    dead_relu_threshold_layer
        DeadRelu fires above this percentage of dead units in a layer.
    saturated_activation_threshold_tanh
        Inputs below and above which tanh is saturated.
    saturated_activation_threshold_sigmoid
        Inputs below and above which a sigmoid is saturated.
    saturated_activation_threshold_inactivity
        Units between these at less than this percentage of positions count as saturated.
    saturated_activation_threshold_layer
        SaturatedActivation fires above this percentage of saturated units in a layer.
    mass_death_window
        Number of snapshots within which the units of a MassDeath die.
    mass_death_share
        MassDeath fires above this share of a layer's units.
    rank_collapse_measure
        Rank of RankCollapse: effective, exp of the entropy of s/Σs, or stable, Σs²/max s².
    rank_collapse_share
        RankCollapse fires below this share of the first known rank.
    rank_collapse_steps
        Most recorded steps at which RankCollapse is checked, evenly spaced, the first and the last included: all
        singular values of each matrix are its most expensive evidence.

    Returns
    -------
    fires, value : (step, check)
        Whether a rule fires at a place, 1 or 0, and the number it compares; NaN where it could not be checked. The
        coords `rule_of`, `place_of` and `kind_of` describe each check. Places are parameters, with .grad for gradients,
        layers, metrics, and the whole network.
    first_step, last_step, duration : (check)
        First and last step at which it fires, and the largest number of checked steps in a row.
    checked, fired : (rule)
        Number of places at which the rule was checked, and at which it fires.
    reason : (rule)
        Why a rule was not checked; empty if it was. A single snapshot says nothing about change: rules about it are not
        checked then.
    rules_fired : ()
        Number of rules that fire.

    Raises
    ------
    BadSetting
        A setting is not finite, or too small; a range is not two rising numbers, or a name or rule is unknown.
    MissingData
        The run has no metrics, gradients, weights or activations.

    References
    ----------
    Names, meanings and defaults: Amazon SageMaker Debugger, List of built-in rules; TensorVariance has no defaults
    there. WeightUpdateRatio is that of MindInsight's WeightChangeTooLarge and WeightChangeTooSmall. Effective rank:
    Roy and Vetterli 2007.
    """
    settings = _settings(locals())
    _check(settings, metrics)
    names = set(rule_names(rules)) or {rule.name for rule in all_rules().values()}
    checked = tuple(rule for rule in all_rules().values() if rule.name in names)
    evidence = evidence_for(checked)
    matrices = matrices_of(by_name(weight), rank_collapse_steps) if "rank" in evidence else {}
    layers = activation if isinstance(activation, Mapping) else by_name(activation)
    tables = {
        **weight_tables(
            by_name(weight),
            matrices,
            atol=unchanged_tensor_atol,
            rtol=unchanged_tensor_rtol,
            rank_measure=rank_collapse_measure,
        ),
        **gradient_tables(by_name(gradient), early_steps=poor_weight_initialization_steps, published=published),
        **layer_tables(
            layers if evidence & OF_LAYERS else {},
            tanh=saturated_activation_threshold_tanh,
            sigmoid=saturated_activation_threshold_sigmoid,
        ),
        **metric_tables(metrics),
    }
    if not tables:
        raise MissingData(
            "cannot check any rule: the run has no metrics, gradients, weights or activations; "
            "name a run with snapshots"
        )
    work = partial(_result, keys=tuple(tables), checked=checked, settings=settings)
    unobserved = {name: text for name, text in on_one_probe(tables.values()).items() if name == "unobserved"}
    attrs = settings | unobserved | {"operations": rank_operations(matrices)}
    return annotate(as_one_task(work, *tables.values()), MEANINGS, **attrs)


def _settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in INPUTS}


def _check(settings: Mapping[str, Any], metrics: xr.Dataset | None) -> None:
    for rule in all_rules().values():
        for name, smallest in rule.minimum.items():
            if name in settings and settings[name] < smallest:
                raise BadSetting(f"cannot use {name}={settings[name]}: choose {smallest} or more")
    for name, value in settings.items():
        if isinstance(value, int | float) and not (math.isfinite(value) and (value >= 0 or name in SIGNED)):
            raise BadSetting(f"cannot use {name}={value}: choose a finite number{'' if name in SIGNED else ' ≥ 0'}")
    for name in ("saturated_activation_threshold_tanh", "saturated_activation_threshold_sigmoid"):
        low, high = settings[name] if len(settings[name]) == 2 else (math.nan, math.nan)
        if not -math.inf < low < high < math.inf:
            raise BadSetting(f"cannot use {name}={list(settings[name])}: give two numbers, the smaller one first")
    if settings["rank_collapse_steps"] < 1:
        raise BadSetting(f"cannot use rank_collapse_steps={settings['rank_collapse_steps']}: choose 1 or more")
    if settings["rank_collapse_measure"] not in MEASURES:
        raise BadSetting(
            f"cannot use rank_collapse_measure={settings['rank_collapse_measure']!r}: choose {' or '.join(MEASURES)}"
        )
    names = [] if metrics is None else [str(name) for name in metrics]
    for name in ("loss", "validation_loss"):
        if settings[name] and settings[name] not in names:
            raise BadSetting(
                f"cannot find the metric {name}={settings[name]!r}: the run recorded {', '.join(names) or 'none'}; "
                "name one of its metrics"
            )


def _result(
    *tables: xr.DataArray, keys: tuple[Key, ...], checked: tuple[Rule, ...], settings: Mapping[str, Any]
) -> xr.Dataset:
    evidence = gather(
        dict(zip(keys, tables, strict=True)),
        early_steps=settings["poor_weight_initialization_steps"],
        loss=settings["loss"],
        validation_loss=settings["validation_loss"],
        published=settings["published"],
    )
    return judge(evidence, checked, settings)
