"""Batches of transformers with padding, against transformers on each sequence alone, without padding."""

import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import BadSetting, DamagedData
from trajlab.replays.observers.observer import Batch, Layer
from trajlab.replays.observers.sampled_outputs import SampledOutputs
from trajlab.replays.padding import padding_attrs, with_padding, with_padding_as_nan, without_padding
from trajlab.replays.probe_batches import as_probe
from trajlab.replays.probe_files import read_probe
from trajlab.stages.comparison import unit_matching
from trajlab.statistics import correlation

transformers = pytest.importorskip("transformers")

LENGTH = 6


def llama():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, use_cache=False
    )
    return transformers.LlamaForCausalLM(config).eval()


def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=20, n_positions=8, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0, use_cache=False
    )
    return transformers.GPT2LMHeadModel(config).eval()


def bert():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=8,
    )  # fmt: skip
    return transformers.BertForMaskedLM(config).eval()


def t5():
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=20, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2, decoder_start_token_id=0,
        feed_forward_proj="gated-gelu", use_cache=False,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config).eval()


MODELS = {"llama": llama, "gpt2": gpt2, "bert": bert}
ACTIVATION = {"llama": "model.layers.0.mlp.down_proj", "gpt2": "transformer.h.1.mlp.act",
              "bert": "bert.encoder.layer.1.intermediate"}  # fmt: skip


def run_of(build):
    return trajlab.from_arrays({name: value.detach().numpy()[None] for name, value in build().named_parameters()})


@pytest.fixture(scope="module")
def run():
    return run_of(llama)


@pytest.fixture(params=["left", "right"])
def batch(request):
    tokens = np.random.default_rng(0).integers(1, 20, (70, LENGTH))  # several batches
    mask = np.ones_like(tokens)
    padded = slice(0, 3) if request.param == "left" else slice(3, LENGTH)
    mask[::2, padded] = 0
    return {"input_ids": tokens, "attention_mask": mask, "labels": tokens.copy()}


@pytest.fixture(params=["left", "right"])
def ragged(request):
    """Twelve sequences of 1 to 6 tokens; positions are counted from the first token."""
    rng = np.random.default_rng(1)
    tokens, lengths = rng.integers(1, 20, (12, LENGTH)), rng.integers(1, LENGTH + 1, 12)
    place = np.arange(LENGTH)
    mask = (place >= LENGTH - lengths[:, None]) if request.param == "left" else (place < lengths[:, None])
    positions = np.maximum(np.cumsum(mask, 1) - 1, 0)
    return {"input_ids": np.where(mask, tokens, 0), "attention_mask": mask.astype(int), "position_ids": positions}


def alone(build, batch, layer):
    """Return the output of a module for each sequence by itself, without its padding, (position, unit) each."""
    model, outputs = build(), []
    module = model.get_submodule(layer)
    module.register_forward_hook(lambda _, inputs, output: outputs.append((inputs[0], output)))
    at = 0 if layer.endswith("down_proj") else 1  # what enters it: the product of the gated MLP
    with torch.no_grad():
        for tokens, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            model(torch.tensor(tokens[mask == 1])[None])
    return [pair[at][0].double().numpy() for pair in outputs]


def of_layer(result, name):
    (layer,) = [layer for layer in result.layer.values if layer in (name, *aliases(name))]
    return result.sel(layer=layer)


def aliases(name):
    return name.replace("down_proj", "gated"), f"{name}.gelu", f"{name}.intermediate_act_fn"


@pytest.fixture(params=MODELS)
def case(request, ragged):
    build, layer = MODELS[request.param], ACTIVATION[request.param]
    probe = as_probe({name: values for name, values in ragged.items() if request.param != "llama" or name[0] != "p"})
    return run_of(build), {"model": build, "probe": probe}, layer, alone(build, ragged, layer)


def test_padding__counts_in_no_statistic_of_activations(case):
    run, how, layer, sequences = case
    tokens, missing = np.concatenate(sequences), 12 * LENGTH - sum(map(len, sequences))

    features = trajlab.run("features", run, **how).compute()
    ours = of_layer(features, layer).isel(step=0, input=0)
    assert features.attrs["padding"] == missing > 0 and ours.nonfinite.item() == 0
    np.testing.assert_allclose(ours["mean"], tokens.mean(), rtol=1e-5)
    np.testing.assert_allclose(ours["std"], tokens.std(), rtol=1e-5)
    np.testing.assert_allclose([ours["min"], ours["max"]], [tokens.min(), tokens.max()], rtol=1e-5)
    np.testing.assert_allclose(ours.channel_variance, tokens.mean(0).var(), rtol=1e-4)
    np.testing.assert_allclose(ours.quantiles, np.quantile(tokens, ours["quantile"]), rtol=1e-4, atol=1e-7)
    assert ours.histogram.sum() == tokens.size

    by_position = of_layer(trajlab.run("features", run, over="position", **how).compute(), layer)
    places = [np.flatnonzero(mask) for mask in how["probe"].attention_mask.values]
    sums = [np.concatenate([rows[at == place] for rows, at in zip(sequences, places, strict=True)]).mean()
            for place in range(LENGTH)]  # fmt: skip
    np.testing.assert_allclose(by_position.channel_variance.item(), np.var(sums), rtol=1e-4)

    dead = trajlab.run("dead_neurons", run, **how).compute()
    units = of_layer(dead, layer).isel(step=0, unit=slice(tokens.shape[1]))
    np.testing.assert_allclose(units.active_fraction, (tokens > 0).mean(0), rtol=1e-6)
    np.testing.assert_allclose(units.dormant_score, abs(tokens).mean(0) / abs(tokens).mean(), rtol=1e-5)
    assert dead.attrs["padding"] == missing

    saturation = trajlab.run("saturation", run, tolerance=1e-2, **how).compute()
    assert saturation.attrs["padding"] == missing
    if layer.endswith(".act"):  # GELU: −tolerance ≤ a ≤ 0
        flat = ((tokens <= 0) & (tokens >= -1e-2)).mean(0)
        np.testing.assert_allclose(of_layer(saturation, layer).saturated[0, : len(flat)], flat, atol=1e-9)


def test_padding__features_of_samples_are_means_over_their_tokens(case):
    run, how, layer, sequences = case
    means = np.stack([rows.mean(0) for rows in sequences])
    (name,) = [found.name for found in trajlab.replay(run, **how).layers if found.name in (layer, *aliases(layer))]

    table = trajlab.run("correlation", run, layers=[name], matrix_layer=name, matrix_steps=[0], **how).compute()
    np.testing.assert_allclose(table.feature_values[0], means, rtol=1e-4, atol=1e-6)
    embedded = trajlab.run("embedding", run, layers=[name], tsne=False, **how).compute()
    singular = np.linalg.svd(means - means.mean(0), compute_uv=False)
    np.testing.assert_allclose(embedded.singular_values[0, 0, :5], singular[:5], rtol=1e-3)
    assert table.attrs["padding"] == embedded.attrs["padding"] == 12 * LENGTH - sum(map(len, sequences))


def test_padding__leaves_no_trace_in_weight_stages_on_activations(case):
    run, how, layer, sequences = case
    tokens = np.concatenate(sequences)
    result = trajlab.run("distribution", run, on="activations", **how).compute()
    dim = next(name for name in ("parameter", "layer") if name in result.dims)
    (name,) = [name for name in result[dim].values if name in (layer, *aliases(layer))]
    ours = result.sel({dim: name}).isel(step=0)
    np.testing.assert_allclose([ours["mean"], ours["std"]], [tokens.mean(), tokens.std()], rtol=1e-5)
    assert ours.nonfinite == 0


def test_padding__flat_features_are_0_there(run, ragged):
    probe = as_probe({name: ragged[name] for name in ("input_ids", "attention_mask")})
    result = trajlab.run("embedding", run, model=llama, probe=probe, layers=["lm_head"], pool="flat", tsne=False)
    rows = alone(llama, ragged, "lm_head")
    flat = np.zeros((12, LENGTH, 20))
    for sample, (values, mask) in enumerate(zip(rows, ragged["attention_mask"], strict=True)):
        flat[sample, mask == 1] = values
    flat = flat.reshape(12, -1)
    singular = np.linalg.svd(flat - flat.mean(0), compute_uv=False)
    np.testing.assert_allclose(result.singular_values[0, 0, :8], singular[:8], rtol=1e-3)


def test_padding__units_of_two_runs_are_matched_by_their_tokens(run, ragged):
    probe = as_probe({name: ragged[name] for name in ("input_ids", "attention_mask")})
    replayed = trajlab.replay(run, model=llama, probe=probe, layers=["lm_head"])
    values = replayed.observe(SampledOutputs(10**6))["lm_head"].isel(step=0).values
    assert np.isnan(values[:, ragged["attention_mask"] == 0]).all()
    tokens = np.concatenate(alone(llama, ragged, "lm_head")).T
    np.testing.assert_allclose(values[:, ragged["attention_mask"] == 1], tokens, rtol=1e-4, atol=1e-6)
    ours, theirs = unit_matching._features(values), unit_matching._features(np.roll(values, 3, axis=1))
    centered = (tokens - tokens.mean(1, keepdims=True)) / tokens.std(1, keepdims=True)
    np.testing.assert_allclose(
        unit_matching.unit_matrices(ours, ours)[0], centered @ centered.T / tokens.shape[1], atol=1e-4
    )
    means = [rows.mean(0) for rows in alone(llama, ragged, "lm_head")]
    expected = correlation.cka(correlation.features_of(np.array(means)), correlation.features_of(np.roll(means, 3, 0)))
    assert unit_matching.matches(ours, theirs, shuffles=0)[5] == pytest.approx(expected, abs=1e-4)


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


def test_padding__a_sample_without_tokens_is_refused(batch):
    mask = batch["attention_mask"].copy()
    mask[4] = 0
    with pytest.raises(BadSetting, match="its attention_mask is 0 at all positions of sample 4. Leave such samples"):
        as_probe(batch | {"attention_mask": mask})


def test_with_padding__finds_the_axis_of_the_positions_and_says_where_there_is_none():
    masks = {"attention_mask": np.array([[1, 1, 0, 0], [1, 1, 1, 1]])}
    by_position = ("position", "unit")
    shapes = {
        "hidden": ((4, 4), by_position),
        "maps": ((2, 4, 4), ("unit", "query", "key")),
        "pooled": ((4,), ("unit",)),
        "rows": ((8, 4), by_position),
        "input": ((4,), ("unit",)),
    }
    plain = [Layer(name, shape, dims, np.dtype("f4"), {}) for name, (shape, dims) in shapes.items()]
    layers = with_padding(plain, masks)
    assert [layer.positions for layer in layers] == [(0,), (1, 2), (), (), (0,)]
    assert padding_attrs(layers) == {"padding": 2, "padding_included": "rows"}
    assert with_padding(plain, {}) == tuple(plain) and padding_attrs(plain) == {}


def test_without_padding__cuts_samples_that_are_padded_alike_together():
    is_token = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]], bool)
    hidden = Layer("h", (3, 2), ("position", "unit"), np.dtype("f4"), {}, positions=(0,))
    values = np.arange(18.0).reshape(3, 3, 2)
    parts = list(without_padding(Batch(values, 5, -values, targets=np.arange(3)), hidden, is_token))
    assert [(part.first, part.values.shape, part.kept.tolist()) for part in parts] == [
        (5, (2, 2, 2), [0, 1]), (7, (1, 2, 2), [1, 2])
    ]  # fmt: skip
    assert [part.targets.tolist() for part in parts] == [[0, 1], [2]]
    np.testing.assert_array_equal(parts[1].values, values[2:, 1:])
    np.testing.assert_array_equal(parts[1].gradient, -values[2:, 1:])
    back = with_padding_as_nan(parts[1].values, hidden, parts[1].kept)
    assert np.isnan(back[0, 0]).all() and (back[0, 1:] == values[2, 1:]).all()
    maps = Layer("a", (2, 3, 3), ("unit", "query", "key"), np.dtype("f4"), {}, positions=(1, 2))
    (part,) = without_padding(Batch(np.arange(18.0).reshape(1, 2, 3, 3), 0), maps, is_token[2:])
    assert part.values.shape == (1, 2, 2, 2) and part.values[0, 0].tolist() == [[4, 5], [7, 8]]
    assert np.isnan(with_padding_as_nan(part.values, maps, part.kept)).sum() == 10


def test_sampled_outputs__of_integers_with_padding_are_floats():
    tokens = Layer("input", (3,), ("unit",), np.dtype("i8"), {}, mask="attention_mask", positions=(0,))
    observer = SampledOutputs(100)
    state = observer.start([tokens], 2)
    for part in without_padding(
        Batch(np.array([[7, 8, 9], [4, 5, 6]]), 0), tokens, np.array([[1, 1, 0], [1, 1, 1]]) > 0
    ):
        observer.add(state, 0, part)
    values = observer.finish(state)["input"][:, :, 0].T
    np.testing.assert_array_equal(values, [[7, 8, np.nan], [4, 5, 6]])
    assert values.dtype == observer.outputs([tokens], 2)["input"].dtype


@pytest.mark.parametrize("stage", ["correlation", "saturation"])
def test_units_that_are_padded_positions_are_refused(run, batch, stage):
    with pytest.raises(BadSetting, match="the units of input: they are the positions of the probe"):
        trajlab.run(stage, run, probe=batch, model=llama, layers=["input"])
