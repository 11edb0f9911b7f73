"""Positions in the states of optimizers become names where order and shapes leave no other."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import trajlab
from tests.runs.readers.test_optimizer_states import two_groups
from trajlab.runs.readers.optimizer_files import read_optimizer_file
from trajlab.runs.readers.optimizer_names import ParameterNames


@pytest.mark.parametrize("in_order", [True, False])
def test_names__of_positions(in_order, tmp_path):
    model = nn.ModuleDict({"q": nn.Linear(3, 3), "o": nn.Linear(3, 3), "head": nn.Linear(3, 2)})
    optimizer = torch.optim.Adam(model.parameters())
    sum(layer(torch.ones(2, 3)).sum() for layer in model.values()).backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "step1.pt")
    order = ParameterNames(trajlab.open(tmp_path), in_order)
    names, reasons = order.names([read_optimizer_file(str(tmp_path / "step1.pt"))])
    by_position = {key: name for (_, _, key), name in names.items()}
    if in_order:
        assert by_position == dict(enumerate(dict(model.named_parameters()))) and reasons == {}
    else:
        assert by_position == {4: "head.weight", 5: "head.bias"}
        assert all("fit, and nothing tells which is which; the order of the network is not known: its file is sorted" in
                   why for why in reasons.values())  # fmt: skip
        assert len(reasons) == 2


def test_a_frozen_parameter_makes_equal_shapes_ambiguous(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = torch.optim.Adam([*model[1].parameters(), *model[2].parameters()])
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "step1.pt")
    state = trajlab.open(tmp_path).optimizer
    assert set(state.moments["exp_avg"]) == {"2.weight", "2.bias"}
    assert any("(3, 3)" in key and "0.weight, 1.weight fit" in why for key, why in state.left_out.items())
    assert state.left_out.keys() == {
        "parameters 0 of the optimizer (of shape (3, 3))", "parameters 1 of the optimizer (of shape (3,))"
    }  # fmt: skip


def test_a_file_sorted_by_name_names_what_shapes_and_blocks_tell(tmp_path):
    model = nn.ModuleDict({"h": nn.ModuleList(nn.Linear(3, 3) for _ in range(11)), "head": nn.Linear(3, 2)})
    optimizer = torch.optim.Adam(two_groups(model))
    sum(layer(torch.ones(2, 3)).sum() * (i + 1) for i, layer in enumerate([*model["h"], model["head"]])).backward()
    optimizer.step()
    (tmp_path / "checkpoint-1").mkdir()
    save_file(dict(sorted(model.state_dict().items())), tmp_path / "checkpoint-1" / "model.safetensors")
    torch.save(optimizer.state_dict(), tmp_path / "checkpoint-1" / "optimizer.pt")
    run = trajlab.open(tmp_path)
    assert run.optimizer.left_out == {}
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(run.optimizer.moments["exp_avg"][name][0], optimizer.state[parameter]["exp_avg"])


def test_a_checkpoint_of_transformers_keeps_its_names_where_the_network_has_others(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.MixtralConfig(
        vocab_size=20, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=4,
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config)
    optimizer = torch.optim.Adam(two_groups(model))
    tokens = torch.arange(12).reshape(2, 6)
    model(tokens, labels=tokens).loss.backward()
    optimizer.step()
    model.save_pretrained(tmp_path / "checkpoint-1")
    torch.save(optimizer.state_dict(), tmp_path / "checkpoint-1" / "optimizer.pt")
    run = trajlab.open(tmp_path)
    if not any("block_sparse_moe.gate" in name for name in run.weights):
        pytest.skip("this version of transformers saves parameters under the names of the network")
    if not any(name.endswith("experts.down_proj") for name, _ in model.named_parameters()):
        pytest.skip("this version of transformers keeps the weights of experts apart")
    moments, reasons = run.optimizer.moments["exp_avg"], run.optimizer.left_out
    of_experts = {name for name, _ in model.named_parameters() if ".experts." in name}
    assert list(reasons.values()) == ["the run holds them as other tensors"] and "experts.down_proj" in str(reasons)
    assert len(moments) == len(list(model.parameters())) - len(of_experts)
    for name, parameter in model.named_parameters():
        if name not in of_experts:
            actual = moments[name.replace(".mlp.", ".block_sparse_moe.")][0]
            np.testing.assert_array_equal(actual, optimizer.state[parameter]["exp_avg"], err_msg=name)
