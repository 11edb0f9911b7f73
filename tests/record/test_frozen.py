"""Frozen parameters are stored once, and read at every step."""

import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.record.frozen import SHARDS, digest_of


def record(folder, net, *, steps=3, change=lambda step: None, resume=False):
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1)
    with trajlab.Recorder(net, folder, gradients=False, resume=resume) as recorder:
        for step in range(steps):
            change(step)
            optimizer.zero_grad()
            net(torch.randn(4, 3)).square().mean().backward()
            recorder.step()
            optimizer.step()


def tuned():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 64), nn.BatchNorm1d(64), nn.Linear(64, 2)).to(torch.float32)
    net[0].requires_grad_(False)
    return net


def test_frozen__are_stored_once_and_read_at_every_step(tmp_path):
    net = tuned()
    start = net[0].weight.clone()
    record(tmp_path / "run", net)
    shards = sorted((tmp_path / "run").glob(f"checkpoint-*/{SHARDS[1]}"))
    assert len(shards) == 4 and len({shard.stat().st_ino for shard in shards}) == 1
    run = trajlab.open(tmp_path / "run")
    assert set(run.weights) == {name for name, _ in net.named_parameters()} and run.facts["frozen"]
    assert "1.running_mean" in run.buffers
    for step in run.steps:
        torch.testing.assert_close(run.at(int(step))["0.weight"], start, rtol=0, atol=0)
    net.load_state_dict(run.at(3))  # the same names as the network's own
    moved = trajlab.run("drift", run).compute().relative.isel(step=-1)
    assert moved.sel(parameter="0.weight") == 0 and moved.sel(parameter="2.weight") > 0


def test_frozen__what_is_changed_by_hand_is_stored_anew(tmp_path):
    net = tuned()

    def change(step):
        if step == 2:
            net[0].weight.data += 1

    record(tmp_path / "run", net, change=change)
    values = trajlab.open(tmp_path / "run").weights["0.weight"].values
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_allclose(values[2], values[1] + 1, rtol=1e-6)
    inodes = [shard.stat().st_ino for shard in sorted((tmp_path / "run").glob(f"checkpoint-*/{SHARDS[1]}"))]
    assert len(set(inodes)) == 2


def test_frozen__a_run_without_any_has_one_file_a_step(tmp_path):
    record(tmp_path / "run", nn.Linear(3, 2))
    assert not list((tmp_path / "run").glob(f"checkpoint-*/{SHARDS[0]}"))


def test_frozen__a_resumed_run_and_one_without_links(tmp_path, monkeypatch):
    def no_links(*arguments):
        raise OSError("no hard links here")

    monkeypatch.setattr("os.link", no_links)
    net = tuned()
    record(tmp_path / "run", net)
    record(tmp_path / "run", net, resume=2)
    run = trajlab.open(tmp_path / "run")
    assert run.steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert (run.weights["0.weight"] == run.weights["0.weight"][0]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_digest_of__tells_bits_shapes_and_names(dtype):
    tensor = torch.ones(2, 3).to(dtype)
    others = [{"a": tensor.reshape(3, 2)}, {"b": tensor}, {"a": tensor + tensor}, {"a": tensor.double()}]
    assert digest_of({"a": tensor}) == digest_of({"a": tensor.clone()})
    assert all(digest_of({"a": tensor}) != digest_of(other) for other in others)
    digest_of({"scalar": torch.tensor(1.0), "empty": torch.empty(0, 3)})
