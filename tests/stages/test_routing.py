"""Routing of experts, against the router logits that transformers' own models return."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import trajlab
from tests.replays.test_padding import run_of
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure, panels
from trajlab.replays.probe_batches import as_probe
from trajlab.reports.findings import findings

transformers = pytest.importorskip("transformers")

TOKENS = np.random.default_rng(0).integers(1, 20, (6, 7))
MASK = (np.arange(7) < [[7], [5], [7], [3], [7], [2]]).astype(int)
EXPERTS, CHOSEN = 4, 2


def mixtral():
    torch.manual_seed(0)
    config = transformers.MixtralConfig(
        vocab_size=20, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=EXPERTS, num_experts_per_tok=CHOSEN, use_cache=False,
        initializer_range=0.5,
    )  # fmt: skip
    return transformers.MixtralForCausalLM(config).eval()


@pytest.fixture(scope="module")
def result():
    probe = as_probe({"input_ids": TOKENS, "attention_mask": MASK})
    return trajlab.run("routing", run_of(mixtral), model=mixtral, probe=probe).compute()


@pytest.fixture(scope="module")
def logits():
    with torch.no_grad():
        output = mixtral()(torch.tensor(TOKENS), attention_mask=torch.tensor(MASK), output_router_logits=True)
    return [scores[torch.tensor(MASK).reshape(-1) == 1].double() for scores in output.router_logits]


def test_routing__is_that_of_transformers_router_logits(result, logits):
    assert result.layer.values.tolist() == ["model.layers.0.mlp.gate", "model.layers.1.mlp.gate"]
    for row, scores in enumerate(logits):
        ours, p = result.isel(step=0, layer=row), F.softmax(scores, -1)
        chosen = F.one_hot(p.topk(CHOSEN, -1).indices, EXPERTS).sum(1).double()
        load = chosen.sum(0) / chosen.sum()
        np.testing.assert_allclose(ours.expert_load, load, atol=1e-12)
        np.testing.assert_allclose(ours.expert_probability, p.mean(0), rtol=1e-5)
        entropy = torch.distributions.Categorical(logits=scores).entropy().mean()
        assert ours.entropy.item() == pytest.approx(entropy.item(), rel=1e-5)
        assert ours.relative_entropy.item() == pytest.approx(entropy.item() / np.log(EXPERTS), rel=1e-5)
        spread = torch.distributions.Categorical(probs=load).entropy().item()
        assert ours.load_entropy.item() == pytest.approx(spread / np.log(EXPERTS), rel=1e-9)
        capacity = 1.25 * chosen.sum() / EXPERTS
        dropped = (chosen.sum(0) - capacity).clamp(min=0).sum() / chosen.sum()
        assert ours.dropped.item() == pytest.approx(dropped.item(), abs=1e-12)
    assert result.attrs["padding"] == (MASK == 0).sum()


def test_routing__the_balance_is_the_auxiliary_loss_of_transformers(result, logits):
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    for row, scores in enumerate(logits):
        expected = load_balancing_loss_func((scores,), EXPERTS, CHOSEN).item() / CHOSEN  # theirs sums over the choices
        assert result.balance[0, row].item() == pytest.approx(expected, rel=1e-5)


def test_routing__similarity_is_the_mean_cosine_of_experts(result):
    experts = mixtral().model.layers[1].mlp.experts
    cosines = []
    for weight in (experts.gate_up_proj, experts.down_proj):
        flat = weight.detach().double().flatten(1)
        pairs = [F.cosine_similarity(flat[a], flat[b], 0).item() for a in range(EXPERTS) for b in range(a)]
        cosines.append(np.mean(pairs))
    assert result.similarity[0, 1].item() == pytest.approx(np.mean(cosines), rel=1e-6)


class Dense(nn.Module):
    """A mixture whose router is a plain linear module."""

    def __init__(self):
        super().__init__()
        self.mixture = nn.Module()
        self.mixture.gate, self.mixture.experts = nn.Linear(3, EXPERTS), nn.Identity()

    def forward(self, values):
        return self.mixture.experts(values) * self.mixture.gate(values).softmax(-1)[..., :1]


def test_routing__without_a_known_number_of_choices_loads_are_unknown():
    torch.manual_seed(0)
    values = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
    unknown = trajlab.run("routing", run_of(Dense), model=Dense, probe=values).compute()
    assert unknown.expert_load.isnull().all() and unknown.dropped.isnull().all() and np.isfinite(unknown.entropy).all()
    known = trajlab.run("routing", run_of(Dense), model=Dense, probe=values, top_k=1).compute()
    assert known.expert_load.sum() == pytest.approx(1) and known.similarity.isnull().all()


def test_routing__networks_without_routers_and_wrong_settings_are_refused():
    run = trajlab.from_arrays({"weight": np.ones((1, 2, 3)), "bias": np.ones((1, 2))})
    with pytest.raises(MissingData, match="cannot find routers"):
        trajlab.run("routing", run, model=nn.Linear(3, 2), probe=np.ones((4, 3), np.float32))
    with pytest.raises(BadSetting, match="capacity_factor=0"):
        trajlab.run("routing", run, model=nn.Linear(3, 2), probe=np.ones((4, 3), np.float32), capacity_factor=0)


def test_routing__is_drawn_and_told(result):
    result = result.assign_attrs(stage="routing")
    keys = [panel.key for panel in panels(result)]
    assert keys == ["load_entropy", "relative_entropy", "similarity", "load"]
    assert figure(result).get_xlabel() == "step" and figure(result, variable="expert_load").get_ylabel() == "expert"
    assert figure(result, variable="expert_load", step=result.step.values[0]).get_xlabel() == "expert"
    assert {finding.figure for finding in findings(result)} <= set(keys)


def test_routing__experts_that_save_pretrained_wrote_one_by_one_are_joined(result, tmp_path):
    mixtral().save_pretrained(tmp_path / "run" / "checkpoint-5")
    run = trajlab.open(tmp_path / "run")
    if not any(".experts.0.w1" in name for name in run.weights):
        pytest.skip("this version of transformers writes all experts as one parameter")
    probe = as_probe({"input_ids": TOKENS, "attention_mask": MASK})
    read = trajlab.run("routing", run, probe=probe).compute()
    for name in ("expert_load", "entropy", "balance"):
        np.testing.assert_allclose(read[name], result[name], rtol=1e-6)
    gate_up = [trajlab.run("routing", run, probe=probe).similarity.values, result.similarity.values]
    assert np.isfinite(gate_up).all()
    with torch.no_grad():
        expected = mixtral()(torch.tensor(TOKENS), attention_mask=torch.tensor(MASK)).logits.numpy()
    np.testing.assert_allclose(trajlab.replay(run, probe=probe, layers=[""])[""].values[0], expected, atol=1e-5)
