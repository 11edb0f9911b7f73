"""Order of parameters from their names, against the order in which models define and call their modules."""

import random

import pytest
import torch

from trajlab.runs.network_order import network_order

transformers = pytest.importorskip("transformers")

SMALL = {"num_hidden_layers": 11, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 8, "vocab_size": 20}


def gpt2():
    config = transformers.GPT2Config(n_layer=11, n_head=2, n_embd=8, vocab_size=20, n_positions=8)
    return transformers.GPT2LMHeadModel(config)


def bert():
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, use_cache=False))


def shuffled(names):
    names = sorted(names)
    random.Random(0).shuffle(names)
    return names


@pytest.mark.parametrize("build", [gpt2, bert])
def test_network_order__is_that_of_the_model(build):
    names = [name for name, _ in build().named_parameters()]
    assert sorted(shuffled(names), key=network_order) == names


def test_network_order__is_that_of_the_pass():
    """Llama defines its norms after its MLP and calls them before."""
    model, called = llama(), []
    for path, module in model.named_modules():
        own = [f"{path}.{name}" for name, _ in module.named_parameters(recurse=False)]
        module.register_forward_pre_hook(lambda module, inputs, own=own: called.extend(own))
    with torch.no_grad():
        model(torch.zeros(1, 4, dtype=torch.long))
    assert set(called) == {name for name, _ in model.named_parameters()}
    assert sorted(shuffled(called), key=network_order) == called


@pytest.mark.parametrize(
    "names",
    [
        ["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.bn1.weight",
         "layer1.0.conv2.weight", "layer1.0.bn2.weight", "layer1.0.downsample.0.weight", "layer2.0.conv1.weight",
         "fc.weight", "fc.bias"],
        ["0.weight", "0.bias", "2.weight", "10.weight"],
        ["encoder.a.weight", "decoder.a.weight"],
        ["block_2.a", "block_10.a"],
        ["x2.weight", "x10.weight", "y.weight"],
    ],
)  # fmt: skip
def test_network_order__of_other_names(names):
    assert sorted(shuffled(names), key=network_order) == names
