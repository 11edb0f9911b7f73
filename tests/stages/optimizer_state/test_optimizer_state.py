import copy

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.stages.optimizer_state.hyperparameters import factors_of


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def train(kind, steps, dead=False, **settings):
    """Train, and return a run with the state after each update, and the updates that torch made, without decay."""
    model = network()
    optimizer = kind(model.parameters(), **settings)
    torch.manual_seed(1)
    weights, gradients, moments, updates = {}, {}, {}, {}
    for _ in range(steps):
        optimizer.zero_grad()
        inputs = torch.randn(8, 6)
        if dead:
            inputs[:, 2] = 0
        model(inputs).square().mean().backward()
        before = {name: parameter.detach().clone().double() for name, parameter in model.named_parameters()}
        decay = settings.get("weight_decay", 0.0) * settings["lr"] if kind is torch.optim.AdamW else 0.0
        optimizer.step()
        for name, parameter in model.named_parameters():
            now = parameter.detach().clone()
            weights.setdefault(name, []).append(now.numpy())
            updates.setdefault(name, []).append((before[name] * (1 - decay) - now.double()).numpy())
            for entry, value in optimizer.state[parameter].items():
                if torch.is_tensor(value) and value.ndim:
                    moments.setdefault(entry, {}).setdefault(name, []).append(value.clone().numpy())
        optimizer.zero_grad()
        model(inputs := torch.randn(8, 6)).square().mean().backward()
        for name, parameter in model.named_parameters():
            gradients.setdefault(name, []).append(parameter.grad.clone().numpy())
        optimizer.zero_grad()
    group = dict(optimizer.param_groups[0])
    if "betas" in group:
        group["beta1"], group["beta2"] = group.pop("betas")
    numbers = {name: value for name, value in group.items() if isinstance(value, int | float)}
    run = trajlab.from_arrays(
        {name: np.stack(rows) for name, rows in weights.items()},
        {name: np.stack(rows) for name, rows in gradients.items()},
        steps=np.arange(1, steps + 1),
        moments={entry: {name: np.stack(rows) for name, rows in of.items()} for entry, of in moments.items()},
        hyperparameters=numbers | {"updates": np.arange(1.0, steps + 1)},
    )
    return run, {name: np.stack(rows) for name, rows in updates.items()}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.Adam, {}),
        (torch.optim.Adam, {"amsgrad": True, "betas": (0.7, 0.9), "eps": 1e-3}),
        (torch.optim.AdamW, {"weight_decay": 0.1}),
        (torch.optim.SGD, {"momentum": 0.9}),
        (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5}),
    ],
)
def test_update__is_the_one_that_torch_made(kind, settings):
    run, updates = train(kind, 6, lr=0.05, **settings)
    result = trajlab.run("optimizer_state", run).compute()
    square = 0.0
    for name, steps in updates.items():
        norms = np.linalg.norm(steps.reshape(6, -1), axis=1)
        row = result.sel(parameter=name)
        np.testing.assert_allclose(row.update_norm, norms, rtol=2e-5)
        np.testing.assert_allclose(row.update_max, abs(steps).reshape(6, -1).max(1), rtol=2e-5, atol=1e-7)
        norm = np.linalg.norm(run.weights[name].values.reshape(6, -1).astype(float), axis=1)
        np.testing.assert_allclose(row.weight_norm, norm, rtol=1e-12)
        np.testing.assert_allclose(row.update_ratio, norms / norm, rtol=2e-5)
        np.testing.assert_allclose(row.direction_rms, norms / 0.05 / np.sqrt(steps[0].size), rtol=2e-5)
        square = square + norms**2
    np.testing.assert_allclose(result.total_update_norm, np.sqrt(square), rtol=2e-5)
    np.testing.assert_allclose(result.update_share.sum("parameter"), 1.0)


def test_effective_learning_rate__is_the_quantile_over_entries():
    run, _ = train(torch.optim.Adam, 4, lr=0.05, eps=1e-4)
    result = trajlab.run("optimizer_state", run, quantiles=[0.0, 0.25, 1.0]).compute()
    second = run.optimizer.moments["exp_avg_sq"]["2.bias"].values.astype(float)
    rates = 0.05 / (np.sqrt(second / (1 - 0.999 ** np.arange(1, 5)[:, None])) + 1e-4)
    expected = np.quantile(rates, [0.0, 0.5, 1.0], axis=1).T
    actual = (
        trajlab.run("optimizer_state", run, quantiles=[0.0, 0.5, 1.0]).compute().effective_lr.sel(parameter="2.bias")
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    assert result.effective_lr.dims == ("step", "parameter", "quantile")
    run, _ = train(torch.optim.SGD, 2, lr=0.05, momentum=0.9)
    rates = trajlab.run("optimizer_state", run).effective_lr
    np.testing.assert_allclose(rates, 0.5, rtol=1e-12)


def test_moments_without_gradient__are_zero_or_fade():
    run, _ = train(torch.optim.Adam, 5, dead=True, lr=0.05)
    second = {name: array.values.copy() for name, array in run.optimizer.moments["exp_avg_sq"].items()}
    first = {name: array.values.copy() for name, array in run.optimizer.moments["exp_avg"].items()}
    for t in range(2, 5):  # as torch does without a gradient
        first["2.weight"][t, 0] = np.float32(0.9) * first["2.weight"][t - 1, 0]
        second["2.weight"][t, 0] = np.float32(0.999) * second["2.weight"][t - 1, 0]
    run = trajlab.from_arrays(
        {name: array.values for name, array in run.weights.items()}, steps=run.steps,
        moments={"exp_avg": first, "exp_avg_sq": second},
        hyperparameters={**{n: float(v[0, 0]) for n, v in run.optimizer.hyperparameters.items() if n != "updates"},
                         "updates": np.arange(1.0, 6)},
    )  # fmt: skip
    result = trajlab.run("optimizer_state", run).compute()
    np.testing.assert_allclose(result.zero_moments.sel(parameter="0.weight"), 1 / 6)
    assert (result.zero_moments.sel(parameter="2.weight") == 0).all()
    fading = result.fading.sel(parameter="2.weight").values
    np.testing.assert_allclose(fading, [np.nan, 0, 1 / 3, 1 / 3, 1 / 3])
    assert (result.fading.sel(parameter="0.weight").values[1:] == 0).all()
    np.testing.assert_allclose(result.total_zero_moments, 5 / 53)


def test_fading__of_torchs_own_steps_without_gradient():
    parameter = nn.Parameter(torch.randn(400, dtype=torch.float32))
    optimizer = torch.optim.Adam([parameter], lr=0.1)
    rows = []
    for step in range(1, 1204):
        parameter.grad = torch.randn(400) * torch.logspace(-18, 3, 400) if step < 4 else torch.zeros(400)
        if step >= 1000:
            parameter.grad[:100] = torch.randn(100) * torch.logspace(-18, 3, 400)[:100]
        optimizer.step()
        if step in (3, 4, 603, 1203):
            rows.append([optimizer.state[parameter][entry].clone().numpy() for entry in ("exp_avg", "exp_avg_sq")])
    first, second = (np.stack(row) for row in zip(*rows, strict=True))
    run = trajlab.from_arrays(
        {"w": np.ones((4, 400), np.float32)}, steps=[3, 4, 603, 1203],
        moments={"exp_avg": {"w": first}, "exp_avg_sq": {"w": second}},
        hyperparameters={"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": 0,
                         "updates": [3, 4, 603, 1203]},
    )  # fmt: skip
    fading = trajlab.run("optimizer_state", run).compute().fading.values[:, 0]
    kept = (second[2] > 0).sum()
    assert np.isnan(fading[0]) and fading[1] == 1.0 and fading[2] == 1.0
    with_gradient = (second[2, :100] > 0) & (second[3, :100] > second[2, :100] * 0.999**600 * 1.0002)
    assert fading[3] == pytest.approx(1 - with_gradient.sum() / kept, abs=2 / kept)


def test_fading__is_unknown_where_the_type_is_too_coarse():
    run, _ = train(torch.optim.Adam, 3, lr=0.05)
    hyperparameters = run.optimizer.hyperparameters
    fine = factors_of(hyperparameters, "0.weight", run.steps, "float32").fade
    coarse = factors_of(hyperparameters, "0.weight", run.steps, "bfloat16").fade
    assert np.isfinite(fine[1:]).all() and np.isnan(coarse).all()


def test_gradient__against_the_second_moments():
    run, _ = train(torch.optim.Adam, 5, lr=0.05)
    result = trajlab.run("optimizer_state", run).compute()
    k = np.arange(1, 6)[:, None]
    whole = np.zeros((2, 5))
    for name, gradient in run.gradients.items():
        g = gradient.values.reshape(5, -1).astype(float) ** 2
        v = run.optimizer.moments["exp_avg_sq"][name].values.reshape(5, -1).astype(float)
        corrected = v / (1 - 0.999**k)
        after = (0.999 * v + 0.001 * g) / (1 - 0.999 ** (k + 1))
        row = result.sel(parameter=name)
        np.testing.assert_allclose(row.gradient_ratio, np.sqrt(g.sum(1) / corrected.sum(1)), rtol=1e-9)
        np.testing.assert_allclose(row.gradient_rms, np.sqrt((g / np.maximum(after, 1e-16)).mean(1)), rtol=1e-9)
        whole += [g.sum(1), corrected.sum(1)]
    np.testing.assert_allclose(result.total_gradient_ratio, np.sqrt(whole[0] / whole[1]), rtol=1e-9)
    assert (result.gradient_rms_se == 0).all() and (result.total_gradient_ratio_se == 0).all()


def test_gradient_ratio__is_one_where_gradients_are_stationary(rng):
    gradients = rng.standard_normal((4000, 50)).astype(np.float32)
    second = np.zeros((4000, 50), np.float32)
    for t in range(1, 4000):
        second[t] = 0.99 * second[t - 1] + 0.01 * gradients[t - 1] ** 2
    run = trajlab.from_arrays(
        {"w": np.ones_like(second)}, {"w": gradients},
        moments={"exp_avg": {"w": second}, "exp_avg_sq": {"w": second}},
        hyperparameters={"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 0.0, "amsgrad": 0,
                         "updates": np.arange(4000.0)},
    )  # fmt: skip
    result = trajlab.run("optimizer_state", run).compute()
    assert float((result.gradient_ratio[100:] ** 2).mean()) == pytest.approx(1.0, abs=0.03)


def test_nesterov__needs_the_gradient_and_is_nan():
    run, _ = train(torch.optim.SGD, 3, lr=0.05, momentum=0.9, nesterov=True)
    result = trajlab.run("optimizer_state", run).compute()
    assert result.update_norm.isnull().all() and result.weight_norm.notnull().all()


def test_a_hand_made_case():
    run = trajlab.from_arrays(
        {"w": np.array([[3.0, 4.0]])}, steps=[10],
        moments={"exp_avg": {"w": np.array([[0.5, 0.0]])}, "exp_avg_sq": {"w": np.array([[0.75, 0.0]])}},
        hyperparameters={"lr": 0.1, "beta1": 0.5, "beta2": 0.5, "eps": 1.0, "amsgrad": 0, "updates": 2},
    )  # fmt: skip
    result = trajlab.run("optimizer_state", run, quantiles=[0.0, 1.0]).compute().isel(step=0, parameter=0)
    assert result.weight_norm == 5 and result.zero_moments == 0.5
    assert result.update_norm == pytest.approx(0.1 * (0.5 / 0.75) / (1 + 1))  # m̂ = 2/3, v̂ = 1
    np.testing.assert_allclose(result.effective_lr, [0.05, 0.1])
    assert np.isnan(result.fading) and np.isnan(result.gradient_rms)


def test_update__at_a_learning_rate_of_zero_is_unknown():
    run, _ = train(torch.optim.Adam, 3, lr=0.05)
    run.optimizer.hyperparameters = run.optimizer.hyperparameters.assign(
        lr=run.optimizer.hyperparameters.lr.where(run.optimizer.hyperparameters.step < 3, 0.0)
    )
    result = trajlab.run("optimizer_state", run).compute().sel(step=3)
    assert result.update_norm.isnull().all() and result.total_update_ratio.isnull()
    assert result.direction_rms.notnull().all() and (result.effective_lr == 0).all()


def test_moments_at_fewer_steps_than_weights():
    run, updates = train(torch.optim.Adam, 6, lr=0.05)
    some = [1, 4]
    moments = {entry: {n: a[some].data for n, a in of.items()} for entry, of in run.optimizer.moments.items()}
    fewer = copy.copy(run)
    optimizer = trajlab.from_arrays(
        {n: a[some].data for n, a in run.weights.items()}, steps=run.steps[some], moments=moments,
        hyperparameters={n: v[some, 0].values for n, v in run.optimizer.hyperparameters.items()},
    ).optimizer  # fmt: skip
    fewer._optimizer = optimizer
    result = trajlab.run("optimizer_state", fewer).compute()
    assert result.step.values.tolist() == [2, 5]
    whole = trajlab.run("optimizer_state", run).compute().sel(step=[2, 5])
    names = ["update_norm", "weight_norm", "gradient_rms", "effective_lr"]
    xr.testing.assert_equal(result[names].drop_vars("stride"), whole[names].drop_vars("stride"))


def test_what_it_refuses():
    run, _ = train(torch.optim.RMSprop, 2, lr=0.05)
    with pytest.raises(MissingData, match="square_avg, of an algorithm"):
        trajlab.run("optimizer_state", run)
    run, _ = train(torch.optim.NAdam, 2, lr=0.05)
    with pytest.raises(MissingData, match="exp_avg"):
        trajlab.run("optimizer_state", run)
    run, _ = train(torch.optim.Adam, 2, lr=0.05)
    with pytest.raises(BadSetting, match="quantiles"):
        trajlab.run("optimizer_state", run, quantiles=[2.0])
    with pytest.raises(MissingData, match=r"there are no moments"):
        trajlab.run("optimizer_state", trajlab.example())


def test_parameters_of_other_algorithms_are_named():
    run, _ = train(torch.optim.Adam, 2, lr=0.05)
    moments = {entry: {n: a.data for n, a in of.items()} for entry, of in run.optimizer.moments.items()}
    moments["exp_avg"].pop("2.bias")
    moments["exp_avg"]["gone"] = np.ones((2, 3))
    other = trajlab.from_arrays(
        {n: a.data for n, a in run.weights.items()}, steps=run.steps, moments=moments,
        hyperparameters=run.optimizer.hyperparameters,
    )  # fmt: skip
    result = trajlab.run("optimizer_state", other)
    assert "2.bias" not in result.parameter and set(result.attrs["left_out"]) == {"2.bias", "gone"}
