"""Gradients in a pass against plain autograd, on networks that do odd things."""

import dask
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import trajlab
from trajlab.errors import BadSetting
from trajlab.replays.observers.observer import INPUT, Objective
from trajlab.replays.observers.output_gradients import OutputGradients
from trajlab.running.fuse import fuse_scans


class InPlace(nn.Module):
    """Changes its inputs, and every output, in place."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.fc = nn.Linear(64, 5)

    def forward(self, x):
        x.mul_(2.0)
        x.flatten(1).sub_(0.1)
        return self.fc(self.relu(self.norm(self.conv(self.relu(x)))).flatten(1))


class Residual(nn.Module):
    """Adds in place, and calls the same modules again."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.fc = nn.ELU(inplace=True), nn.Linear(4, 5)

    def forward(self, x):
        h = self.stem(x)
        for _ in range(2):
            y = self.conv(self.act(h.clone()))
            y += h
            h = self.act(y)
        return self.fc(h.mean((2, 3)))


class Shared(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.tanh, self.fc = nn.Linear(72, 72), nn.Linear(72, 72), nn.Tanh(), nn.Linear(72, 5)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.fc(self.tanh(self.b(self.tanh(self.a(x.flatten(1))))))


class Several(nn.Module):
    """Gives several tensors, and has a module that does."""

    def __init__(self):
        super().__init__()
        self.rnn, self.fc, self.unused = nn.GRU(12, 6, batch_first=True), nn.Linear(6, 5), nn.Linear(12, 3)

    def forward(self, x):
        h, last = self.rnn(x.reshape(len(x), 6, 12))
        return self.fc(h[:, -1]), {"beside": last, "aside": self.unused(x.reshape(len(x), 6, 12)[:, 0])}


NETS = (InPlace, Residual, Shared, Several)
STEPS = 3


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(1)
    return torch.randn(7, 2, 6, 6, generator=random), torch.randint(5, (7,), generator=random)


def snapshots(net):
    actual = []
    for step in range(STEPS):
        torch.manual_seed(step)
        actual.append(net())
        for module in actual[-1].modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return [one.eval() for one in actual]


def run_of(net):
    states = [one.state_dict() for one in snapshots(net)]
    trained = dict(net().named_parameters(remove_duplicate=False))
    arrays = {name: np.stack([state[name].numpy() for state in states]) for name in states[0]}
    return trajlab.from_arrays(
        {name: array for name, array in arrays.items() if name in trained},
        buffers={name: array for name, array in arrays.items() if name not in trained},
    )


def objective_of(kind, output, targets):
    logit = output[torch.arange(len(output)), targets]
    return {
        "loss": lambda: F.cross_entropy(output, targets, reduction="sum"),
        "logit": lambda: logit.sum(),
        "p_logit": lambda: (output.softmax(1)[torch.arange(len(output)), targets].detach() * logit).sum(),
    }[kind]()


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("kind", ["loss", "logit", "p_logit"])
def test_raw_gradient__by_the_inputs_is_that_of_autograd(net, kind, batch, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.BATCH_SAMPLES", 3)
    inputs, targets = batch
    replayed = trajlab.replay(run_of(net), model=net, probe=(inputs, targets), layers=[INPUT])
    actual = replayed.observe(OutputGradients(Objective(kind)))[INPUT]

    for step, one in enumerate(snapshots(net)):
        leaf = inputs.clone().requires_grad_()
        output = one(leaf.clone())
        output = output[0] if isinstance(output, tuple) else output
        (expected,) = torch.autograd.grad(objective_of(kind, output, targets), leaf)
        assert expected.abs().max() > 0
        np.testing.assert_allclose(actual[step], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "layers"),
    [
        (InPlace, ["conv", "norm", "relu", "relu:1", "fc"]),
        (Residual, ["stem", "act", "conv", "act:1", "act:2", "conv:1", "act:3", "fc"]),
        (Shared, ["a", "tanh", "b", "tanh:1", "fc"]),
        (Several, ["rnn", "fc", "unused"]),
    ],
)
def test_raw_gradient__by_each_layer_is_that_of_autograd(net, layers, batch):
    inputs, targets = batch
    replayed = trajlab.replay(run_of(net), model=net, probe=(inputs, targets), layers=layers)
    actual = {name: measured.values for name, measured in replayed.observe(OutputGradients()).items()}
    assert set(actual) == set(layers)

    for step, one in enumerate(snapshots(net)):
        slopes, calls = {}, {}

        def listen(name, slopes=slopes, calls=calls):
            def hook(module, inputs, output):
                output = output[0] if isinstance(output, tuple) else output
                number = calls[name] = calls.get(name, -1) + 1
                key = f"{name}:{number}" if number else name
                output.register_hook(lambda slope: slopes.__setitem__(key, slope.clone()))

            return hook

        for name, module in one.named_children():
            module.register_forward_hook(listen(name))
        output = one(inputs.clone().requires_grad_().clone())
        output = output[0] if isinstance(output, tuple) else output
        F.cross_entropy(output, targets, reduction="sum").backward()
        for name in layers:
            expected = slopes[name] if name in slopes else np.zeros(actual[name].shape[1:])
            np.testing.assert_allclose(actual[name][step].ravel(), np.ravel(expected), rtol=1e-4, atol=1e-6)
            assert np.abs(actual[name]).max() > 0 or name == "unused"


@pytest.mark.parametrize(("net", "layer"), [(InPlace, "conv"), (Residual, "conv:1"), (Several, "")])
def test_raw_gradient__of_a_unit_of_its_own_for_each_sample(net, layer, batch):
    inputs, units = batch[0], (0, 3, 2, 1, 0, 2, 3)
    replayed = trajlab.replay(run_of(net), model=net, probe=inputs, layers=[INPUT])
    actual = replayed.observe(OutputGradients(Objective("unit", layer, units)))[INPUT]

    for step, one in enumerate(snapshots(net)):
        outputs = []
        module = one.get_submodule(layer.partition(":")[0])
        module.register_forward_hook(
            lambda _, settings, output, outputs=outputs: outputs.append(
                (output[0] if isinstance(output, tuple) else output).clone()
            )
        )
        leaf = inputs.clone().requires_grad_()
        one(leaf.clone())
        output = outputs[1 if ":" in layer else 0]
        value = output.reshape(*output.shape[:2], -1).mean(2)[torch.arange(7), torch.tensor(units)].sum()
        np.testing.assert_allclose(actual[step], torch.autograd.grad(value, leaf)[0], rtol=1e-4, atol=1e-6)


def test_raw_gradient__all_objectives_in_one_pass_give_what_they_give_alone(batch):
    run = run_of(InPlace).with_model(InPlace)
    kinds = [
        Objective("loss"),
        Objective("logit"),
        Objective("unit", "", (0,) * 7),
        Objective("unit", "conv", (1,) * 7),
    ]
    replayed = trajlab.replay(run, probe=batch, layers=[INPUT])
    wanted = [replayed.observe(OutputGradients(kind))[INPUT] for kind in kinds]
    alone = [first.compute().values for first in wanted]
    with dask.config.set(array_optimize=fuse_scans):
        together = dask.compute(*wanted)
    for first, second in zip(alone, together, strict=True):
        assert np.abs(first).max() > 0
        np.testing.assert_array_equal(first, second)


def test_raw_gradient__leaves_the_inputs_as_they_were(batch):
    inputs = batch[0].numpy().copy()
    replayed = trajlab.replay(run_of(InPlace), model=InPlace, probe=(inputs, batch[1].numpy()), layers=[INPUT])
    replayed.observe(OutputGradients())[INPUT].compute()
    np.testing.assert_array_equal(inputs, batch[0])


def test_raw_gradient__by_tokens_is_refused():
    net = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 3))
    run = trajlab.from_arrays({name: value[None].numpy() for name, value in net.state_dict().items()})
    probe = (torch.tensor([[0, 1, 2], [4, 4, 0]]), torch.tensor([0, 2]))
    with pytest.raises(BadSetting, match="int64 inputs.*embedding"):
        trajlab.replay(run, model=net, probe=probe, layers=[INPUT]).observe(OutputGradients())
    by_table = trajlab.replay(run, model=net, probe=probe, layers=["0"]).observe(OutputGradients())["0"]
    assert np.abs(by_table.values).max() > 0
