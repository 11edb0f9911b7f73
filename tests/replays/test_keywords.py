"""What networks take beside their inputs, against what transformers' own models return."""

import numpy as np
import pytest
import torch
import xarray as xr

import trajlab
from tests.replays.test_padding import run_of, t5
from trajlab.errors import BadSetting
from trajlab.replays.keywords import for_trial, keywords_of, masks_in
from trajlab.replays.probe_batches import as_probe

transformers = pytest.importorskip("transformers")

RNG = np.random.default_rng(0)
TOKENS, LABELS = RNG.integers(1, 20, (5, 7)), RNG.integers(1, 20, (5, 4))
MASK = (np.arange(7) < [[7], [5], [6], [2], [7]]).astype(int)


def test_keywords__an_encoder_decoder_gets_the_labels_as_its_own_loss_shifts_them():
    labels = LABELS.copy()
    labels[1, 3:] = -100
    batch = {"input_ids": TOKENS, "attention_mask": MASK, "labels": labels}
    with torch.no_grad():
        expected = t5()(**{name: torch.tensor(values) for name, values in batch.items()})
    result = trajlab.run("evaluation", run_of(t5), model=t5, probe=as_probe(batch)).compute()
    assert result.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    shifted = t5().prepare_decoder_input_ids_from_labels(torch.tensor(labels)).numpy()
    whole = as_probe(batch | {"decoder_input_ids": shifted})
    given = trajlab.run("evaluation", run_of(t5), model=t5, probe=whole).compute()
    assert given.loss.item() == result.loss.item()


def test_keywords__padding_of_encoder_and_decoder_is_left_out_in_each():
    decoder = (np.arange(4) < [[4], [3], [4], [1], [2]]).astype(int)
    batch = {
        "input_ids": TOKENS,
        "attention_mask": MASK,
        "decoder_input_ids": LABELS,
        "decoder_attention_mask": decoder,
    }
    layers = {"encoder.block.0.layer.1.DenseReluDense.wo": MASK, "decoder.block.0.layer.2.DenseReluDense.wo": decoder}
    model, outputs = t5(), {}
    for name in layers:
        model.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: outputs.update({name: o.numpy()}))
    with torch.no_grad():
        model(**{name: torch.tensor(values) for name, values in batch.items()})
    result = trajlab.run("features", run_of(t5), model=t5, probe=as_probe(batch), layers=list(layers)).compute()
    for name, mask in layers.items():
        tokens = outputs[name][mask == 1]
        assert result["mean"].sel(layer=name).item() == pytest.approx(tokens.mean(), rel=1e-4)
        assert result["std"].sel(layer=name).item() == pytest.approx(tokens.std(), rel=1e-4)


def test_keywords__clip_takes_tokens_and_images():
    torch.manual_seed(0)
    text = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 7, "eos_token_id": 19}  # fmt: skip
    image = {"image_size": 8, "patch_size": 4, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    model = transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=image, projection_dim=6)
    ).eval()
    pixels = RNG.standard_normal((5, 3, 8, 8)).astype(np.float32)
    probe = as_probe({"pixel_values": pixels, "input_ids": TOKENS, "attention_mask": MASK})
    run = trajlab.from_arrays({name: value.detach().numpy()[None] for name, value in model.named_parameters()})
    layer = "vision_model.encoder.layers.0.mlp.fc1"
    replayed = trajlab.replay(run, model=model, probe=probe, layers=[layer])
    seen = []
    with torch.no_grad():
        handle = model.get_submodule(layer).register_forward_hook(lambda m, i, o: seen.append(o.numpy()))
        trainable = {name: torch.tensor(run.weights[name].values[0]) for name in run.weights}
        call = {"pixel_values": torch.tensor(pixels), "attention_mask": torch.tensor(MASK)}
        torch.func.functional_call(model, trainable, (torch.tensor(TOKENS),), call)
        handle.remove()
    np.testing.assert_allclose(replayed[layer].values[0], seen[0], atol=1e-5)


def test_keywords__names_and_samples_that_do_not_fit_are_refused():
    probe = as_probe({"input_ids": TOKENS, "token_type_ids": np.zeros_like(TOKENS)})
    with pytest.raises(BadSetting, match="cannot call Embedding with a token_type_ids: it takes none"):
        keywords_of(probe, torch.nn.Embedding(20, 4))
    with pytest.raises(BadSetting, match="token_type_ids has 4 samples, its inputs have 5"):
        as_probe({"input_ids": TOKENS, "token_type_ids": np.zeros((4, 7), int)})
    with pytest.raises(BadSetting, match="token_type_ids has no axis of samples, its inputs have 5"):
        as_probe({"input_ids": TOKENS, "token_type_ids": np.array(0)})


def test_for_trial__zeros_and_masks_of_ones():
    arrays = {"attention_mask": MASK, "position_ids": TOKENS}
    tried = for_trial(arrays, 3)
    assert tried["attention_mask"].all() and not tried["position_ids"].any()
    assert tried["attention_mask"].shape == tried["position_ids"].shape == (3, 7)
    assert list(masks_in(arrays)) == ["attention_mask"] and masks_in({"attention_mask": np.ones((2, 3))}) == {}


def test_keywords__of_a_probe_without_are_none():
    assert keywords_of(xr.Dataset({"inputs": (("sample", "position"), TOKENS)}), torch.nn.Embedding(20, 4)) == {}
