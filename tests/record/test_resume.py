import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from trajlab.errors import BadSetting, DamagedData, MissingData, OutputExists
from trajlab.record import Recorder, at, every, resume

SCRIPT = Path(__file__).with_name("interrupted_run.py")
ROOT = Path(__file__).parents[2]


def start(directory, steps):
    command = [sys.executable, str(SCRIPT), str(directory), str(directory) + ".pt", str(steps)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_recorder__killed_at_random_moments_equals_an_uninterrupted_run(read, same, tmp_path):
    steps, moments = 200, random.Random(time.time_ns())
    with start(tmp_path / "whole", steps) as reference:
        assert reference.wait(60) == 0
    whole = read(tmp_path / "whole")
    kills, finished = 0, False
    while not finished:
        with start(tmp_path / "killed", steps) as process:
            assert process.stdout.readline().startswith("begin")
            try:
                assert process.wait(moments.uniform(0.02, 0.25) if kills < 4 else 60) == 0
                finished = True
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
        if not finished:
            _opens_and_agrees(tmp_path / "killed", whole, read)
    assert kills
    same(read(tmp_path / "killed"), whole)
    assert not list((tmp_path / "killed").rglob(".tmp-*"))


def _opens_and_agrees(directory, whole, read):
    lines = (directory / "metrics.jsonl").read_bytes()
    (directory / "metrics.jsonl").write_bytes(lines[: lines.rfind(b"\n") + 1])
    part = read(directory)
    assert part.run["closed"] in (None, whole.run["closed"])
    assert part.metrics == whole.metrics[: len(part.metrics)]
    for step, state in part.checkpoints.items():
        assert all(torch.equal(state[name], whole.checkpoints[step][name]) for name in whole.checkpoints[step])
    for name, rows in part.gradients.items():
        assert list(sorted(rows)) == list(range(len(rows)))
        assert all(torch.equal(rows[step], whole.gradients[name][step]) for step in rows)


class Run:
    """A deterministic run that can be taken up at any step, as its whole state follows from the step."""

    settings = {"when": every(3), "gradients": 4, "segment_rows": 4}

    def __init__(self, directory, begin=0, **settings):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(5, 2), nn.Linear(2, 1))
        self.recorder = Recorder(self.model, directory, **{**self.settings, **settings})
        self.begin = self.recorder.next_step

    def to(self, steps, *, close=True):
        for step in range(self.begin, steps):
            with torch.no_grad():
                for position, parameter in enumerate(self.model.parameters()):
                    parameter.fill_(step + position / 10)
                    parameter.grad = None if (step + position) % 5 == 0 else torch.full_like(parameter, step)
            self.recorder.step(loss=step)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.fill_(steps)
        if close:
            self.recorder.close()
        else:
            self.recorder.flush()
            self.recorder._recording.end()


@pytest.fixture
def whole(read, tmp_path):
    Run(tmp_path / "whole").to(20)
    return read(tmp_path / "whole")


@pytest.mark.parametrize("begin", [0, 1, 4, 9, 10, 11, 12, 13])
@pytest.mark.parametrize("close", [True, False])
def test_resume__at_a_step(begin, close, whole, read, same, tmp_path):
    Run(tmp_path / "run").to(13, close=close)
    run = Run(tmp_path / "run", resume=begin)
    assert run.begin == begin
    before = read(tmp_path / "run")
    assert len(before.metrics) == begin
    assert max(before.checkpoints, default=-1) < begin
    assert before.run["closed"] is None
    run.to(20)
    same(read(tmp_path / "run"), whole)


@pytest.mark.parametrize("close", [True, False])
def test_resume__true_goes_on_after_the_last_row(close, whole, read, same, tmp_path):
    Run(tmp_path / "run").to(13, close=close)
    run = Run(tmp_path / "run", resume=True)
    assert run.begin == 13
    run.to(20)
    same(read(tmp_path / "run"), whole)


def test_resume__shortens_the_segment_that_goes_beyond(tmp_path):
    Run(tmp_path / "run").to(13)
    Run(tmp_path / "run", resume=10).to(14)
    names = {path.name for path in (tmp_path / "run" / "gradients").iterdir()}
    expected = {f"{span}.safetensors" for span in ("0-3", "4-7", "8-9", "10-13", "indices")}
    assert names == expected


def test_resume__true_starts_a_run_where_there_is_none(whole, read, same, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".tmp-run.json").write_text("half")
    Run(tmp_path / "run", resume=True).to(20)
    same(read(tmp_path / "run"), whole)


@pytest.mark.parametrize(
    ("lost", "expected"),
    [("checkpoint-12", 12), ("gradients/12-12.safetensors", 12), ("gradients/8-11.safetensors", 13)],
)
def test_resume__true_goes_back_to_what_is_complete(lost, expected, tmp_path):
    Run(tmp_path / "run").to(13, close=False)
    lost = tmp_path / "run" / lost
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    assert Run(tmp_path / "run", resume=True).begin == expected


def test_resume__torn_last_line_of_metrics_is_repaired(whole, read, same, tmp_path):
    Run(tmp_path / "run").to(13, close=False)
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"step": 13, "lo')
    run = Run(tmp_path / "run", resume=True)
    assert run.begin == 13
    run.to(20)
    same(read(tmp_path / "run"), whole)


def test_resume__gradients_recorded_now_and_then(read, same, tmp_path):
    settings = {"gradients_when": at([0, 1, 10, 11, 15]), "when": at([2])}
    Run(tmp_path / "whole", **settings).to(20)
    Run(tmp_path / "run", **settings).to(14)
    run = Run(tmp_path / "run", resume=True, **settings)
    assert run.begin == 14
    run.to(20)
    same(read(tmp_path / "run"), read(tmp_path / "whole"))


def test_resume__without_gradients(read, same, tmp_path):
    Run(tmp_path / "whole", gradients=False).to(20)
    Run(tmp_path / "run", gradients=False).to(13, close=False)
    Run(tmp_path / "run", gradients=False, resume=11).to(20)
    same(read(tmp_path / "run"), read(tmp_path / "whole"))


def test_resume__keeps_bf16_rows(read, tmp_path):
    model = nn.Linear(3, 1).bfloat16()
    with Recorder(model, tmp_path / "run") as recorder:
        for step in range(4):
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, step)
            recorder.step()
    Recorder(model, tmp_path / "run", resume=2).close()
    rows = read(tmp_path / "run").gradients["weight"]
    assert list(rows) == [0, 1] and rows[1].dtype == torch.bfloat16 and (rows[1] == 1).all()


def test_resume__beyond_what_is_complete_is_refused(tmp_path):
    Run(tmp_path / "run").to(13)
    with pytest.raises(MissingData, match=r"at step 14: it is complete up to step 13 only.*flush\(\)"):
        Run(tmp_path / "run", resume=14)


def test_resume__at_a_step_of_no_run_is_refused(tmp_path):
    with pytest.raises(MissingData, match="no run is there"):
        Run(tmp_path / "run", resume=5)


def test_resume__in_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match="not a run"):
        Run(tmp_path, resume=True)
    assert (tmp_path / "notes.txt").exists()


def test_resume__at_a_negative_step_is_refused(tmp_path):
    Run(tmp_path / "run").to(3)
    with pytest.raises(BadSetting, match="resume=-1"):
        Run(tmp_path / "run", resume=-1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradients": 5}, "gradients entries was 4, is 5"),
        ({"gradients": False}, "gradients was .*, is None"),
        ({"seed": 1}, "gradients seed was 0, is 1"),
        ({"clipped": True}, "gradients clipped was None, is True"),
        ({"probe": torch.ones(2, 5)}, "probe was None, is"),
    ],
)
def test_resume__with_other_settings_is_refused(settings, message, read, same, tmp_path):
    Run(tmp_path / "run").to(6)
    before = read(tmp_path / "run")
    with pytest.raises(BadSetting, match=message):
        Run(tmp_path / "run", resume=True, **settings)
    same(read(tmp_path / "run"), before)


def test_resume__with_another_model_is_refused(tmp_path):
    Run(tmp_path / "run").to(6)
    with pytest.raises(BadSetting, match=r"shapes 0.weight was \[2, 5\], is \[2, 7\]"):
        Recorder(nn.Sequential(nn.Linear(7, 2), nn.Linear(2, 1)), tmp_path / "run", resume=True, **Run.settings)
    with pytest.raises(BadSetting, match=r"parameters lack \['1.bias'\] and have \[\] besides"):
        model = nn.Sequential(nn.Linear(5, 2), nn.Linear(2, 1, bias=False))
        Recorder(model, tmp_path / "run", resume=True, **Run.settings)


def test_resume__damaged_files_are_named(tmp_path):
    Run(tmp_path / "run").to(13)
    (tmp_path / "run" / "gradients" / "4-7.safetensors").write_bytes(b"12345678nonsense")
    with pytest.raises(DamagedData, match=r"4-7\.safetensors"):
        Run(tmp_path / "run", resume=True)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts | {"format": "trajlab-snapshots-9"}))
    with pytest.raises(DamagedData, match="trajlab-snapshots-9"):
        Run(tmp_path / "run", resume=True)
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(DamagedData, match=r"run\.json was not written by a Recorder"):
        Run(tmp_path / "run", resume=True)


def test_resume__describe_is_kept_unless_given_anew(read, tmp_path):
    Run(tmp_path / "run", describe={"lr": 1}).to(3)
    Run(tmp_path / "run", resume=True).to(5)
    assert read(tmp_path / "run").run["describe"] == {"lr": 1}
    Run(tmp_path / "run", resume=True, describe={"lr": 2}).to(6)
    assert read(tmp_path / "run").run["describe"] == {"lr": 2}


class Death(BaseException):
    """Stands for kill -9."""


def test_drop_from__killed_at_any_operation_can_be_resumed(whole, read, same, monkeypatch, tmp_path):
    Run(tmp_path / "made").to(13)
    for deaths in range(100):
        directory = tmp_path / f"run-{deaths}"
        shutil.copytree(tmp_path / "made", directory)
        operations = [0]
        with monkeypatch.context() as patch:
            for owner, name in ((os, "replace"), (shutil, "rmtree"), (Path, "unlink"), (Path, "rename")):
                patch.setattr(owner, name, _deadly(getattr(owner, name), operations, deaths))
            try:
                resume.drop_from(directory, 6)
                break
            except Death:
                pass
        read(directory)
        Run(directory, resume=6).to(20)
        same(read(directory), whole)
    assert deaths > 8


def _deadly(operation, operations, deaths):
    def run(*arguments, **settings):
        operations[0] += 1
        if operations[0] > deaths:
            raise Death
        return operation(*arguments, **settings)

    return run
