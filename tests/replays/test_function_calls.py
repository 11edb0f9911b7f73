"""Activations that are functions: where they are called, under which names, and against torch itself."""

import warnings

import dask
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trajlab
from trajlab.errors import BadSetting
from trajlab.replays.replay import replay
from trajlab.running.fuse import fuse_scans
from trajlab.stages.dead_neurons import dead_neurons
from trajlab.stages.saturation import saturation


def run_of(*models: nn.Module):
    """A run whose snapshots are these networks."""
    parameters = [name for name, _ in models[0].named_parameters()]
    states = [model.state_dict() for model in models]
    arrays = {name: np.stack([state[name].numpy() for state in states]) for name in states[0]}
    buffers = {name: array for name, array in arrays.items() if name not in parameters}
    return trajlab.from_arrays({name: arrays[name] for name in parameters}, buffers=buffers)


class Calling(nn.Module):
    """A network with a function in place of an activation; two of its hidden units are far below zero."""

    def __init__(self, function):
        super().__init__()
        self.fc, self.head, self.function = nn.Linear(3, 6), nn.Linear(6, 2), function
        with torch.no_grad():
            self.fc.bias[[1, 4]] = -200.0

    def forward(self, x):
        return self.head(F.dropout(self.function(self.fc(x)), 0.5, self.training))


RECTIFIERS = {
    "F.relu": F.relu,
    "F.relu_": lambda x: F.relu_(x),
    "torch.relu_": torch.relu_,
    "method": lambda x: x.relu(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_": lambda x: x.clamp_(0),
    "torch.clamp": lambda x: torch.clamp(x, min=0.0),
    "clamp_min": lambda x: x.clamp_min(0),
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "relu6": F.relu6,
    "maximum with a number": lambda x: torch.maximum(x, torch.tensor(0.0)),
    "product": lambda x: x * (x > 0),
    "product with floats": lambda x: x.ge(0).to(x.dtype) * x,
    "product in place": lambda x: x.mul_(x > 0),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "where others": lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
    "where method": lambda x: x.where(x > 0, 0.0),
    "masked_fill": lambda x: x.masked_fill(~(x > 0), 0.0),
    "assignment": lambda x: assigned(x),
}


def assigned(x):
    x[x < 0] = 0
    return x


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("where", lambda x: torch.where(x > 0, x, x.exp() - 1)),
        ("where", lambda x: torch.where(x > 0, x, 0.1 * x)),
        ("mul", lambda x: x * (x < 0)),
        ("masked_fill", lambda x: x.masked_fill(x < 0, -1.0)),
    ],
)
def test_function_calls__activations_of_unknown_kind_by_sign_are_named(name, function):
    model, x = Calling(function).eval(), torch.randn(8, 3)
    layers = replay(run_of(model), model=model, probe=x, of="units")
    assert list(layers) == ["fc", "head"]
    assert layers["fc"].attrs["unobserved"] == f"{name} in the network"
    assert dead_neurons(layers).compute().fraction_dead.isnull().all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x * (x.detach().roll(1, 0) > 0),  # a mask of other values
        lambda x: x * (torch.arange(6) > 0),
        lambda x: torch.where(x > 1, x, 0.0),
    ],
)
def test_function_calls__masks_of_something_else_are_no_activations(function):
    model, x = Calling(function).eval(), torch.randn(8, 3)
    layers = replay(run_of(model), model=model, probe=x, of="units")
    assert not layers["fc"].attrs.get("unobserved")


@pytest.mark.parametrize("name", RECTIFIERS)
def test_function_calls__a_rectifier_is_seen_however_it_is_called(name):
    torch.manual_seed(0)
    model, x = Calling(RECTIFIERS[name]).eval(), torch.randn(40, 3)
    layers = replay(run_of(model, model), model=model, probe=x)

    with torch.no_grad():
        hidden = RECTIFIERS[name](model.fc(x).clone())
    (layer,) = layers
    np.testing.assert_array_equal(layers[layer][0], hidden)
    assert layers[layer].attrs["rectified"] and layers[layer].attrs["source"] == "fc"
    result = dead_neurons(layers).compute()
    np.testing.assert_array_equal(result.dead[0, 0], (hidden == 0).all(0))
    assert result.total_fraction_dead[0] == (hidden == 0).all(0).double().mean() >= 2 / 6


NEVER = {
    "tanh": (torch.tanh, lambda a: abs(a) > 0.99), "sigmoid": (torch.sigmoid, lambda a: (a < 0.01) | (a > 0.99)),
    "elu": (F.elu, lambda a: a < -0.99), "logsigmoid": (F.logsigmoid, None), "leaky_relu": (F.leaky_relu, None),
    "softsign": (F.softsign, lambda a: abs(a) > 0.99),
}  # fmt: skip


@pytest.mark.parametrize("name", NEVER)
def test_function_calls__units_without_a_constant_are_not_dead(name):
    function, flat = NEVER[name]
    torch.manual_seed(0)
    model, x = Calling(function).eval(), torch.randn(40, 3)
    run = run_of(model, model)
    layers = replay(run, model=model, probe=x)
    assert list(layers) == [name]
    result = dead_neurons(layers).compute()
    assert (result.dead == 0).all() and (result.fraction_dead == 0).all() and (result.total_fraction_dead == 0).all()
    assert (result.near_dead == 0).all() and result.dead_at.item().startswith("never")
    if flat is not None:
        actual = saturation(lambda **asked: replay(run, model=model, probe=x, **asked)).compute()
        with torch.no_grad():
            assert actual.fraction_saturated[0, 0] == pytest.approx(flat(function(model.fc(x))).double().mean().item())


def test_function_calls__layers_that_cannot_die_stay_out_of_totals():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 12)
            with torch.no_grad():
                self.a.bias[:3] = -100.0

        def forward(self, x):
            return torch.tanh(self.b(F.relu(self.a(x))) - 100.0)

    torch.manual_seed(0)
    result = dead_neurons(replay(run_of(Both()), model=Both(), probe=torch.randn(9, 3))).compute()
    assert result.layer.values.tolist() == ["relu", "tanh"]
    assert result.fraction_dead[0].values.tolist() == [0.75, 0.0]
    assert result.total_fraction_dead[0] == 0.75 and result.total_fraction_never_active == 0.75
    assert result.total_at_risk[0] == 0


class Normed(nn.Module):
    """Convolution, batch normalization and F.relu, twice; a normalization kills half of the channels of the first."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)
        with torch.no_grad():
            self.norm1.bias[:4] = -100.0

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return self.fc(F.relu(self.norm2(self.conv2(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def normed():
    torch.manual_seed(0)
    models = [Normed().eval() for _ in range(3)]
    return run_of(*models), models, torch.randn(20, 3, 8, 8)


def test_function_calls__behind_a_normalization_half_of_the_channels_are_dead(normed):
    run, models, x = normed
    result = trajlab.run("dead_neurons", run, model=Normed, probe=x).compute()
    assert result.layer.values.tolist() == ["relu", "relu:1"]
    assert result.source.values.tolist() == ["conv1", "conv2"]
    assert (result.fraction_dead[:, 0] == 0.5).all()
    alerts = trajlab.run("alerts", run, model=Normed, probe=x, dead_relu_threshold_layer=49.0).compute()
    assert (alerts["value"].sel(check="DeadRelu relu") == 50.0).all()
    assert (alerts.fires.sel(check="DeadRelu relu") == 1).all()
    actual = trajlab.run("saturation", run, model=Normed, probe=x).compute()
    with torch.no_grad():
        hidden = torch.relu(models[1].norm1(models[1].conv1(x)))
    assert actual.fraction_saturated[1, 0] == pytest.approx((hidden == 0).double().mean().item())


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_function_calls__steps_side_by_side_give_the_same_bits(normed, scheduler):
    run, models, x = normed
    layers = dict(replay(run, model=Normed, probe=x))
    for name, values in zip(layers, ([], []), strict=True):
        for model in models:
            with torch.no_grad():
                first = torch.relu(model.norm1(model.conv1(x)))
                values.append(first if name == "relu" else torch.relu(model.norm2(model.conv2(first))))
        expected = layers[name].compute(scheduler="sync")
        np.testing.assert_allclose(expected, torch.stack(values), rtol=1e-5, atol=1e-6)
        with dask.config.set(array_optimize=fuse_scans):
            actual = layers[name].compute(scheduler=scheduler, num_workers=3)
        np.testing.assert_array_equal(actual, expected)


def test_function_calls__modules_give_the_same_bits_under_their_own_names(normed):
    class Modules(Normed):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.relu(self.norm1(self.conv1(x)))
            return self.fc(self.relu(self.norm2(self.conv2(x))).mean((2, 3)))

    run, _, x = normed
    modules, functions = (replay(run, model=model, probe=x) for model in (Modules, Normed))
    assert list(modules) == list(functions) == ["relu", "relu:1"]
    for name in modules:
        np.testing.assert_array_equal(modules[name], functions[name])
    assert [layer.attrs["function"] for layer in (*modules.layers, *functions.layers)] == ["", "", "relu", "relu"]


def test_function_calls__beside_a_module_of_their_name_have_brackets():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.relu, self.fc2 = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5)

        def forward(self, x):
            return F.relu(self.fc2(self.relu(self.fc1(x))))

    run, x = run_of(Both()), torch.randn(6, 3)
    assert [(name, layer.sizes["unit"]) for name, layer in replay(run, model=Both(), probe=x).items()] == [
        ("relu", 4), ("relu()", 5),
    ]  # fmt: skip
    assert list(replay(run, model=Both(), probe=x, layers=["relu()"])) == ["relu()"]
    with pytest.raises(BadSetting, match=r"did you mean relu"):
        replay(run, model=Both(), probe=x, layers=["relux"])


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_function_calls__feed_forward_units_of_an_encoder_are_seen(activation):
    def build():
        layer = nn.TransformerEncoderLayer(8, 2, 20, batch_first=True, activation=activation)
        return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(6, 5, 8)
    with torch.no_grad():
        model.layers[0].linear1.bias[:16] = -100.0
        model.layers[1].linear2.bias[:] = -5.0
    result = trajlab.run("dead_neurons", run_of(model), model=build, probe=x).compute()
    assert result.layer.values.tolist() == [f"layers.{i}.{activation}" for i in (0, 1)]
    assert result.source.values.tolist() == ["layers.0.linear1", "layers.1.linear1"]
    assert result.fraction_dead[0].values.tolist() == [0.8, 0.0] and result.total_fraction_dead[0] == 0.4


def test_function_calls__a_softmax_has_its_axis_and_attention_is_none_of_them():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x):
            q, k, v = self.q(x), self.k(x), self.v(x)
            seen = F.scaled_dot_product_attention(q, k, v)
            return (q @ k.transpose(1, 2)).softmax(-1) @ v + seen

    run, x = run_of(Attending()), torch.randn(5, 3, 4)
    layers = replay(run, model=Attending(), probe=x, of="nonlinearities")
    assert list(layers) == ["softmax"]
    assert layers["softmax"].attrs["softmax_axis"] == 1
    np.testing.assert_allclose(layers["softmax"].sum(layers["softmax"].dims[3]), 1.0, rtol=1e-5)


@torch.no_grad()
def scripted():
    """A network whose ReLU is compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.Linear(3, 4), torch.jit.trace(nn.ReLU(), torch.zeros(3, 4)), nn.Linear(4, 2))


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.fc = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return torch.sigmoid(self.fc(self.rnn(x)[0]))


def test_function_calls__what_cannot_be_observed_is_named(capsys):
    model, x = Gated(), torch.randn(5, 6, 3)
    result = trajlab.run("dead_neurons", run_of(model), model=model, probe=x).compute()
    assert result.layer.values.tolist() == ["sigmoid"]
    assert "lstm in rnn" in result.attrs["unobserved"]
    assert "lstm in rnn" in capsys.readouterr().err
    assert "lstm in rnn" in trajlab.run("saturation", run_of(model), model=model, probe=x).attrs["unobserved"]


def test_function_calls__units_before_a_compiled_activation_are_unknown():
    model = scripted()
    result = trajlab.run("dead_neurons", run_of(model), model=lambda: scripted(), probe=torch.randn(5, 3)).compute()
    assert "relu" in result.attrs["unobserved"]
    assert np.isnan(result.fraction_dead).all() and result.dead_at.values[0].startswith("unknown")


def test_function_calls__gradients_reach_functions_in_place(normed):
    from trajlab.replays.observers.observer import Objective
    from trajlab.replays.observers.output_gradients import OutputGradients

    run, models, x = normed
    y = torch.randint(4, (20,), generator=torch.Generator().manual_seed(0))
    actual = replay(run, model=Normed, probe=(x, y)).observe(OutputGradients(Objective()))
    model = models[0]
    hidden = torch.relu(model.norm1(model.conv1(x))).detach().requires_grad_()
    loss = F.cross_entropy(model.fc(torch.relu(model.norm2(model.conv2(hidden))).mean((2, 3))), y, reduction="sum")
    loss.backward()
    np.testing.assert_allclose(actual["relu"][0], hidden.grad, rtol=1e-4, atol=1e-6)


def test_function_calls__on_parameters_alone_are_no_layers():
    class Gates(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.gate, self.mix = (
                nn.Linear(3, 6),
                nn.Parameter(torch.zeros(6)),
                nn.Parameter(torch.zeros(6, 3)),
            )

        def forward(self, x):
            weight = F.softplus(self.fc.weight) * self.mix.softmax(0)
            return F.relu(F.linear(x, weight) * torch.sigmoid(self.gate))

    run, x = run_of(Gates()), torch.randn(7, 3)
    assert list(replay(run, model=Gates(), probe=x)) == ["relu"]
    assert list(replay(run, model=Gates(), probe=x, of="nonlinearities")) == ["relu"]
    assert replay(run, model=Gates(), probe=x)["relu"].shape == (1, 7, 6)


def test_function_calls__of_a_shared_block_are_counted_on():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.ModuleList([Calling(torch.relu)])[0]
            self.back = nn.Linear(2, 3)

        def forward(self, x):
            return self.block(self.back(self.block(x)))

    model, x = Shared().eval(), torch.randn(5, 3)
    layers = replay(run_of(model), model=model, probe=x)
    assert list(layers) == ["block.relu", "block.relu:1"]
    with torch.no_grad():
        expected = torch.relu(model.block.fc(model.back(model.block(x))))
    np.testing.assert_allclose(layers["block.relu:1"][0], expected, rtol=1e-6)
    assert list(replay(run_of(model), model=model, probe=x, layers=["block.relu"])) == ["block.relu", "block.relu:1"]
