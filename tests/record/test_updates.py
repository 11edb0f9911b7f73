"""What is said of calls of step() without an update."""

import torch
from torch import nn

from trajlab.record import Recorder
from trajlab.record.updates import UpdateCount


def one_step(model, recorder, inputs, **metrics):
    model(inputs).sum().backward()
    recorder.step(**metrics)


def test_close__says_if_step_was_never_called_or_too_often(capsys, tmp_path):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    Recorder(model, tmp_path / "never").close()
    assert "never: no step was recorded: call step() between" in capsys.readouterr().err
    with Recorder(model, tmp_path / "resumed") as recorder:
        one_step(model, recorder, torch.ones(1, 2))
        optimizer.step()
    Recorder(model, tmp_path / "resumed", resume=True).close()
    assert "resumed: no step was recorded since it was resumed at step 1: call step()" in capsys.readouterr().err
    for name, calls in (("once", 1), ("twice", 2)):
        with Recorder(model, tmp_path / name) as recorder:
            for _ in range(4):
                for _ in range(calls):
                    one_step(model, recorder, torch.ones(1, 2))
                optimizer.step()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "twice: the weights had not changed at 4 of 7 steps since the step before: call step() once" in err


def test_update_count__writes_through_data_say_nothing():
    weight = nn.Parameter(torch.ones(2))
    count = UpdateCount()
    for _ in range(4):
        count.count([weight])
        weight.data += 1
    assert count.problem() is None


def test_update_count__some_skipped_updates_are_usual():
    weight = nn.Parameter(torch.ones(2))
    count = UpdateCount()
    for step in range(20):
        count.count([weight])
        if step % 10:
            with torch.no_grad():
                weight.add_(1)
    assert count.problem() is None
