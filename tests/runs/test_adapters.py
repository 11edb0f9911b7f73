"""Updates of low-rank adapters, against the modules that make them."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import trajlab
from trajlab.errors import MissingData
from trajlab.runs.adapters import adapter_updates, scale_of


class LoraLinear(nn.Module):
    """A linear module with an adapter, named and scaled as peft does."""

    def __init__(self, rank=2, alpha=6.0):
        super().__init__()
        self.base_layer = nn.Linear(5, 4)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(5, rank, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(rank, 4, bias=False)})
        self.scaling = {"default": alpha / rank}
        self.base_layer.requires_grad_(False)

    def forward(self, x):
        return self.base_layer(x) + self.scaling["default"] * self.lora_B["default"](self.lora_A["default"](x))


def test_adapter_updates__of_a_recorded_run_are_what_the_module_adds(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(LoraLinear())
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1)
    added = []
    with trajlab.Recorder(net, tmp_path / "run") as recorder:
        for _ in range(4):
            optimizer.zero_grad()
            net(torch.randn(8, 5)).square().mean().backward()
            recorder.step()
            with torch.no_grad():  # what goes through the base layer alone is subtracted
                added.append((net(torch.eye(5)) - net[0].base_layer(torch.eye(5))).T.numpy())
            optimizer.step()
    run = trajlab.open(tmp_path / "run")
    (update,) = adapter_updates(run).values()
    assert update.name == "0.weight" and update.attrs["scale"] == 3.0 and update.chunks
    np.testing.assert_allclose(update.isel(step=slice(4)), added, rtol=1e-4, atol=1e-6)
    spectrum = trajlab.run("spectrum", run, on="adapters", shuffle=False).compute()
    expected = np.linalg.svd(update.values.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(spectrum.singular_values[:, 0], expected, rtol=1e-6, atol=1e-6)
    drift = trajlab.run("drift", run, on="adapters").compute()
    np.testing.assert_allclose(drift.norm[:, 0], np.sqrt((update.values.astype(float) ** 2).sum((1, 2))), rtol=1e-6)


@pytest.mark.parametrize(("config", "scale"), [({}, 2.0), ({"use_rslora": True}, 16 / np.sqrt(8)),
                                                ({"alpha_pattern": {"q_proj": 4}}, 0.5)])  # fmt: skip
def test_adapter_updates__of_a_folder_of_peft(tmp_path, config, scale):
    parts = {}
    for step in (10, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        module = "base_model.model.layers.0.q_proj"
        parts[step] = torch.randn(8, 6), torch.randn(7, 8)
        down, up = parts[step]
        save_file(
            {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}, folder / "adapter_model.safetensors"
        )
        (folder / "adapter_config.json").write_text(
            json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 16, **config})
        )
    updates = adapter_updates(trajlab.open(tmp_path))
    (update,) = updates.values()
    assert update.step.values.tolist() == [10, 20]
    expected = [scale * (up.double() @ down.double()).numpy() for down, up in parts.values()]
    np.testing.assert_allclose(update, expected, rtol=1e-5)


def test_adapter_updates__without_a_scale_there_are_none(rng):
    run = trajlab.from_arrays({"a.lora_A.weight": np.ones((1, 2, 3)), "a.lora_B.weight": np.ones((1, 4, 2))})
    assert not adapter_updates(run) and scale_of({}, "a", "default", 2) is None
    with pytest.raises(MissingData, match="there are no adapters"):
        trajlab.run("spectrum", run, on="adapters")
