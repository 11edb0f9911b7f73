"""The residual stream, against hidden states and logits that transformers' own models return."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import kurtosis
from torch import nn
from torch.nn import functional as F

import trajlab
from tests.replays.test_padding import bert, gpt2, llama, run_of
from trajlab.errors import MissingData
from trajlab.figures import figure, panels
from trajlab.replays.probe_batches import as_probe
from trajlab.reports.findings import findings

transformers = pytest.importorskip("transformers")

TOKENS = np.random.default_rng(0).integers(1, 20, (6, 7))
MASK = (np.arange(7) < [[7], [5], [7], [3], [7], [2]]).astype(int)
BLOCKS = {
    "llama": (llama, "model.embed_tokens", ["model.layers.0"], ("model.norm", "lm_head")),
    "gpt2": (gpt2, "transformer.drop", ["transformer.h.0", "transformer.h.1"], ("transformer.ln_f", "lm_head")),
    "bert": (
        bert, "bert.embeddings", ["bert.encoder.layer.0", "bert.encoder.layer.1"],
        tuple(f"cls.predictions.{name}" for name in ("transform.dense", "transform.transform_act_fn",
                                                     "transform.LayerNorm", "decoder")),
    ),
}  # fmt: skip


@pytest.fixture(params=BLOCKS, scope="module")
def case(request):
    """A network, the hidden states that it says it has, (layer, sample, position, unit), and the result."""
    build, first, blocks, head = BLOCKS[request.param]
    labels = TOKENS if request.param != "bert" else np.where(TOKENS % 3 == 0, (TOKENS + 1) % 20, -100)
    batch = {"input_ids": TOKENS, "attention_mask": MASK, "labels": labels}
    model, inputs = build(), []
    for name in [first, *blocks]:
        module = model.get_submodule(name)
        module.register_forward_hook(lambda m, i, o: inputs.append(o[0] if isinstance(o, tuple) else o))
    with torch.no_grad():
        output = model(torch.tensor(TOKENS), attention_mask=torch.tensor(MASK), output_hidden_states=True)
    states = inputs
    np.testing.assert_allclose(output.hidden_states[0], states[0], atol=1e-6)  # what enters the first block
    if len(blocks) > 1:
        np.testing.assert_allclose(output.hidden_states[1], states[1], atol=1e-6)
    result = trajlab.run("residual_stream", run_of(build), model=build, probe=as_probe(batch)).compute()
    return model, states, head, labels, result, [first, *blocks]


def test_residual_stream__size_outliers_and_rank_are_those_of_transformers_hidden_states(case):
    _, states, _, _, result, names = case
    assert result.layer.values.tolist() == names and result.attrs["padding"] == (MASK == 0).sum()
    result = result.isel(step=0)
    for row, state in enumerate(states):
        values = state.double().numpy()
        tokens = values[MASK == 1]
        norms = np.linalg.norm(values, axis=2)
        ours = result.isel(layer=row)
        assert ours.norm.item() == pytest.approx(norms[MASK == 1].mean(), rel=1e-5)
        by_position = [norms[MASK[:, place] == 1, place].mean() for place in range(7)]
        np.testing.assert_allclose(ours.position_norm, by_position, rtol=1e-5)
        sizes = [abs(values[i][MASK[i] == 1]) for i in range(6)]
        assert ours.largest.item() == pytest.approx(abs(tokens).max(), rel=1e-5)
        at = np.unravel_index(np.where(MASK[..., None] == 1, abs(values), 0).argmax(), values.shape)
        assert (ours.largest_position, ours.largest_unit) == at[1:]
        assert ours["median"].item() == pytest.approx(np.mean([np.median(size) for size in sizes]), rel=1e-5)
        assert ours.massive_ratio.item() == pytest.approx(max(s.max() / np.median(s) for s in sizes), rel=1e-5)
        assert ours.kurtosis.item() == pytest.approx(kurtosis(tokens, axis=1).mean(), rel=1e-4)
        singular = np.linalg.svd(tokens - tokens.mean(0), compute_uv=False)
        p = singular / singular.sum()
        assert ours.effective_rank.item() == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)
        assert ours.massive == ours.nonfinite == 0


def test_residual_stream__the_lens_is_the_networks_own_head_on_each_state(case):
    model, states, head, labels, result, _ = case
    assert result.attrs["logit_lens"] == " → ".join(head)
    targets = torch.tensor(np.where(MASK == 1, labels, -100))
    if (labels == TOKENS).all():  # as a causal model shifts them
        targets = torch.cat([targets[:, 1:], torch.full((6, 1), -100)], 1)
    for row, state in enumerate(states):
        with torch.no_grad():
            logits = state
            for name in head:
                logits = model.get_submodule(name)(logits)
        expected = F.cross_entropy(logits.reshape(-1, 20), targets.reshape(-1)).item()
        assert result.lens_loss[0, row].item() == pytest.approx(expected, rel=1e-5)
        right = (logits.argmax(-1) == targets)[targets >= 0].double().mean().item()
        assert result.lens_accuracy[0, row].item() == pytest.approx(right)
    with torch.no_grad():
        own = model(torch.tensor(TOKENS), attention_mask=torch.tensor(MASK)).logits
    expected = F.cross_entropy(own.reshape(-1, 20), targets.reshape(-1)).item()
    assert result.loss.item() == pytest.approx(expected, rel=1e-5)
    assert result.lens_loss[0, -1].item() == pytest.approx(expected, rel=1e-5)


class Capped(nn.Module):
    """A network that does more after its last block than its modules say."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.embed, self.head = nn.Embedding(20, 6), nn.Linear(6, 20, bias=False)
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(6, 2, 8, batch_first=True) for _ in range(2)])

    def forward(self, tokens):
        hidden = self.embed(tokens)
        for layer in self.layers:
            hidden = layer(hidden)
        return torch.tanh(self.head(hidden)) * 3


def test_residual_stream__a_lens_that_is_not_the_networks_own_is_unknown():
    run = run_of(Capped)
    result = trajlab.run("residual_stream", run, model=Capped, probe=(TOKENS, TOKENS)).compute()
    assert result.layer.values.tolist() == ["embed", "layers.0", "layers.1"]
    assert result.lens_loss.isnull().all() and np.isfinite(result.loss).all()
    plain = trajlab.run("residual_stream", run, model=Capped, probe=TOKENS).compute()
    assert "lens_loss" not in plain and plain.norm.equals(result.norm)
    without = trajlab.run("residual_stream", run, model=Capped, probe=(TOKENS, TOKENS), logit_lens=False)
    assert "lens_loss" not in without
    chosen = trajlab.run("residual_stream", run, model=Capped, probe=TOKENS, layers=["layers.1"]).compute()
    assert chosen.norm.item() == result.norm[0, 2].item()


def test_residual_stream__massive_activations_are_counted():
    class Spiked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Sequential(nn.Identity()), nn.Sequential(nn.Identity()))
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, values):
            return self.layers(self.scale * values)

    values = np.random.default_rng(0).uniform(0.05, 0.15, (3, 4, 5)).astype(np.float32)
    values[1, 2, 3], values[2, 0, 3] = -500, 99
    probe = xr.Dataset({"inputs": (("sample", "position", "unit"), values)})
    result = trajlab.run("residual_stream", run_of(Spiked), model=Spiked, probe=probe).compute()
    state = result.isel(step=0, layer=-1)
    assert (state.massive, state.largest, state.largest_position, state.largest_unit) == (1, 500, 2, 3)
    texts = [finding.text for finding in findings(result.assign_attrs(stage="residual_stream"))]
    assert any("at position 2 and unit 3" in text and "1 value there is massive" in text for text in texts)


def test_residual_stream__networks_without_blocks_are_refused():
    run = trajlab.from_arrays({"weight": np.ones((1, 2, 3)), "bias": np.ones((1, 2))})
    with pytest.raises(MissingData, match=r"no list of blocks is \(position, unit\)"):
        trajlab.run("residual_stream", run, model=nn.Linear(3, 2), probe=np.ones((4, 3), np.float32))


def test_residual_stream__is_drawn_and_told(case):
    result = case[4].assign_attrs(stage="residual_stream")
    keys = [panel.key for panel in panels(result)]
    assert keys == ["lens_loss", "norm", "massive_ratio", "kurtosis", "effective_rank", "position_norm"]
    assert all(panel.draw for panel in panels(result))
    assert figure(result).get_xlabel() == "step" and figure(result, variable="position_norm").get_xlabel() == "position"
    assert figure(result, variable="position_norm", layer=result.layer.values[0]).get_title() == result.layer.values[0]
    assert {finding.figure for finding in findings(result)} <= set(keys)
