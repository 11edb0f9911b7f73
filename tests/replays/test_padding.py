"""Batches of transformers with padding, against the loss that the model itself returns."""

import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import BadSetting, DamagedData
from trajlab.replays.probe_files import as_probe, read_probe

transformers = pytest.importorskip("transformers")


def llama():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, use_cache=False
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def run():
    return trajlab.from_arrays({name: value.detach().numpy()[None] for name, value in llama().named_parameters()})


@pytest.fixture(params=["left", "right"])
def batch(request):
    tokens = np.random.default_rng(0).integers(1, 20, (70, 6))  # several batches
    mask = np.ones_like(tokens)
    padded = slice(0, 3) if request.param == "left" else slice(3, 6)
    mask[::2, padded] = 0
    return {"input_ids": tokens, "attention_mask": mask, "labels": tokens.copy()}


def test_padding__the_loss_is_that_of_the_model_with_its_mask(run, batch):
    labels = np.where(batch["attention_mask"] == 1, batch["labels"], -100)
    with torch.no_grad():
        expected = llama()(
            torch.tensor(batch["input_ids"]),
            attention_mask=torch.tensor(batch["attention_mask"]),
            labels=torch.tensor(labels),
        ).loss.item()
    result = trajlab.run("evaluation", run, model=llama, probe=as_probe(batch)).compute()
    assert result.loss.item() == pytest.approx(expected, rel=1e-5)
    plain = trajlab.run("evaluation", run, model=llama, probe=(batch["input_ids"], batch["labels"])).compute()
    assert plain.loss.item() != pytest.approx(expected, rel=1e-5)
    assert as_probe(batch).attrs["sha256"] != as_probe((batch["input_ids"], batch["labels"])).attrs["sha256"]


@pytest.mark.parametrize("suffix", ["npz", "pt"])
def test_padding__is_read_from_a_file(batch, tmp_path, suffix):
    path = tmp_path / f"probe.{suffix}"
    if suffix == "npz":
        np.savez(path, **batch)
    else:
        torch.save({name: torch.tensor(value) for name, value in batch.items()}, path)
    probe = read_probe(path)
    np.testing.assert_array_equal(probe["attention_mask"], batch["attention_mask"])
    np.testing.assert_array_equal(probe["targets"], np.where(batch["attention_mask"] == 1, batch["labels"], -100))


def test_padding__a_mask_of_another_shape_and_a_network_without_are_refused(batch, tmp_path):
    np.savez(tmp_path / "probe.npz", **(batch | {"attention_mask": batch["attention_mask"][:, :3]}))
    with pytest.raises(DamagedData, match="attention_mask has shape"):
        read_probe(tmp_path / "probe.npz")
    with pytest.raises(BadSetting, match="cannot use the batch as a probe: it holds .*, types. Name its tensors"):
        as_probe(batch | {"types": batch["labels"]})
    with pytest.raises(BadSetting, match="it takes none"):
        trajlab.replay(
            trajlab.from_arrays({"weight": np.ones((1, 20, 4))}), model=nn.Embedding(20, 4), probe=as_probe(batch)
        )
