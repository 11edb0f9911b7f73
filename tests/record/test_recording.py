"""A recording follows a model whose parameters change."""

import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import BadSetting
from trajlab.record import Recorder, at, every


def one_step(model, recorder, inputs, **metrics):
    model(inputs).sum().backward()
    recorder.step(**metrics)


def test_step__follows_a_replaced_parameter(read, tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with Recorder(model, tmp_path / "run", when=at([1])) as recorder:
        one_step(model, recorder, torch.ones(1, 2))
        model[1] = nn.Linear(2, 1)
        one_step(model, recorder, torch.full((1, 2), 3.0))
        gradient = model[1].weight.grad.clone()
    run = read(tmp_path / "run")
    assert torch.equal(run.gradients["1.weight"][1], gradient)
    assert torch.equal(run.checkpoints[1]["1.weight"], model[1].weight)


def test_step__a_parameter_of_another_shape_is_an_error(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with (
        pytest.raises(
            BadSetting, match=r"1.weight: its shape changed from \[1, 2\] to \[3, 2\]; record the steps after"
        ),
        Recorder(model, tmp_path / "run") as recorder,
    ):
        model[1] = nn.Linear(2, 3)
        one_step(model, recorder, torch.ones(1, 2))


@pytest.mark.parametrize("gradients", [True, 2])
def test_step__records_parameters_that_are_added_and_removed(gradients, read, capsys, tmp_path):
    model = nn.ModuleDict({"first": nn.Linear(3, 3), "second": nn.Linear(3, 3)})
    with Recorder(model, tmp_path / "run", gradients=gradients) as recorder:
        for step in range(6):
            if step == 2:
                model["third"] = nn.Linear(3, 3)
            if step == 4:
                del model["second"]
            model.zero_grad()
            sum(module(torch.ones(1, 3)).sum() for module in model.values()).backward()
            recorder.step(loss=step)
    run = read(tmp_path / "run")
    assert {name: list(rows) for name, rows in run.gradients.items() if "weight" in name} == {
        "first.weight": [0, 1, 2, 3, 4, 5],
        "second.weight": [0, 1, 2, 3],
        "third.weight": [2, 3, 4, 5],
    }
    lines = capsys.readouterr().err.splitlines()
    assert ["before step 2: third.weight, third.bias began" in lines[0], "second.bias ended" in lines[1]] == [
        True,
        True,
    ]
    opened = trajlab.open(tmp_path / "run")
    assert opened.weights["third.weight"].step.values.tolist() == [2, 3, 4, 5, 6]
    assert opened.weights["second.weight"].step.values.tolist() == [0, 1, 2, 3]
    assert opened.gradients["third.weight"].step.values.tolist() == [2, 3, 4, 5]
    assert trajlab.run("drift", opened).compute().parameter.size == 6


@pytest.mark.parametrize("gradients", [True, 2])
def test_recorder__lazy_modules_are_recorded_from_the_first_step_on(gradients, read, tmp_path):
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    with Recorder(model, tmp_path / "run", gradients=gradients, when=every(2)) as recorder:
        assert recorder.estimate is None and recorder.next_step == 0
        for step in range(3):
            one_step(model, recorder, torch.ones(2, 4), loss=step)
        assert recorder.next_step == 3 and recorder.estimate.snapshot_bytes == 19 * 4
    run = read(tmp_path / "run")
    assert run.run["shapes"]["0.weight"] == [3, 4] and sorted(run.checkpoints) == [0, 2, 3]
    assert list(run.gradients["0.weight"]) == [0, 1, 2]
    with pytest.raises(BadSetting, match="cannot resume with parameters that have no shape yet"):
        Recorder(nn.LazyLinear(3), tmp_path / "run", resume=True)


def test_step__gradients_of_another_type_begin_another_segment(read, tmp_path):
    model = nn.Linear(4, 2)
    with Recorder(model, tmp_path / "run") as recorder:
        for dtype in (torch.float32, torch.float64):
            model.zero_grad()
            model.to(dtype)
            model(torch.ones(1, 4, dtype=dtype)).sum().backward()
            recorder.step()
    rows = read(tmp_path / "run").gradients["weight"]
    assert [rows[0].dtype, rows[1].dtype] == [torch.float32, torch.float64]


def test_add_metrics__belong_to_the_step_before(read, tmp_path):
    model = nn.Linear(2, 1)
    with Recorder(model, tmp_path / "run", gradients=False) as recorder:
        assert not recorder.add_metrics(accuracy=1)
        for step in range(2):
            recorder.step(loss=step)
            assert recorder.add_metrics(accuracy=step / 2)
        recorder.flush()
        assert not recorder.add_metrics(accuracy=1)
        recorder.close(accuracy=0.75)
    assert read(tmp_path / "run").metrics == [
        {"step": 0, "loss": 0, "accuracy": 0}, {"step": 1, "loss": 1, "accuracy": 0.5}, {"step": 2, "accuracy": 0.75},
    ]  # fmt: skip
    metrics = trajlab.open(tmp_path / "run").metrics
    assert metrics.accuracy.values.tolist() == [0, 0.5, 0.75]
    resumed = Recorder(model, tmp_path / "run", gradients=False, resume=True)
    assert resumed.next_step == 2
    resumed.close()
    assert len(read(tmp_path / "run").metrics) == 2
