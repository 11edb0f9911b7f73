"""The processes of a distributed training."""

import pytest
import torch

from trajlab.record import Recorder, every
from trajlab.record.ranks import rank_and_size


def one_step(model, recorder, inputs, **metrics):
    model(inputs).sum().backward()
    recorder.step(**metrics)


def test_recorder__other_ranks_do_not_record_unless_each_does(make_model, monkeypatch, capsys, read, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "3")
    model = make_model()
    for rank in (0, 1, 2):
        monkeypatch.setenv("RANK", str(rank))
        with Recorder(model, tmp_path / "run", when=every(2)) as recorder:
            one_step(model, recorder, torch.randn(2, 1, 8, 8), loss=rank)
            assert recorder.next_step == 1
        with Recorder(model, tmp_path / "each", ranks="each") as recorder:
            one_step(model, recorder, torch.randn(2, 1, 8, 8), loss=rank)
    assert capsys.readouterr().err.count("rank 0 records to") == 1
    assert read(tmp_path / "run").metrics == [{"step": 0, "loss": 0}]
    assert [read(tmp_path / "each" / f"rank-{rank}").metrics[0]["loss"] for rank in range(3)] == [0, 1, 2]
    monkeypatch.setenv("RANK", "1")
    assert Recorder(model, tmp_path / "run", when=every(2), resume=True).next_step == 1
    assert Recorder(model, tmp_path / "run", resume=5).next_step == 5


@pytest.mark.parametrize(
    ("rank", "size", "expected"), [("2", "4", (2, 4)), ("", "4", (0, 1)), ("x", "4", (0, 1)), (None, None, (0, 1))]
)
def test_rank_and_size__come_from_the_environment(rank, size, expected, monkeypatch):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
    assert rank_and_size() == expected
