import numpy as np
import pytest
import torch
from torch import nn

from tests.replays.test_padding import t5
from trajlab.replays.blocks import stream_of
from trajlab.replays.trace import trial

transformers = pytest.importorskip("transformers")


def names(stream):
    return [call.key.name for call in stream.states]


def test_stream_of__a_vision_transformer_with_its_embeddings_and_head():
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8
    )
    model = transformers.ViTForImageClassification(config).eval()
    stream = stream_of(trial(model, torch.zeros(3, 3, 8, 8)).calls)
    assert len(stream.states) == 3 and names(stream)[0] in ("vit.embeddings", "vit.embeddings.dropout")
    assert [name.rpartition(".")[2] for name in names(stream)[1:]] == ["0", "1"]
    assert stream.head[-1] == "classifier" and len(stream.head) == 2


def test_stream_of__an_encoder_decoder_has_both():
    tokens = torch.zeros(3, 5, dtype=torch.long)
    stream = stream_of(trial(t5(), tokens, {"decoder_input_ids": tokens[:, :4]}).calls)
    assert [name.rpartition(".")[0] for name in names(stream) if name[-1] == "0"] == ["encoder.block", "decoder.block"]
    assert stream.head[-1] == "lm_head"


def test_stream_of__networks_without_blocks_have_none():
    convolutions = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), nn.Sequential(nn.Conv2d(2, 2, 3)))
    assert stream_of(trial(convolutions, torch.zeros(3, 1, 8, 8)).calls) == ([], ())
    perceptron = nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 4)))
    assert names(stream_of(trial(perceptron, torch.zeros(3, 4)).calls)) == []
    assert np.all(names(stream_of(trial(perceptron, torch.zeros(3, 5, 4)).calls)) == ["0", "1"])
