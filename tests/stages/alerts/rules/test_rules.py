"""Truth tables: each rule just under, at and just over its threshold."""

import inspect

import numpy as np
import pytest

import trajlab
from trajlab.running.settings import settings_of
from trajlab.stages.alerts import alerts
from trajlab.stages.alerts import rules as folder
from trajlab.stages.alerts.rules import all_rules
from trajlab.stages.alerts.rules.all_zero import all_zero
from trajlab.stages.alerts.rules.dead_relu import dead_relu
from trajlab.stages.alerts.rules.exploding_tensor import exploding_tensor
from trajlab.stages.alerts.rules.loss_not_decreasing import loss_not_decreasing, loss_of_single_steps
from trajlab.stages.alerts.rules.mass_death import mass_death
from trajlab.stages.alerts.rules.overfit import gap_alone, overfit
from trajlab.stages.alerts.rules.poor_weight_initialization import (
    geometric_variances,
    narrow_gradient,
    rising_loss,
    small_gradient,
    stuck_loss,
    uneven_variances,
)
from trajlab.stages.alerts.rules.rank_collapse import rank_collapse
from trajlab.stages.alerts.rules.saturated_activation import saturated_activation
from trajlab.stages.alerts.rules.spike import spike
from trajlab.stages.alerts.rules.tensor_variance import tensor_variance
from trajlab.stages.alerts.rules.unchanged_tensor import unchanged_tensor
from trajlab.stages.alerts.rules.vanishing_gradient import vanishing_gradient
from trajlab.stages.alerts.rules.weight_update_ratio import weight_update_ratio


def around(limit):
    """Just under a limit, at it, and just over it, and a value that is not known."""
    return np.array([np.nextafter(limit, -np.inf), limit, np.nextafter(limit, np.inf), np.nan])


def fires(verdict):
    return verdict.fires.tolist()


def test_rules__are_named_as_their_file_and_take_their_thresholds_from_the_settings_of_the_stage():
    for file, rule in all_rules().items():
        assert rule.name.lower() == file.replace("_", "")
        thresholds = {name for function in rule.judge for name in settings_of(function)}
        assert thresholds | set(rule.minimum) <= set(settings_of(alerts))
        assert all(name.startswith(file) for name in thresholds)


OUTSIDE = """
from trajlab.stages.alerts.rule import Rule, Verdict


def long_run(steps, loss, *, long_run_limit=5):
    return Verdict(steps.astype(float), steps > long_run_limit)


RULE = Rule("LongRun", "loss", (long_run,))
"""


def test_rules__a_file_in_the_folder_is_a_rule(tmp_path, monkeypatch):
    (tmp_path / "long_run.py").write_text(OUTSIDE)
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    run = trajlab.from_arrays({}, metrics={"loss": np.linspace(2, 1, 9)}, steps=np.arange(9))
    result = trajlab.run("alerts", run).compute()
    assert result.first_step.sel(check="LongRun loss") == 6
    assert result.fired.sel(rule="LongRun") == 1


def test_rules__have_the_defaults_that_people_know():
    defaults = {name: p.default for name, p in inspect.signature(alerts).parameters.items()}
    known = {
        "vanishing_gradient_threshold": 0.0000001, "all_zero_threshold": 100, "unchanged_tensor_num_steps": 3,
        "unchanged_tensor_rtol": 1e-05, "unchanged_tensor_atol": 1e-08,
        "weight_update_ratio_large_threshold": 10.0, "weight_update_ratio_small_threshold": 0.00000001,
        "weight_update_ratio_epsilon": 0.000000001, "poor_weight_initialization_threshold": 10.0,
        "poor_weight_initialization_distribution_range": 0.001, "poor_weight_initialization_patience": 5,
        "poor_weight_initialization_steps": 10, "loss_not_decreasing_num_steps": 10, "overfit_start_step": 0,
        "overfit_patience": 1, "overfit_ratio_threshold": 0.1, "dead_relu_threshold_inactivity": 1.0,
        "dead_relu_threshold_layer": 50.0, "saturated_activation_threshold_tanh": (-9.4999, 9.4999),
        "saturated_activation_threshold_sigmoid": (-23, 16.99999), "saturated_activation_threshold_inactivity": 1.0,
        "saturated_activation_threshold_layer": 50.0,
    }  # fmt: skip
    assert {name: defaults[name] for name in known} == known


def test_vanishing_gradient():
    assert fires(vanishing_gradient(around(1e-7), vanishing_gradient_threshold=1e-7)) == [True, False, False, False]


def test_exploding_tensor():
    assert fires(exploding_tensor(np.array([0, 1, 5]))) == [False, True, True]


@pytest.mark.parametrize(("threshold", "expected"), [(100, [False, False, True]), (50, [False, True, True])])
def test_all_zero(threshold, expected):
    assert fires(all_zero(np.array([3, 4, 8]), np.array([8, 8, 8]), all_zero_threshold=threshold)) == expected


def test_all_zero__of_an_empty_tensor_is_unknown():
    with np.errstate(invalid="ignore"):
        verdict = all_zero(np.zeros(1), np.zeros(1), all_zero_threshold=100)
    assert np.isnan(verdict.value) and not verdict.fires


@pytest.mark.parametrize(
    ("num_steps", "expected"),
    [(2, [0, 1, 1, 0, 1, 1, 1]), (3, [0, 0, 1, 0, 0, 1, 1]), (4, [0, 0, 0, 0, 0, 0, 1])],
)
def test_unchanged_tensor(num_steps, expected):
    apart = np.array([np.nan, 0, 0, 1, 0, 0, 0])
    assert fires(unchanged_tensor(apart, np.full(7, 9.0), unchanged_tensor_num_steps=num_steps)) == expected


def test_tensor_variance():
    limits = {"tensor_variance_max_threshold": 10.0, "tensor_variance_min_threshold": 1e-5}
    assert fires(tensor_variance(around(10.0), **limits)) == [False, False, True, False]
    assert fires(tensor_variance(around(1e-5), **limits)) == [True, False, False, False]


def test_weight_update_ratio():
    limits = {
        "weight_update_ratio_large_threshold": 10.0,
        "weight_update_ratio_small_threshold": 0.5,
        "weight_update_ratio_epsilon": 0.0,
    }
    one = np.ones(4)
    assert fires(weight_update_ratio(around(10.0), one, **limits)) == [False, False, True, False]
    assert fires(weight_update_ratio(around(0.5), one, **limits)) == [True, False, False, False]
    limits["weight_update_ratio_epsilon"] = 1e-9
    assert weight_update_ratio(np.array([1.0]), np.array([0.0]), **limits).value.item() == pytest.approx(1e9)


def test_poor_weight_initialization__growth_from_layer_to_layer():
    limit = {"poor_weight_initialization_threshold": 10.0}
    assert geometric_variances(np.array([[1.0], [9.0], [99.0]]), **limit).value == pytest.approx(99**0.5)
    assert fires(geometric_variances(np.array([[1.0], [9.0], [99.0]]), **limit)) == [False]
    assert fires(geometric_variances(np.array([[1.0], [50.0], [101.0]]), **limit)) == [True]
    assert np.isnan(geometric_variances(np.array([[1.0], [np.nan]]), **limit).value).all()


def test_poor_weight_initialization__small_gradient():
    limit = {"poor_weight_initialization_distribution_range": 0.001}
    assert fires(small_gradient(around(0.001), **limit)) == [True, False, False, False]


def test_poor_weight_initialization__rising_loss():
    patience = {"poor_weight_initialization_patience": 3}
    assert fires(rising_loss(np.array([1.0, 1.1, 1.0, 5.0, 5.1, 5.0]), **patience)) == [False] * 5 + [True]
    assert not rising_loss(np.array([1.0, 1.4, 0.8, 1.0, 1.5, 0.9]), **patience).fires.any()
    assert not rising_loss(np.ones(6), **patience).fires.any()
    assert np.isnan(rising_loss(np.ones(5), **patience).value).all()


def test_poor_weight_initialization__variances_as_published():
    variances = np.stack([around(10.0), np.ones(4), np.full(4, 3.0)])
    assert fires(uneven_variances(variances, poor_weight_initialization_threshold=10.0))[:3] == [False, False, True]
    with np.errstate(divide="ignore"):
        assert fires(uneven_variances(np.array([[1.0], [0.0]]), poor_weight_initialization_threshold=10.0)) == [True]
    assert not uneven_variances(np.array([[1.0], [np.nan]]), poor_weight_initialization_threshold=0.5).fires.any()


def test_poor_weight_initialization__range_of_the_gradient():
    high = around(0.001)
    assert fires(narrow_gradient(np.zeros(4), high, poor_weight_initialization_distribution_range=0.001)) == [
        True,
        False,
        False,
        False,
    ]


def test_poor_weight_initialization__loss():
    loss = np.array([3.0, 2.0, 2.0, 2.5, np.nan, 2.1, 1.0])
    assert fires(stuck_loss(loss, poor_weight_initialization_patience=4)) == [False] * 5 + [True, False]
    assert fires(stuck_loss(loss, poor_weight_initialization_patience=3)) == [False] * 4 + [True, True, False]


def test_loss_not_decreasing__as_published_looks_every_so_many_steps():
    """The example of the documentation: saved every 3 steps, looked at every 10."""
    steps = np.arange(9, 40, 3)
    looked = loss_of_single_steps(
        steps, np.linspace(2, 1, steps.size), loss_not_decreasing_num_steps=10, loss_not_decreasing_diff_percent=0.1
    ).value
    assert steps[np.isfinite(looked)].tolist() == [21, 33]


NUM_STEPS = {"loss_not_decreasing_num_steps": 10, "loss_not_decreasing_diff_percent": 0.1}


def decreasing(loss, **settings):
    return loss_not_decreasing(np.arange(loss.size), loss, **NUM_STEPS | settings)


def test_loss_not_decreasing__compares_windows_with_the_first():
    loss = np.repeat([4.0, 3.0, 1.0, 1.0, 3.0], 20)
    verdict = decreasing(loss, loss_not_decreasing_window=20)
    checked = np.flatnonzero(np.isfinite(verdict.value))
    assert checked.tolist() == [39, 49, 59, 69, 79, 89, 99]
    assert verdict.value[[39, 59, 79, 99]].tolist() == [25.0, 75.0, 75.0, 25.0]
    assert np.flatnonzero(verdict.fires).tolist() == [99]  # gave back more than half of its fall, 75 %
    assert decreasing(loss, loss_not_decreasing_window=10).value[19] == 0.0


def test_loss_not_decreasing__a_noisy_loss_that_falls_is_quiet_and_a_stuck_one_fires(rng):
    noise = 0.1 * rng.standard_normal(400)
    assert not decreasing(np.linspace(3, 2, 400) + noise).fires.any()
    assert not decreasing(2 * np.exp(-np.arange(400) / 20) + 1 + noise).fires.any()  # converged
    assert decreasing(3 + noise).fires.any()
    assert decreasing(np.linspace(2, 3, 400) + noise).fires[-10:].any()


def test_loss_not_decreasing__few_losses_and_losses_of_zero():
    assert np.isnan(decreasing(np.array([1.0])).value).all()
    assert np.isfinite(decreasing(np.linspace(2, 1, 12)).value).any()
    with np.errstate(all="ignore"):
        assert not decreasing(np.zeros(40)).fires.any()


@pytest.mark.parametrize("limit", [0.5, 50.0])
def test_loss_not_decreasing__threshold_as_published(limit):
    loss = 64.0 * (1 - limit / 100)
    for value, expected in zip(
        [np.nextafter(loss, 99), loss, np.nextafter(loss, 0)], [True, False, False], strict=True
    ):
        verdict = loss_of_single_steps(
            np.array([0, 10]),
            np.array([64.0, value]),
            loss_not_decreasing_num_steps=10,
            loss_not_decreasing_diff_percent=limit,
        )
        assert fires(verdict) == [False, expected]


def test_overfit__fires_only_if_the_validation_loss_rises():
    limits = {"overfit_start_step": 0, "overfit_patience": 1, "overfit_ratio_threshold": 0.1}
    training = np.linspace(2.0, 0.1, 6)
    falling, rising = np.linspace(2.0, 1.0, 6), np.array([2.0, 1.0, 0.8, 0.85, 0.9, 1.0])
    assert not overfit(np.arange(6), training, falling, **limits).fires.any()
    assert gap_alone(np.arange(6), training, falling, **limits).fires.any()
    assert fires(overfit(np.arange(6), training, rising, **limits)) == [False] * 4 + [True, True]
    assert fires(overfit(np.arange(6), training, rising, **limits | {"overfit_patience": 2})) == [False] * 5 + [True]
    assert not overfit(np.arange(6), rising, rising, **limits).fires.any()  # training rises, too


def test_overfit__threshold_as_published():
    steps, train = np.arange(4), np.full(4, 2.0)
    limits = {"overfit_start_step": 0, "overfit_patience": 1, "overfit_ratio_threshold": 0.5}
    assert fires(gap_alone(steps, train, around(3.0), **limits)) == [False, False, True, False]


@pytest.mark.parametrize(
    ("patience", "expected"), [(1, [0, 1, 1, 0, 1, 1, 1]), (2, [0, 0, 1, 0, 0, 1, 1]), (3, [0, 0, 0, 0, 0, 0, 1])]
)
def test_overfit__patience_as_published(patience, expected):
    validation = np.array([1, 2, 2, 1, 2, 2, 2.0])
    verdict = gap_alone(
        np.arange(7),
        np.ones(7),
        validation,
        overfit_start_step=0,
        overfit_patience=patience,
        overfit_ratio_threshold=0.1,
    )
    assert fires(verdict) == expected
    late = gap_alone(
        np.arange(7),
        np.ones(7),
        validation,
        overfit_start_step=5,
        overfit_patience=patience,
        overfit_ratio_threshold=0.1,
    )
    assert not late.fires[:5].any() and np.isnan(late.value[:5]).all()


def test_overfit__takes_the_mean_of_the_training_loss_since_the_last_validation():
    train = np.array([9.0, 9.0, 1.0, 3.0])
    validation = np.array([np.nan, 9.0, np.nan, 4.0])
    verdict = gap_alone(
        np.arange(4), train, validation, overfit_start_step=0, overfit_patience=1, overfit_ratio_threshold=0.9
    )
    np.testing.assert_array_equal(verdict.value, [np.nan, 0, np.nan, 1])


@pytest.mark.parametrize("rule", [dead_relu, saturated_activation])
def test_inactive_layers(rule):
    """Activity of 1 per cent is the limit for a unit, half of the units that for the layer."""
    limits = {f"{rule.__name__}_threshold_inactivity": 1.0, f"{rule.__name__}_threshold_layer": 50.0}
    low, at = 0.0099, 0.01
    active = np.array([[low, low, at, 1], [low, low, low, 1], [at, at, at, at], [low, low, np.nan, np.nan]])
    assert fires(rule(active, **limits)) == [False, True, False, True]
    assert rule(active, **limits).value.tolist() == [50, 75, 0, 100]
    assert np.isnan(rule(np.full((1, 3), np.nan), **limits).value).all()


def test_mass_death():
    active = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    assert mass_death(active, mass_death_window=1, mass_death_share=0.25).value[1:].tolist() == [0.25, 0.25, 0.25]
    assert fires(mass_death(active, mass_death_window=1, mass_death_share=0.25)) == [False] * 4
    assert mass_death(active, mass_death_window=2, mass_death_share=0.25).value[1:].tolist() == [0.25, 0.5, 0.5]
    assert fires(mass_death(active, mass_death_window=2, mass_death_share=0.25)) == [False, False, True, True]
    assert fires(mass_death(active, mass_death_window=2, mass_death_share=0.5)) == [False] * 4


def test_spike__threshold():
    """A baseline whose logarithm has the median 3 and the median absolute deviation 1; or the baseline itself."""
    before = np.exp([1.0, 2, 3, 4, 5])
    limit = np.exp(3 + 10 * 1.4826)
    for value, expected in ((limit * (1 - 1e-9), False), (limit * (1 + 1e-9), True), (np.inf, True), (np.nan, False)):
        verdict = spike(np.append(before, value), spike_window=5, spike_min_values=5, spike_deviations=10.0)
        assert fires(verdict) == [False] * 5 + [expected]
    signed = np.array([-2.0, -1, 0, 1, 2, 10])
    actual = spike(signed, spike_window=5, spike_min_values=5, spike_deviations=10.0).value[5]
    assert actual == pytest.approx(10 / 1.4826)


def test_spike__needs_a_baseline_and_forgets_what_is_long_ago():
    signal = np.array([1.0, 2, 1, np.nan, 900, 2, 1, 2, 1, 2, 900])
    with np.errstate(divide="ignore"):
        actual = spike(signal, spike_window=4, spike_min_values=3, spike_deviations=10)
    assert np.isnan(actual.value[:4]).all()
    assert np.flatnonzero(actual.fires).tolist() == [4, 10]


def test_rank_collapse():
    rank = np.append(8.0, around(4.0))
    assert fires(rank_collapse(rank, rank_collapse_share=0.5)) == [False, True, False, False, False]
    assert fires(rank_collapse(np.array([np.nan, 8, 3]), rank_collapse_share=0.5)) == [False, False, True]


def spikes(signal):
    return np.flatnonzero(spike(np.asarray(signal), spike_window=50, spike_min_values=10, spike_deviations=10).fires)


def test_spike__a_deviation_has_a_least_size(rng):
    flat = np.ones(20)
    assert spikes([*flat, 1.0000001, 1.0]).tolist() == []
    assert spikes([*flat, 1.05]).tolist() == [] and spikes([*flat, 1.2]).tolist() == [20]
    assert spikes([*(1000 * flat), 1050.0]).tolist() == [] and spikes([*(1000 * flat), 1200.0]).tolist() == [20]
    tight = 2 + 0.0001 * rng.standard_normal(40)
    assert spikes([*tight, 2.1]).tolist() == [] and spikes([*tight, 2.3]).tolist() == [40]
    verdict = spike(np.append(tight, 2.1), spike_window=50, spike_min_values=10, spike_deviations=10,
                    spike_smallest_deviation=0.0)  # fmt: skip
    assert verdict.fires[-1]


def test_spike__losses_rounded_to_a_decimal_are_no_spikes(rng):
    logged = np.round(0.0005 + 0.00003 * rng.standard_normal(2000), 4)  # as the Trainer of transformers writes them
    assert spikes(logged).tolist() == []
    assert spikes(np.append(logged, 0.005)).tolist() == [2000]
    assert spikes(np.round(0.69 + 0.004 * rng.standard_normal(500), 2)).tolist() == []


def test_rules__about_change_do_not_judge_a_single_snapshot():
    assert np.isnan(unchanged_tensor(np.array([np.nan]), np.array([9.0]), unchanged_tensor_num_steps=2).value).all()
    assert np.isnan(rank_collapse(np.array([3.0]), rank_collapse_share=0.5).value).all()
    assert np.isnan(stuck_loss(np.array([3.0]), poor_weight_initialization_patience=1).value).all()
