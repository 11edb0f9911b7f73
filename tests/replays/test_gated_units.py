"""Units of gated MLPs, against a plain product, and against the hidden states of transformers' own Llama."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import trajlab
from trajlab.stages.dead_neurons import dead_neurons

transformers = pytest.importorskip("transformers")


class Gated(nn.Module):
    def __init__(self, gate=F.silu):
        super().__init__()
        self.up, self.gate, self.down = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)
        self.activation = gate

    def forward(self, x):
        return self.down(F.dropout(self.activation(self.gate(x)) * self.up(x), 0.5, self.training))


def run_of(model, steps=1):
    state = {name: np.stack([value.detach().numpy()] * steps) for name, value in model.state_dict().items()}
    return trajlab.from_arrays(state)


@pytest.mark.parametrize(("gate", "kind"), [(F.silu, "Gated SiLU"), (nn.GELU(), "Gated GELU"), (F.relu, "Gated ReLU")])
def test_units_of_a_gated_mlp__are_the_product_that_enters_the_weight(gate, kind):
    model = Gated(gate).eval()
    inputs = torch.randn(9, 4)
    layers = trajlab.replay(run_of(model), model=lambda: Gated(gate), probe=inputs)
    (name,) = layers
    assert name == "gated"
    assert layers[name].attrs["nonlinearity"] == kind
    assert layers[name].attrs["source"] in ("up", "gate")
    with torch.no_grad():
        expected = gate(model.gate(inputs)) * model.up(inputs)
    np.testing.assert_allclose(layers[name].isel(step=0), expected, rtol=1e-5, atol=1e-7)


def test_units_of_a_gated_mlp__saturation_is_that_of_the_activation():
    layers = trajlab.replay(run_of(Gated()), model=Gated, probe=torch.randn(9, 4), of="nonlinearities")
    assert list(layers) == ["silu"]


def test_a_product_that_enters_no_weight_is_no_unit():
    class Swish(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 6), nn.Linear(4, 6)

        def forward(self, x):
            return torch.relu(self.first(x)) * self.second(x)

    assert list(trajlab.replay(run_of(Swish()), model=Swish, probe=torch.randn(9, 4))) == ["relu"]


def llama():
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, use_cache=False,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(config).eval()


def test_llama__units_are_what_enters_down_proj():
    model, tokens = llama(), torch.randint(0, 40, (3, 7))
    entering = []
    for layer in model.model.layers:
        layer.mlp.down_proj.register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0].detach()))
    with torch.no_grad():
        model(tokens)
    state = {name: value.detach().numpy()[None] for name, value in model.named_parameters()}
    layers = trajlab.replay(trajlab.from_arrays(state), model=llama, probe=tokens)
    assert list(layers) == [f"model.layers.{block}.mlp.gated" for block in range(2)]
    for array, expected in zip(layers.values(), entering, strict=True):
        assert array.attrs["source"].endswith("up_proj")
        np.testing.assert_allclose(array.isel(step=0).transpose(..., "unit"), expected, rtol=1e-4, atol=1e-7)


def test_dead_neurons__a_silu_unit_that_is_never_positive_is_not_dead():
    inputs = torch.randn(64, 6)
    net = nn.Sequential(nn.Linear(6, 4), nn.SiLU(), nn.Linear(4, 2))
    state = {name: np.stack([value.detach().numpy()] * 2) for name, value in net.state_dict().items()}
    state["0.bias"][:, :] = [[0, 0, 0, 0], [-0.9, -20, -40, 0]]
    state["0.weight"] *= 0.1
    result = dead_neurons(trajlab.replay(trajlab.from_arrays(state), model=net, probe=inputs)).compute()
    with torch.no_grad():
        h = F.silu(inputs @ torch.tensor(state["0.weight"][1]).T + torch.tensor(state["0.bias"][1])).double().numpy()
    never = (h <= 0).all(0)
    assert never.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(result.never_positive[1, 0], never)
    flat = np.sqrt((h**2).mean(0)) <= 1e-3 * abs(h).mean()
    assert flat.tolist() == [False, True, True, False]
    np.testing.assert_array_equal(result.dead[1, 0], flat)
    np.testing.assert_array_equal(result.dead[0, 0], 0)
    assert result.died[1, 0] == 2
    assert "0.001" in str(result.dead_at.values[0])


def test_mass_death__counts_units_that_are_flat_and_not_those_that_are_never_positive():
    inputs = torch.randn(64, 6)
    net = nn.Sequential(nn.Linear(6, 4), nn.SiLU(), nn.Linear(4, 2))
    weights = {name: np.stack([value.detach().numpy()] * 2) for name, value in net.state_dict().items()}
    weights["0.weight"] *= 0.1
    for bias, expected in (([-0.9, -0.9, 0, 0], 0), ([-40, -40, -40, 0], 1)):
        weights["0.bias"][:] = [[0, 0, 0, 0], bias]
        layers = trajlab.replay(trajlab.from_arrays(weights), model=net, probe=inputs)
        alerts = trajlab.run("alerts", trajlab.from_arrays(weights), model=net, probe=inputs).compute()
        fires = alerts.fires.sel(check="MassDeath 1").isel(step=1)
        assert layers["1"].attrs["nonlinearity"] == "SiLU"
        assert fires == expected
