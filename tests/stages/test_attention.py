"""Attention of heads, against the attention that transformers' own models return."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn import functional as F

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure, panels
from trajlab.replays.observers.attention import COLUMNS, HeadAttention
from trajlab.replays.observers.output_gradients import OutputGradients
from trajlab.reports.findings import findings
from trajlab.stages.attention import attention

transformers = pytest.importorskip("transformers")

PAD = 0


class Padded(nn.Module):
    """A Llama that does not see padding."""

    def __init__(self, implementation="sdpa"):
        super().__init__()
        config = transformers.LlamaConfig(
            vocab_size=20, hidden_size=16, intermediate_size=8, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, use_cache=False, attn_implementation=implementation,
        )  # fmt: skip
        torch.manual_seed(0)
        self.model = transformers.LlamaModel(config).eval()

    def forward(self, tokens):
        return self.model(tokens, attention_mask=(tokens != PAD).long(), output_attentions=False).last_hidden_state


@pytest.fixture(scope="module")
def run():
    state = {name: value.detach().numpy() for name, value in Padded().named_parameters()}
    return trajlab.from_arrays({name: np.stack([value, 4 * value]) for name, value in state.items()})


@pytest.fixture(scope="module")
def tokens():
    sequences = np.random.default_rng(0).integers(1, 20, (5, 7))
    sequences[0, 4:] = PAD
    return sequences


def expected_of(shares, tokens):
    """Entropy, largest, distance, first and uniform of each head, query by query, from attention of transformers."""
    sums, counted = np.zeros((5, shares.shape[1])), 0
    for sample, query in np.ndindex(*tokens.shape):
        keys = [key for key in range(query + 1) if tokens[sample, key] != PAD]
        if tokens[sample, query] == PAD or len(keys) < 2:
            continue
        counted += 1
        p = shares[sample, :, query][:, keys]
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
        uniform = np.full(len(p), 1 / len(keys))
        sums += [-(p * np.log(p)).sum(1), p.max(1), (p * (query - np.array(keys))).sum(1), p[:, 0], uniform]
    return sums / counted, counted


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention__agrees_with_what_transformers_returns(run, tokens, implementation):
    result = trajlab.run("attention", run, model=lambda: Padded(implementation), probe=tokens).compute()
    assert result.sizes["layer"] == 2 and result.heads.values.tolist() == [4, 4]
    for step in (0, 1):
        model = Padded("eager")
        model.load_state_dict(run.at(step), strict=False)
        with torch.no_grad():
            given = model.model(
                torch.tensor(tokens), attention_mask=torch.tensor(tokens != PAD).long(), output_attentions=True
            )
        for layer, shares in enumerate(given.attentions):
            expected, counted = expected_of(shares.double().numpy(), tokens)
            actual = result.isel(step=step, layer=layer)
            for name, values in zip(("entropy", "largest", "distance", "first", "uniform"), expected, strict=True):
                np.testing.assert_allclose(actual[name], values, rtol=2e-4, err_msg=name)
            assert (actual.queries == counted).all()


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        causal = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.attention(x, x, x, attn_mask=causal, is_causal=True)[0]


def test_attention__of_torchs_own_module(rng):
    net = Encoder().eval()
    state = {name: value.detach().numpy()[None] for name, value in net.named_parameters()}
    x = rng.standard_normal((3, 5, 8)).astype(np.float32)
    result = trajlab.run("attention", trajlab.from_arrays(state), model=Encoder, probe=x).compute()
    with torch.no_grad():
        causal = nn.Transformer.generate_square_subsequent_mask(5)
        values = torch.tensor(x)
        shares = net.attention(values, values, values, attn_mask=causal, average_attn_weights=False)[1].double().numpy()
    expected, counted = expected_of(shares, np.ones((3, 5), int))
    assert counted == 12
    for name, heads in zip(("entropy", "largest", "distance", "first", "uniform"), expected, strict=True):
        np.testing.assert_allclose(result[name][0, 0], heads, rtol=1e-4)


class Uniform(nn.Module):
    """Causal attention of equal scores, by a function or by a module."""

    def __init__(self, softmax):
        super().__init__()
        self.linear, self.softmax = nn.Linear(4, 4), softmax

    def forward(self, x):
        scores = 0 * self.linear(x) @ x.transpose(1, 2)
        seen = torch.ones(scores.shape[1:], dtype=torch.bool).tril()
        shares = self.softmax(scores.masked_fill(~seen, -torch.inf)[:, None])
        return (shares @ x[:, None])[:, 0]


@pytest.mark.parametrize("softmax", [nn.Softmax(-1), lambda scores: scores.softmax(-1)], ids=["module", "function"])
def test_attention__masked_keys_of_a_softmax_are_not_seen(rng, softmax):
    net = nn.Sequential()
    net.attention = Uniform(softmax)
    state = {name: value.detach().numpy()[None] for name, value in net.named_parameters()}
    x = rng.standard_normal((3, 6, 4)).astype(np.float32)
    result = trajlab.run("attention", trajlab.from_arrays(state), model=net, probe=x).compute()
    assert result.layer.values.tolist() == ["attention.softmax"] and result.queries.item() == 3 * 5
    assert result.relative_entropy.item() == pytest.approx(1)
    assert result.first.item() == pytest.approx(result.uniform.item())
    layers = trajlab.replay(trajlab.from_arrays(state), model=net, probe=(x, x), layers=["attention.softmax"])
    gradient = layers.observe(OutputGradients())["attention.softmax"].values[0, :, 0]
    leaf = torch.full((3, 6, 6), 1 / 6).tril().double()
    leaf = (leaf / leaf.sum(-1, keepdim=True)).requires_grad_()
    ((leaf @ torch.tensor(x).double() - torch.tensor(x)) ** 2).mean((1, 2)).sum().backward()
    np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-4, atol=1e-6)


class Causal(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.query = nn.Embedding(16, 8), nn.Linear(8, 8)

    def forward(self, tokens):
        values = self.query(self.embedding(tokens)).unsqueeze(1)
        return F.scaled_dot_product_attention(values * 0.01, values * 0.01, values, is_causal=True).squeeze(1)


def test_saturation__the_first_query_of_a_causal_head_has_no_choice():
    state = {name: value.detach().numpy()[None] for name, value in Causal().state_dict().items()}
    run = trajlab.from_arrays(state)
    tokens = torch.randint(0, 16, (8, 10))
    result = trajlab.run("saturation", run, model=Causal, probe=tokens).compute()
    assert result.fraction_saturated.values.tolist() == [[0.0]]
    layers = trajlab.replay(run, model=Causal, probe=tokens, of="attention")
    np.testing.assert_allclose(layers["[1]"].sum("key"), 1, rtol=1e-5)


def of_heads(shares, **settings):
    """The stage on arrays of attention, (step, sample, head, query, key)."""
    array = xr.DataArray(
        np.asarray(shares, np.float32), {"step": np.arange(len(shares))}, ("step", "sample", "unit", "query", "key")
    )
    return attention(lambda **asked: {"attn": array}, **settings).compute()


def test_attention__hand_made():
    masked = -0.0
    shares = [[[[1, masked, masked], [0.5, 0.5, masked], [0.25, 0.75, 0.0]]]]
    result = of_heads([shares]).isel(step=0, layer=0, head=0)
    entropies = np.log(2), -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert result.queries == 2
    assert result.entropy == pytest.approx(np.mean(entropies))
    assert result.relative_entropy == pytest.approx((1 + entropies[1] / np.log(3)) / 2)
    assert result.largest == pytest.approx(0.625)
    assert result.distance == pytest.approx((0.5 + 0.25 * 2 + 0.75) / 2)
    assert result.first == pytest.approx(0.375) and result.uniform == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_attention__nan_and_heads_that_see_nothing():
    shares = np.full((1, 1, 2, 2, 2), 0.5)
    shares[..., 0, 0, 0] = np.nan
    shares[..., 1, :, :] = -0.0
    result = of_heads(shares).isel(step=0, layer=0)
    assert result.queries.values.tolist() == [1, 0] and result.nonfinite.values.tolist() == [1, 0]
    assert result.entropy[0] == pytest.approx(np.log(2)) and np.isnan(result.entropy[1])
    assert result.total_entropy == pytest.approx(np.log(2))


def test_attention__of_another_sequence_has_no_distance():
    result = of_heads(np.full((1, 2, 1, 3, 4), 0.25))
    assert np.isnan(result.distance).all() and np.isnan(result.total_distance).all()
    assert result.relative_entropy.item() == pytest.approx(1)


def test_attention__rejects_what_is_no_attention(run, tokens):
    with pytest.raises(BadSetting, match=r"not \(head, query, key\)"):
        trajlab.run("attention", run, model=Padded, probe=tokens, layers=["model.layers.0.mlp"])
    linear = trajlab.from_arrays({"weight": np.ones((1, 2, 3))})
    with pytest.raises(MissingData, match="cannot find attention"):
        trajlab.run("attention", linear, model=nn.Linear(3, 2, bias=False), probe=np.ones((4, 3), np.float32))


def test_attention__any_batches_give_the_same_sums(rng):
    from trajlab.replays.observers.observer import Batch, Layer

    shares = rng.dirichlet(np.ones(4), (6, 2, 4)).astype(np.float32)
    layer = Layer("attn", (2, 4, 4), ("unit", "query", "key"), shares.dtype, {})
    tables = []
    for size in (1, 4, 6):
        observer = HeadAttention()
        state = observer.start([layer], 6)
        for first in range(0, 6, size):
            observer.add(state, 0, Batch(shares[first : first + size], first))
        tables.append(observer.finish(state)["attn"])
    assert tables[0].shape == (2, len(COLUMNS))
    np.testing.assert_array_equal(tables[0], tables[1])
    np.testing.assert_array_equal(tables[0], tables[2])


def test_attention__figures_and_findings():
    sink = np.full((2, 1, 2, 4, 4), 0.25)
    sink[1, :, 1] = [0.97, 0.01, 0.01, 0.01]
    result = of_heads(sink)
    texts = [finding.text for finding in findings(result.assign_attrs(stage="attention"))]
    assert any("Head 1 of `attn` gives 97 %" in text and "25 %" in text for text in texts)
    assert any("fell most in head 1 of `attn`" in text for text in texts)
    result = result.assign_attrs(stage="attention")
    assert figure(result).has_data() and figure(result, layer="attn").has_data()
    assert {panel.key for panel in panels(result)} >= {"relative_entropy", "first", "heads"}
