import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import BadSetting
from trajlab.record import Recorder, every


def test_moments__are_those_before_the_update_and_meet_the_gradient(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    optimizer = torch.optim.AdamW(reversed(list(model.parameters())), lr=0.1)
    seen = []
    with Recorder(model, tmp_path / "run", when=every(2), optimizers=[optimizer], moments=True) as recorder:
        for step in range(5):
            optimizer.zero_grad()
            model(torch.randn(8, 4)).square().mean().backward()
            if step % 2 == 0:
                seen.append({key: dict(value) for key, value in enumerate(map(optimizer.state.get, model.parameters()))
                             if value is not None})  # fmt: skip
                seen[-1] = {key: value["exp_avg"].clone().numpy() for key, value in seen[-1].items()}
            recorder.step()
            optimizer.step()
    run = trajlab.open(tmp_path / "run")
    assert run.optimizer.left_out == {} and run.optimizer.steps.tolist() == [2, 4, 5]
    for key, name in enumerate(run.weights):  # shapes are alike: names are those that were recorded
        for step, moments in zip((2, 4), seen[1:], strict=True):
            np.testing.assert_array_equal(run.optimizer.moments["exp_avg"][name].sel(step=step), moments[key])
    np.testing.assert_array_equal(run.optimizer.hyperparameters.updates.isel(parameter=0), [np.nan, 2, 4, 5])
    result = trajlab.run("optimizer_state", run).compute()
    assert result.gradient_rms.sel(step=[2, 4]).notnull().all() and result.gradient_rms.sel(step=5).isnull().all()


def test_moments__of_parameters_that_are_not_recorded_are_left_out(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with Recorder(model, tmp_path / "run", parameters="1.*", optimizers=[optimizer], moments=True) as recorder:
        model(torch.ones(2, 3)).sum().backward()
        recorder.step()
        optimizer.step()
    assert set(trajlab.open(tmp_path / "run").optimizer.moments["momentum_buffer"]) == {"1.weight", "1.bias"}


def test_moments__need_an_optimizer(tmp_path):
    with pytest.raises(BadSetting, match="no optimizer is named"):
        Recorder(nn.Linear(2, 1), tmp_path / "run", moments=True)
    assert not (tmp_path / "run").exists()


def test_moments__are_in_the_estimate(tmp_path):
    model = nn.Linear(10, 10)
    plain = Recorder(model, tmp_path / "a", gradients=False).estimate
    optimizers = [torch.optim.Adam(model.parameters())]
    with Recorder(model, tmp_path / "b", gradients=False, optimizers=optimizers, moments=True) as recorder:
        assert recorder.estimate.snapshot_bytes == 3 * plain.snapshot_bytes
