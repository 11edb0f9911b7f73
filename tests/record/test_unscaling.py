import pytest
import torch
from torch import nn

from trajlab.record import Recorder


def amp_step(model, inputs, scaler):
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(inputs).float().square().mean()
    scaler.scale(loss).backward()


def true_gradient(model, inputs):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(inputs).float().square().mean()
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("gradients", [True, 5])
def test_loss_scales__gradients_are_stored_unscaled(unscale, gradients, read, tmp_path):
    torch.manual_seed(0)
    model, inputs = nn.Linear(6, 2), torch.randn(4, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
    truth = []
    with Recorder(model, tmp_path / "run", gradients=gradients, scaler=scaler) as recorder:
        for _ in range(5):
            truth.append(true_gradient(model, inputs))
            amp_step(model, inputs, scaler)
            if unscale:
                scaler.unscale_(optimizer)
            recorder.step()
            scaler.step(optimizer)
            scaler.update()
    assert scaler.get_scale() == 4096
    run = read(tmp_path / "run")
    for step, gradient in enumerate(truth):
        for name, value in gradient.items():
            kept = value.reshape(-1)[run.indices[name]] if name in run.indices else value
            assert torch.equal(run.gradients[name][step], kept)


def test_loss_scales__stored_value_is_what_the_optimizer_sees(read, tmp_path):
    torch.manual_seed(0)
    model, inputs = nn.Linear(6, 2), torch.randn(4, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1000.7)
    with Recorder(model, tmp_path / "run", scaler=scaler) as recorder:
        amp_step(model, inputs, scaler)
        recorder.step()
        scaler.unscale_(optimizer)
    assert torch.equal(read(tmp_path / "run").gradients["weight"][0], model.weight.grad)


@pytest.mark.parametrize("is_passed", [True, False])
def test_loss_scales__one_of_two_optimizers_unscaled(is_passed, read, tmp_path):
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 2)), torch.randn(4, 6)
    optimizers = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in model]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    truth = true_gradient(model, inputs)
    settings = {"optimizers": optimizers} if is_passed else {}
    with Recorder(model, tmp_path / "run", scaler=scaler, **settings) as recorder:
        amp_step(model, inputs, scaler)
        scaler.unscale_(optimizers[1])
        recorder.step()
    rows = read(tmp_path / "run").gradients
    assert torch.equal(rows["1.weight"][0], truth["1.weight"])
    assert torch.equal(rows["0.weight"][0], truth["0.weight"] * (1 if is_passed else 1024))


def test_loss_scales__leaves_the_scaler_as_it_is(tmp_path):
    model, inputs = nn.Linear(6, 2), torch.randn(4, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with Recorder(model, tmp_path / "run", scaler=scaler, optimizers=[optimizer]) as recorder:
        amp_step(model, inputs, scaler)
        recorder.step()
        assert not scaler._per_optimizer_states
        assert (model.weight.grad.abs() > 1).any()


def test_loss_scales__disabled_scaler(read, tmp_path):
    model, inputs = nn.Linear(6, 2), torch.randn(4, 6)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    with Recorder(model, tmp_path / "run", scaler=scaler) as recorder:
        amp_step(model, inputs, scaler)
        recorder.step()
    assert torch.equal(read(tmp_path / "run").gradients["weight"][0], model.weight.grad)
