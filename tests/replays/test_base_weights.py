"""Replays of adapters that were saved without the network below them, against the network itself."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import trajlab
from trajlab.errors import BadSetting
from trajlab.replays.base_weights import saved_name


class Adapted(nn.Module):
    """A linear module with an adapter, named as peft does."""

    def __init__(self, rank=2):
        super().__init__()
        self.base_layer = nn.Linear(5, 4)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(5, rank, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(rank, 4, bias=False)})

    def forward(self, x):
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


class Head(nn.Module):
    """peft trains a module as a whole, and keeps the original beside it."""

    def __init__(self):
        super().__init__()
        self.original_module = nn.Linear(4, 3)
        self.modules_to_save = nn.ModuleDict({"default": nn.Linear(4, 3)})

    def forward(self, x):
        return self.modules_to_save["default"](x)


def build():
    torch.manual_seed(0)
    return nn.Sequential(Adapted(), nn.ReLU(), Head())


@pytest.fixture
def saved(tmp_path):
    """Two checkpoints as peft writes them, and the networks that they were taken from."""
    networks = []
    for step in (10, 20):
        network = build()
        state = {name: torch.randn_like(value) for name, value in network.state_dict().items() if "default" in name}
        network.load_state_dict(state, strict=False)
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save_file({saved_name(name): value for name, value in state.items()}, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2}))
        networks.append(network)
    return trajlab.open(tmp_path), networks


def test_replay__of_adapters_takes_the_network_below_from_the_model(saved, capsys):
    run, networks = saved
    probe = torch.randn(6, 5)
    *_, output = trajlab.replay(run, model=build, probe=probe, of="modules").values()
    assert output.step.values.tolist() == [10, 20]
    with torch.no_grad():
        expected = np.stack([network(probe).numpy() for network in networks])
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    assert "holds adapters only: the other 4 tensors are those of the network that model=" in capsys.readouterr().err


def test_replay__another_network_below_gives_other_outputs(saved):
    run, _ = saved
    probe = torch.randn(6, 5)

    def other():
        network = build()
        network[0].base_layer.weight.data += 1
        return network

    outputs = [trajlab.replay(run, model=model, probe=probe)["1"].values for model in (build, other)]
    assert not np.allclose(*outputs)


def test_replay__of_adapters_names_those_that_the_model_lacks(saved):
    run, _ = saved
    with pytest.raises(BadSetting, match="4 not in the model"):
        trajlab.replay(run, model=lambda: nn.Sequential(nn.Linear(5, 4)), probe=torch.randn(6, 5))
    with pytest.raises(BadSetting, match=r"0.lora_A.default.weight \[3, 5\] recorded as \[2, 5\]"):
        trajlab.replay(run, model=lambda: nn.Sequential(Adapted(3), nn.ReLU(), Head()), probe=torch.randn(6, 5))
