"""Checkpoints of transformers bring their network, built from config.json."""

import json

import numpy as np
import pytest
import torch

import trajlab
from trajlab.errors import BadSetting, MissingData, UntrustedCode
from trajlab.runs.transformers_model import build_from_config, names_in_network, parameter_shapes

transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints as the Trainer saves them, of a Llama whose lm_head is tied."""
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    for step in (10, 20):
        torch.manual_seed(step)
        transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / f"checkpoint-{step}")
    return tmp_path


def test_build_from_config__losses_are_those_of_the_model_that_was_saved(folder):
    tokens = np.random.default_rng(0).integers(20, size=(3, 6))
    result = trajlab.run("evaluation", trajlab.open(folder), probe=(tokens, tokens)).compute()
    assert result.step.values.tolist() == [10, 20]
    for step, loss in zip((10, 20), result.loss.values, strict=True):
        model = transformers.LlamaForCausalLM.from_pretrained(folder / f"checkpoint-{step}")
        with torch.no_grad():
            expected = model(torch.tensor(tokens), labels=torch.tensor(tokens)).loss.item()
        assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"auto_map": {"AutoModel": "code.Model"}}, UntrustedCode, "code of its own"),
        ({"text_config": {"auto_map": {"AutoModel": "code.Model"}}}, UntrustedCode, "code of its own"),
        ({"model_type": "detr", "backbone": "a/b"}, UntrustedCode, r"another model \(backbone\), which is never"),
        ({"num_hidden_layers": 10**8}, BadSetting, "states 100,000,000 num_hidden_layers"),
        ({"vocab_size": 10**12}, MissingData, "and this machine has"),
        ({"architectures": ["NoSuchModel"]}, MissingData, "no model of this name"),
        ({"architectures": ["pipeline"]}, MissingData, "no model of this name"),
        ({"num_attention_heads": "many"}, BadSetting, "from its config.json"),
        ({"architectures": None}, MissingData, "neither the run nor --model names its network"),
    ],
)
def test_build_from_config__refuses_what_is_no_model_of_transformers(folder, change, error, message):
    for path in folder.glob("*/config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(error, match=message):
        trajlab.run("evaluation", trajlab.open(folder), probe=(np.zeros((2, 4), int), np.zeros((2, 4), int)))


def test_names_in_network__a_vision_transformer_is_replayed_from_its_checkpoint(tmp_path):
    config = transformers.ViTConfig(
        hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4,
        num_labels=3,
    )  # fmt: skip
    for step in (1, 2):
        torch.manual_seed(step)
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path / f"checkpoint-{step}")
    images, labels = torch.randn(5, 3, 8, 8), torch.arange(5) % 3
    run = trajlab.open(tmp_path)
    result = trajlab.run("evaluation", run, probe={"pixel_values": images.numpy(), "labels": labels.numpy()}).compute()
    for step, loss in zip((1, 2), result.loss.values, strict=True):
        model = transformers.ViTForImageClassification.from_pretrained(tmp_path / f"checkpoint-{step}").eval()
        with torch.no_grad():
            assert loss == pytest.approx(model(images, labels=labels).loss.item(), rel=1e-5)
    shapes, converted = parameter_shapes(run.facts, run.source, run.weights)
    assert not converted and set(shapes) == set(run.weights)
    for name, shape in shapes.items():
        assert run.weights.series[name].shape == shape


def test_names_in_network__of_what_transformers_does_not_know():
    assert names_in_network(torch.nn.Linear(2, 2), ["weight", "other"]) == {"weight": "weight", "other": "other"}


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_build_from_config__downloads_no_kernels(folder, monkeypatch, key):
    """transformers downloads and runs kernels that a configuration names, if the package kernels is installed."""
    monkeypatch.setattr(
        transformers.LlamaForCausalLM, "_check_and_adjust_attn_implementation", _refusing, raising=False
    )
    for path in folder.glob("*/config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: "kernels-community/planted"}))
    model = build_from_config(trajlab.open(folder).facts, str(folder))
    assert model.config._attn_implementation in ("eager", "sdpa")


def _refusing(self, implementation, *arguments, **keywords):
    assert implementation in (None, "eager", "sdpa")
    return "eager"


def test_build_from_config__the_hub_is_not_asked_meanwhile(folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    seen = []
    init = transformers.LlamaForCausalLM.__init__
    monkeypatch.setattr(
        transformers.LlamaForCausalLM,
        "__init__",
        lambda self, config: (seen.append(constants.HF_HUB_OFFLINE), init(self, config))[-1],
    )
    build_from_config(trajlab.open(folder).facts, str(folder))
    assert seen and all(seen) and constants.HF_HUB_OFFLINE is False
