"""With on_error="warn" a Recorder never ends a training: recording is off after an error, and all is said."""

import errno
import threading

import pytest
import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.record import Recorder, at, every, recorder, writer
from trajlab.record.tensor_file import write_safetensors


def train(model, recorder, steps=6):
    """Train for some steps, with a Recorder; returns the weights."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with recorder:
        for step in range(steps):
            optimizer.zero_grad()
            model(torch.ones(1, 4)).square().sum().backward()
            recorder.step(loss=step)
            optimizer.step()
    return model.weight.detach()


def linear():
    torch.manual_seed(0)
    return nn.Linear(4, 2)


@pytest.fixture
def plain(tmp_path):
    model = linear()
    return train(model, Recorder(model, tmp_path / "plain"))


def full_disk(monkeypatch, name):
    """Let the disk be full from the file of a name on."""

    def write(path, tensors, metadata):
        if name in str(path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_safetensors(path, tensors, metadata)

    monkeypatch.setattr(writer, "write_safetensors", write)


def test_full_disk__is_said_once_and_training_goes_on(plain, monkeypatch, read, capsys, tmp_path):
    full_disk(monkeypatch, "checkpoint-2")
    model = linear()
    weights = train(model, Recorder(model, tmp_path / "run", when=at([0, 2]), segment_rows=1, on_error="warn"))
    assert torch.equal(weights, plain)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "recording to" in said[0] and "is off from step" in said[0] and "No space left on device" in said[0]
    assert "lacks steps 2 to 5 and the weights after the last update" in said[1]
    run = read(tmp_path / "run")
    assert list(run.checkpoints) == [0] and list(run.gradients["weight"]) == [0, 1] and run.run["closed"] is None
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    monkeypatch.undo()
    resumed = Recorder(linear(), tmp_path / "run", when=at([0, 2]), segment_rows=1, resume=True)
    assert resumed.next_step == 2
    resumed.close()


def test_full_disk__at_the_very_end(plain, monkeypatch, capsys, tmp_path):
    full_disk(monkeypatch, "checkpoint-6")
    model = linear()
    assert torch.equal(train(model, Recorder(model, tmp_path / "run", when=every(10), on_error="warn")), plain)
    assert "lacks the weights after the last update" in capsys.readouterr().err.splitlines()[-1]


def test_unwritable_folder__at_construction(plain, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    model = linear()
    recorder = Recorder(model, tmp_path / "file" / "run", on_error="warn")
    assert torch.equal(train(model, recorder), plain) and recorder.next_step == 6
    first, last = capsys.readouterr().err.splitlines()
    assert "is off from step 0 on, training goes on: cannot write" in first
    assert "lacks steps 0 to 5 and the weights after the last update" in last


def test_existing_run__is_left_alone(plain, read, capsys, tmp_path):
    model = linear()
    before = read(tmp_path / "plain")
    train(model, Recorder(model, tmp_path / "plain", on_error="warn"))
    assert read(tmp_path / "plain").metrics == before.metrics
    assert "is off from step 0 on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Linear(4, 2, dtype=torch.complex128), "safetensors has no type for torch.complex128"),
        (lambda: nn.Linear(4, 2, device="meta"), "it is on the meta device"),
        (lambda: nn.Linear(4, 2), "it is a str"),
    ],
)
def test_odd_tensors_and_metrics(make, words, capsys, tmp_path):
    recorder = Recorder(make(), tmp_path / "run", on_error="warn")
    recorder.step(loss="much")
    recorder.step(loss=1)
    recorder.flush()
    recorder.close()
    first, last = capsys.readouterr().err.splitlines()
    assert words in first and words in last and "lacks steps 0 to 1 and" in last


def test_missing_gradients__turn_recording_off(capsys, tmp_path):
    with Recorder(linear(), tmp_path / "run", on_error="warn") as recorder:
        recorder.step()
    assert "none of the 2 parameters has one" in capsys.readouterr().err


def test_lost_mount__a_write_that_does_not_end_turns_recording_off(plain, monkeypatch, capsys, tmp_path):
    gate = threading.Event()

    def write(path, tensors, metadata):
        gate.wait()
        return write_safetensors(path, tensors, metadata)

    monkeypatch.setattr(recorder, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(writer, "write_safetensors", write)
    model = linear()
    recording = Recorder(model, tmp_path / "run", on_error="warn")
    thread = recording._recording._writer._thread
    assert torch.equal(train(model, recording), plain)
    gate.set()
    thread.join()
    first, last = capsys.readouterr().err.splitlines()
    assert "is off from step" in first and "nothing was written in" in first and "check the disk" in first
    assert "lacks steps 0 to 5" in last


def test_error_of_the_training__is_raised(capsys, tmp_path):
    with pytest.raises(RuntimeError, match="boom"), Recorder(linear(), tmp_path / "run", on_error="warn"):
        raise RuntimeError("boom")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on_error": "ignore"}, "on_error='ignore'"),
        ({"ranks": "all"}, "ranks='all'"),
        ({"gradients": 0}, "gradients=0"),
        ({"when": 3}, "when=3"),
    ],
)
def test_wrong_arguments__are_raised(settings, words, tmp_path):
    with pytest.raises(BadSetting, match=words):
        Recorder(linear(), tmp_path / "run", **({"on_error": "warn"} | settings))
    assert not (tmp_path / "run").exists()
