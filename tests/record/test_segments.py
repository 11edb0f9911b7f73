import torch
from torch import nn

from trajlab.record import Recorder


def run(model, directory, steps, **settings):
    with Recorder(model, directory, **settings) as recorder:
        for _ in range(steps):
            model.zero_grad()
            model(torch.ones(1, 4)).sum().backward()
            recorder.step()
    return sorted(path.name for path in (directory / "gradients").glob("*-*.safetensors"))


def test_segments__close_after_so_many_rows(tmp_path):
    names = run(nn.Linear(4, 2), tmp_path / "run", 7, segment_rows=3)
    assert names == ["0-2.safetensors", "3-5.safetensors", "6-6.safetensors"]


def test_segments__close_before_they_grow_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.SEGMENT_BYTES", 100)
    names = run(nn.Linear(4, 2), tmp_path / "run", 4)
    assert names == ["0-1.safetensors", "2-3.safetensors"]


def test_segments__change_of_dtype(read, tmp_path):
    model = nn.Linear(4, 2)
    with Recorder(model, tmp_path / "run") as recorder:
        model(torch.ones(1, 4)).sum().backward()
        recorder.step()
        recorder.flush()
        model.zero_grad()
        model.double()
        model(torch.ones(1, 4, dtype=torch.float64)).sum().backward()
        recorder.step()
    rows = read(tmp_path / "run").gradients["weight"]
    assert rows[0].dtype == torch.float32 and rows[1].dtype == torch.float64
