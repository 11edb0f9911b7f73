import os

import numpy as np
import pytest
import torch
from torch import nn

from tests.torch_positions import SAYS_POSITIONS
from trajlab.errors import DamagedData, UntrustedCode
from trajlab.runs.readers.checkpoints import Checkpoint, find_checkpoints
from trajlab.runs.readers.optimizer_files import load_moment, optimizer_files, read_optimizer_file, shapes_of


@pytest.fixture
def optimizer():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.25))
    for _ in range(3):
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("new", [True, False])
def test_read_optimizer_file__has_counts_and_positions(tmp_path, optimizer, new):
    path = str(tmp_path / "optimizer.pt")
    torch.save(optimizer.state_dict(), path, _use_new_zipfile_serialization=new)
    file = read_optimizer_file(path)
    (state,) = file.states
    assert state.counts == {0: 3.0, 1: 3.0} and state.settings[0]["lr"] == 0.25
    assert shapes_of(state) == {0: (2, 3), 1: (2,)}
    expected = optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    entry = file.entries[0, 0, "exp_avg"]
    assert (entry.offset is not None) == (new and SAYS_POSITIONS) and entry.shape == (2, 3)
    if entry.offset is not None:
        raw = np.fromfile(path, "<f4", 6, offset=entry.offset).reshape(2, 3)
        np.testing.assert_array_equal(raw, expected)
    np.testing.assert_array_equal(load_moment(path, file.names[0, 0, "exp_avg"]), expected)


class Code:
    def __reduce__(self):
        return os.system, ("exit 1",)


def test_read_optimizer_file__runs_no_code(tmp_path):
    path = str(tmp_path / "optimizer.pt")
    torch.save({"state": {0: {"exp_avg": Code()}}, "param_groups": []}, path)
    with pytest.raises(DamagedData, match="cannot read"):
        read_optimizer_file(path)


def test_read_optimizer_file__of_a_file_cut_off(tmp_path, optimizer):
    path = tmp_path / "optimizer.pt"
    torch.save(optimizer.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DamagedData, match=r"optimizer\.pt"):
        read_optimizer_file(str(path))


def test_optimizer_files__lie_in_the_checkpoint(tmp_path, optimizer):
    model = nn.Linear(3, 2).state_dict()
    for step in (1, 2):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        torch.save(model, folder / "pytorch_model.bin")
        for name in ("optimizer.pt", "optimizer_1.bin", "scheduler.pt", "optimizer.txt"):
            torch.save(optimizer.state_dict(), folder / name)
    checkpoint = find_checkpoints(tmp_path).snapshots[0]
    paths = optimizer_files(tmp_path, checkpoint, alone=False, root=tmp_path)
    assert [path.rpartition("/")[2] for path in paths] == ["pytorch_model.bin", "optimizer.pt", "optimizer_1.bin"]
    (tmp_path / "checkpoint-2" / "optimizer.pt").unlink()
    (tmp_path / "checkpoint-2" / "optimizer.pt").symlink_to("/etc/passwd")
    checkpoint = find_checkpoints(tmp_path).snapshots[1]
    with pytest.raises(UntrustedCode, match="leaves"):
        optimizer_files(tmp_path, checkpoint, alone=False, root=tmp_path)


def test_info__says_where_states_lie_without_reading_them(tmp_path, optimizer):
    import trajlab
    from trajlab.runs.inventory import inventory

    for step in (1, 2):
        (folder := tmp_path / f"checkpoint-{step}").mkdir()
        torch.save(nn.Linear(3, 2).state_dict(), folder / "pytorch_model.bin")
    (folder / "optimizer.pt").write_bytes(b"not read")
    run = trajlab.open(tmp_path)
    assert (
        dict(inventory(run).facts)["optimizer state"] == "optimizer.pt in 1 of 2 snapshots, read when it is asked for"
    )
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    assert len(run.optimizer) == 4
    assert dict(inventory(run).facts)["optimizer state"] == "exp_avg, exp_avg_sq of 2 of 2 tensors at 1, at step 2"


def test_optimizer_files__of_one_file_of_weights(tmp_path):
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "step1.pt")
    checkpoint = Checkpoint(1, "step1.pt", {})
    assert optimizer_files(tmp_path, checkpoint, alone=False, root=None) == []
