import pytest
import torch

import trajlab
from trajlab.errors import MissingData, OutputExists
from trajlab.runs.import_checkpoints import import_checkpoints


def test_import_checkpoints__keeps_every_bit(tmp_path):
    for step in (3, 9):
        state = {"a.weight": torch.randn(4, 3).bfloat16(), "bn.running_mean": torch.randn(4), "n": torch.tensor(step)}
        torch.save({"state_dict": state, "optimizer": {"m": torch.ones(9)}}, tmp_path / f"upd{step}x7.pt")
    import_checkpoints(trajlab.open(tmp_path, step_pattern=r"upd(\d+)"), tmp_path / "run")
    source, run = trajlab.open(tmp_path, step_pattern=r"upd(\d+)"), trajlab.open(tmp_path / "run")
    assert run.steps.tolist() == [3, 9]
    for step in (3, 9):
        expected, actual = source.at(step), run.at(step)
        assert set(actual) == set(expected)
        assert all(actual[name].dtype == expected[name].dtype for name in actual)
        assert all(torch.equal(actual[name], expected[name]) for name in actual)


def test_import_checkpoints__a_tensor_that_comes_late(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "step1.pt")
    torch.save({"a": torch.zeros(2), "b": torch.ones(1)}, tmp_path / "step2.pt")
    run = trajlab.open(import_checkpoints(tmp_path, tmp_path / "run"))
    assert run.weights["b"]["step"].values.tolist() == [2]


def test_import_checkpoints__what_can_not_be_imported(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "step1.pt")
    (tmp_path / "run").mkdir()
    with pytest.raises(OutputExists):
        import_checkpoints(tmp_path, tmp_path / "run")
    torch.save({"a": torch.zeros(3)}, tmp_path / "step2.pt")
    with pytest.raises(MissingData, match="cannot import .* a: its shape changes|\\(a: its shape changes"):
        import_checkpoints(tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_import__names_what_it_leaves_out_and_opens_each_source_once(tmp_path, capsys, monkeypatch):
    from trajlab.cli import app
    from trajlab.runs import open as opening

    for step in (1, 2):
        state = {"w": torch.ones(2), "sparse": torch.eye(3).to_sparse()}
        torch.save(state, tmp_path / f"step{step}.pt")
    opened = []
    monkeypatch.setattr(
        opening, "read_folder", lambda *a, read=opening.read_folder, **k: opened.append(a) or read(*a, **k)
    )
    with pytest.raises(SystemExit, match="0"):
        app(["import", str(tmp_path), str(tmp_path / "run")])
    assert len(opened) == 1 and "trajlab: sparse left out: it is sparse" in capsys.readouterr().err
    run = trajlab.open(tmp_path / "run")
    assert list(run.weights) == ["w"] and "it is sparse" in run.weights.left_out["sparse"]
