"""What of a checkpoint is the network."""

import sys
import types

import numpy as np
import pytest
import torch

import trajlab
from trajlab.errors import BadSetting, DamagedData
from trajlab.runs.readers.state_dicts import find_networks
from trajlab.runs.readers.torch_zip import StoredTensor

ADAM = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}


def net(scale, outputs=2):
    return {
        "fc.weight": torch.arange(3.0 * outputs).reshape(outputs, 3) * scale,
        "fc.bias": torch.full((outputs,), float(scale)),
    }


NAMES = ["fc.weight", "fc.bias"]


def copied(state):
    return {name: value.clone() for name, value in state.items()}


def prefixed(*keys):
    return [f"{key}.{name}" for key in keys for name in NAMES]


@pytest.mark.parametrize(
    ("wrap", "names"),
    [
        (lambda state: {"network_weights": state, "optimizer_state": ADAM}, NAMES),
        (lambda state: {"network_state_dict": state, "training_step": 7}, NAMES),
        (lambda state: {"params": state, "opt_state": {"m": net(1.0), "v": net(1.0)}}, NAMES),
        (
            lambda state: {"actor_state_dict": state, "critic_state_dict": copied(state)},
            prefixed("actor_state_dict", "critic_state_dict"),
        ),
        (lambda state: {"agent.actor": state, "agent.critic": copied(state)}, prefixed("actor", "critic")),
        (lambda state: {"agent": {"actor": state}, "lr": 3}, NAMES),
        (lambda state: {"agent": {"actor": state, "critic": copied(state)}, "opt": ADAM}, prefixed("actor", "critic")),
        (lambda state: {"model": state, "model_ema": copied(state)}, prefixed("model", "model_ema")),
        (lambda state: {"model": state, "ema": copied(state), "epoch": 3}, prefixed("model", "ema")),
        (lambda state: {"state": state, "state_ema": copied(state)}, prefixed("state", "state_ema")),
        (lambda state: {"policy": state, "optimizer": ADAM}, NAMES),
        (lambda state: {"policy": state, "whatever": ADAM}, NAMES),
        (lambda state: {"policy": state, "optimizers": [ADAM, ADAM], "schedulers": [{"last_epoch": 3}]}, NAMES),
        (lambda state: {"policy": state, "amp": {"loss_scaler0": {"loss_scale": 65536.0, "unskipped": 0}}}, NAMES),
        (lambda state: {"module": state, "x": {"single_partition_of_fp32_groups": [torch.ones(9)]}}, NAMES),
        (lambda state: {"module": state, "y": {"fp32_from_fp16": [[torch.ones(9)]]}}, NAMES),
        (lambda state: {"model": state, "moments": {"fc.weight": {"exp_avg": torch.ones(3)}}}, NAMES),
        (lambda state: {"model": state, "rng": {"torch": torch.ones(9, dtype=torch.uint8)}}, NAMES),
        (lambda state: {"model": state, "random": {"cpu": torch.ones(9, dtype=torch.uint8)}}, NAMES),
        (lambda state: {"model": state, "losses": {"train": torch.tensor(1.0), "val": torch.tensor(2.0)}}, NAMES),
        (lambda state: [state, ADAM], NAMES),
        (lambda state: (state, copied(state)), prefixed("0", "1")),
        (lambda state: {"models": [state, copied(state)], "optimizer": ADAM}, prefixed("0", "1")),
        (lambda state: {"net": list(state.values()), "optimizer": ADAM}, ["0", "1"]),
        (lambda state: {"net": {name: value.numpy() for name, value in state.items()}}, NAMES),
        (lambda state: {"weight": state["fc.weight"], "bias": state["fc.bias"], "optimizer": ADAM}, ["weight", "bias"]),
        (lambda state: state | {"fc._extra_state": {"scale": torch.ones(2)}}, NAMES),
        (lambda state: {"params": {"fc": {"weight": state["fc.weight"], "b": state["fc.bias"]}}}, ["weight", "b"]),
    ],
)  # fmt: skip
def test_open__the_mappings_of_tensors_that_are_no_optimizer_are_the_networks(tmp_path, wrap, names):
    for step in (1, 2):
        torch.save(wrap(net(float(step))), tmp_path / f"step{step}.pt")
    run = trajlab.open(tmp_path)
    assert list(run.weights) == names and not run.buffers
    for name in names:
        right = net(2.0)["fc.bias" if name.rpartition(".")[2] in ("bias", "b", "1") else "fc.weight"]
        assert torch.equal(torch.from_numpy(run.weights[name].values[1]), right), name


@pytest.mark.parametrize("lone", ["loss", "pos_weight"])
def test_open__a_tensor_beside_networks_is_none_and_is_named(tmp_path, lone):
    for step in (1, 2):
        content = {"generator": net(step), "discriminator": net(step, 4), lone: torch.tensor(1.0) / step, "epoch": step}
        torch.save(content, tmp_path / f"step{step}.pt")
    run = trajlab.open(tmp_path)
    assert list(run.weights) == prefixed("generator", "discriminator")
    assert list(run.weights.omitted) == [lone] and "beside" in run.weights.omitted[lone]


def test_open__a_loss_beside_an_optimizer_is_no_network(tmp_path):
    torch.save({"loss": torch.tensor(0.5), "optimizer": ADAM}, tmp_path / "step1.pt")
    with pytest.raises(DamagedData, match=r"step1\.pt: it holds the keys loss, optimizer"):
        trajlab.open(tmp_path)


def test_open__key_chooses_a_network(tmp_path):
    for step in (1, 2):
        content = {"agent": {"actor": net(step), "critic": net(10.0 * step)}, "target": net(3.0), "optimizer": ADAM}
        torch.save(content, tmp_path / f"step{step}.pt")
    assert list(trajlab.open(tmp_path).weights) == prefixed("agent.actor", "agent.critic", "target")
    for key in ("critic", "agent.critic"):
        run = trajlab.open(tmp_path, key=key)
        assert list(run.weights) == NAMES
        assert run.weights["fc.bias"].values.tolist() == [[10.0, 10.0], [20.0, 20.0]]
    assert list(trajlab.open(tmp_path, key="agent").weights) == prefixed("actor", "critic")
    with pytest.raises(BadSetting, match=r"'teacher'.*agent\.actor, agent\.critic, target"):
        trajlab.open(tmp_path, key="teacher")
    with pytest.raises(BadSetting, match="'acto'"):
        trajlab.open(tmp_path, key="acto")


def test_open__checkpoints_without_the_key_are_named(tmp_path):
    for step in (1, 2, 3):
        content = {"model": net(step), "ema": net(10.0 * step)} if step != 2 else {"model": net(step)}
        torch.save(content, tmp_path / f"step{step}.pt")
    run = trajlab.open(tmp_path, key="ema")
    assert run.steps.tolist() == [1, 3] and run.left_aside == {"step2.pt": "it has no network 'ema'"}
    assert trajlab.open(tmp_path, key="model").left_aside == {}


def test_open__a_copy_that_comes_later_leaves_the_names_of_the_network_as_they_are(tmp_path):
    torch.save({"model": net(1.0)}, tmp_path / "step1.pt")
    torch.save({"model": net(2.0), "ema": net(1.5)}, tmp_path / "step2.pt")
    run = trajlab.open(tmp_path)
    assert {name: run.weights[name].step.values.tolist() for name in run.weights} == {
        "model.fc.weight": [1, 2], "model.fc.bias": [1, 2], "ema.fc.weight": [2], "ema.fc.bias": [2],
    }  # fmt: skip


def test_open__a_network_under_another_key_at_each_step_is_one(tmp_path):
    torch.save(net(1.0), tmp_path / "step1.pt")
    torch.save({"model": net(2.0)}, tmp_path / "step2.pt")
    torch.save({"state_dict": net(3.0), "optimizer": ADAM}, tmp_path / "step3.pt")
    assert trajlab.open(tmp_path).weights["fc.bias"].values[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "state",
    [
        ADAM,
        {"state": {}, "param_groups": []},
        {"optimizer_state_dict": {"base_optimizer_state": ADAM}, "ds_version": "0.9"},
        {"last_epoch": 3, "_last_lr": [0.1]},
        [ADAM],
    ],
    ids=["adam", "empty", "deepspeed", "scheduler", "list"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["optim_{}.pt", "state_{}.pt", "a_{}.bin"])
def test_open__a_file_with_the_state_of_an_optimizer_does_not_block_the_folder(tmp_path, state, name):
    for step in (1, 2):
        torch.save(net(float(step)), tmp_path / f"model_{step}.pt")
        torch.save(state, tmp_path / name.format(step))
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1, 2] and run.weights["fc.bias"].values[:, 0].tolist() == [1, 2]


def test_open__files_of_optimizers_alone_are_named(tmp_path):
    torch.save(ADAM, tmp_path / "step1.pt")
    with pytest.raises(DamagedData, match=r"step1\.pt: it holds the state of an optimizer"):
        trajlab.open(tmp_path)


def test_find_networks__a_content_that_holds_itself_ends():
    content = {"a": net(1.0)}
    content["self"] = content
    with pytest.raises(ValueError, match="nested"):
        find_networks(content)
    shared = [net(1.0)]
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(ValueError, match="nested"):
        find_networks(shared)


def test_find_networks__needs_no_torch_and_no_whole_one(monkeypatch):
    weight = StoredTensor(np.dtype("f4"), (2,), 0, True)
    for module in (None, types.ModuleType("torch")):  # absent, and as another thread has begun to import it
        monkeypatch.setitem(sys.modules, "torch", module)
        assert find_networks({"model": {"weight": weight}}).networks == {"model": {"weight": weight}}
