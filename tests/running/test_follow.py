import numpy as np
import pytest
import torch

import trajlab
from trajlab.cli import app, info
from trajlab.errors import AlertFired, BadSetting, DamagedData, MissingData
from trajlab.record import Recorder
from trajlab.running.follow import follow


class Over(Exception):
    """Ends a test."""


def followed(path, act, changes):
    """Follow a path; each call of `changes` changes the files between two looks."""
    remaining = iter(changes)

    def sleep(seconds):
        assert seconds >= 2
        change = next(remaining, None)
        if change is None:
            raise Over
        change()

    with pytest.raises(Over):
        follow(path, act, sleep=sleep)


def test_it_acts_once_for_each_change(tmp_path):
    calls = []
    (tmp_path / "a").mkdir()
    changes = [
        lambda: None, lambda: (tmp_path / "a/x").write_text("1"), lambda: None,
        lambda: (tmp_path / "a/x").write_text("22"), lambda: (tmp_path / "a/x").unlink(),
    ]  # fmt: skip

    def act():
        calls.append([file.name for file in tmp_path.rglob("x")])
        return False

    followed(tmp_path, act, changes)
    assert calls == [[], ["x"], ["x"], []]


def test_what_is_half_written_is_said_once_and_read_again(tmp_path, capsys):
    lengths = []

    def act():
        size = (tmp_path / "x").stat().st_size
        if size < 3:
            raise DamagedData("x ends early")
        lengths.append(size)
        return False

    (tmp_path / "x").write_text("1")
    followed(tmp_path, act, [lambda: (tmp_path / "x").write_text("12"), lambda: (tmp_path / "x").write_text("123")])
    assert lengths == [3]
    assert capsys.readouterr().err == "trajlab: waiting for more: x ends early\n"


def test_a_path_of_nothing_and_wrong_settings_are_errors(tmp_path):
    def missing():
        raise MissingData("nothing is there")

    def wrong():
        raise BadSetting("no")

    with pytest.raises(MissingData):
        follow(tmp_path / "nowhere", missing)
    with pytest.raises(BadSetting):
        follow(tmp_path, wrong)


def test_it_ends_once_the_recorder_has_closed_the_run(tmp_path):
    model = torch.nn.Linear(2, 1)
    recorder = Recorder(model, tmp_path / "run")
    snapshots = []

    def act():
        snapshots.append(len(trajlab.open(tmp_path / "run").steps))
        return False

    def train(last):
        model(torch.ones(1, 2)).sum().backward()
        recorder.step(loss=float(len(snapshots)))
        recorder.flush()
        if last:
            recorder.close()

    train(False)
    changes = iter([False, False, True])
    follow(tmp_path / "run", act, sleep=lambda seconds: train(next(changes)))
    assert snapshots == [1, 2, 3, 5]  # the closing snapshot comes besides


def test_it_ends_when_told_to(tmp_path):
    follow(tmp_path, lambda: True, sleep=None)


def test_info_prints_a_line_for_each_growth(tmp_path, monkeypatch, capsys, checkpoints):
    folder = checkpoints({"w": np.ones((2, 3), np.float32)}, folder=tmp_path / "run")
    more = iter([[7], [8], []])

    def sleep(seconds):
        steps = next(more)
        if not steps:
            raise Over
        checkpoints({"w": np.ones((1, 3), np.float32)}, steps=steps, folder=folder)

    monkeypatch.setattr(follow, "__kwdefaults__", {"sleep": sleep})
    with pytest.raises(Over):
        info(folder, tensors=False, follow=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line[10:] for line in lines[-2:]] == ["step 7 · 3 snapshots", "step 8 · 4 snapshots"]


def test_alerts_end_with_an_error_at_the_snapshot_at_which_a_rule_fires(tmp_path, checkpoints, monkeypatch, capsys):
    folder = checkpoints({"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, folder=tmp_path / "run")
    more = iter([1.0, np.nan])

    def sleep(seconds):
        value = next(more)
        checkpoints({"w": np.full((1, 3), value, np.float32)}, steps=[4 if value == 1 else 5], folder=folder)

    monkeypatch.setattr(follow, "__kwdefaults__", {"sleep": sleep})
    arguments = ["alerts", str(folder), "--follow", "--fail-on", "ExplodingTensor"]
    with pytest.raises(AlertFired, match="ExplodingTensor fired"):
        app(arguments, standalone_mode=False)
    assert "ExplodingTensor  w  from step 5" in capsys.readouterr().out


@pytest.fixture
def grows(tmp_path, checkpoints, monkeypatch):
    """Return a run whose weights jump at step 70 while it is followed, until it grows no more."""
    random = np.random.default_rng(0)
    values = np.exp(0.02 * random.standard_normal((90, 1, 1)) + (np.arange(90) >= 70)[:, None, None])
    values = (values * np.ones((1, 2, 3))).astype(np.float32)
    folder = checkpoints({"w": values[:60]}, folder=tmp_path / "run")
    more = iter([range(60, 80), range(80, 90)])

    def sleep(seconds):
        steps = next(more, None)
        if steps is None:
            raise Over
        checkpoints({"w": values[list(steps)]}, steps=steps, folder=folder)

    monkeypatch.setattr(follow, "__kwdefaults__", {"sleep": sleep})
    return folder


def test_alerts_say_what_leaves_its_past_while_a_run_grows(grows, capsys):
    with pytest.raises(Over):
        app(["alerts", str(grows), "--follow"], standalone_mode=False)
    text = capsys.readouterr().out
    assert text.count("the weight norm of `w` rose 2.8-fold from step 70 (CUSUM, noticed at step 7") == 1


def test_alerts_end_with_an_error_at_a_change_of_level_if_it_is_named(grows):
    with pytest.raises(AlertFired, match="LevelChange fired: .* from step 70"):
        app(["alerts", str(grows), "--follow", "--fail-on", "level-change"], standalone_mode=False)


def test_a_change_of_level_is_watched_only_with_follow(grows):
    with pytest.raises(BadSetting, match="add --follow"):
        app(["alerts", str(grows), "--fail-on", "LevelChange"], standalone_mode=False)
