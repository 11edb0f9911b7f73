"""Scores of language models, against the loss that transformers' own models return."""

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from sklearn.metrics import top_k_accuracy_score

import trajlab
from trajlab.errors import BadSetting
from trajlab.figures import panels
from trajlab.replays.observers.output_gradients import OutputGradients
from trajlab.reports.findings import findings
from trajlab.stages.evaluation import evaluation
from trajlab.statistics.wording import number

transformers = pytest.importorskip("transformers")

VOCABULARY, LENGTH = 30, 9


def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=VOCABULARY, n_positions=LENGTH, use_cache=False
    )
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def run():
    state = {name: value.detach().numpy() for name, value in gpt2().named_parameters()}
    return trajlab.from_arrays({name: np.stack([value, 3 * value]) for name, value in state.items()})


@pytest.fixture
def tokens(rng):
    return rng.integers(VOCABULARY, size=(6, LENGTH))


def own_loss(run, step, tokens, labels):
    model = gpt2()
    model.load_state_dict(run.at(step), strict=False)
    with torch.no_grad():
        output = model(torch.tensor(tokens), labels=torch.tensor(labels))
    return output.loss.item(), output.logits.double()


def test_evaluation__labels_that_are_the_inputs_are_shifted_as_the_model_does(run, tokens):
    labels = tokens.copy()
    labels[0, 4:] = labels[1, :2] = -100  # padding, and a prompt
    result = trajlab.run("evaluation", run, model=gpt2, probe=(tokens, labels), top_k=[3]).compute()
    for step in (0, 1):
        loss, logits = own_loss(run, step, tokens, labels)
        assert result.loss[step].item() == pytest.approx(loss, rel=1e-5)
        assert result.perplexity[step].item() == pytest.approx(np.exp(loss), rel=1e-5)
        each = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2), torch.tensor(labels)[:, 1:], reduction="none", ignore_index=-100
        ).numpy()
        count = np.bincount(labels[:, 1:][labels[:, 1:] >= 0], minlength=VOCABULARY)[labels[:, 1:].clip(0)]
        for least, ours in zip(result.occurrences.values, result.frequency_loss[step].values, strict=True):
            some = each[(labels[:, 1:] >= 0) & (count >= least) & (count < 2 * least)]
            assert ours == pytest.approx(some.mean(), rel=1e-5) if some.size else np.isnan(ours)
        counted = labels[:, 1:] >= 0
        np.testing.assert_allclose(result.position_loss[step, :-1], each.sum(0) / counted.sum(0), rtol=1e-5)
        expected = top_k_accuracy_score(
            labels[:, 1:][counted], logits[:, :-1].numpy()[counted], k=3, labels=range(VOCABULARY)
        )
        assert result.top_k_accuracy.sel(k=3)[step].item() == pytest.approx(expected)
    assert np.isnan(result.position_loss[:, -1]).all()
    assert result.scored[0] == (labels[:, 1:] >= 0).sum()


def test_evaluation__labels_that_are_shifted_already_stay(run, tokens):
    shifted = np.concatenate([tokens[:, 1:], np.full((len(tokens), 1), -100)], axis=1)
    result = trajlab.run("evaluation", run, model=gpt2, probe=(tokens, shifted)).compute()
    assert result.loss[0].item() == pytest.approx(own_loss(run, 0, tokens, tokens)[0], rel=1e-5)


def test_evaluation__without_shift_the_loss_is_that_of_copying(run, tokens):
    result = trajlab.run("evaluation", run, model=gpt2, probe=(tokens, tokens), shift_labels=False).compute()
    logits = own_loss(run, 0, tokens, tokens)[1]
    copying = torch.nn.functional.cross_entropy(logits.transpose(1, 2), torch.tensor(tokens)).item()
    assert result.loss[0].item() == pytest.approx(copying, rel=1e-5)


def test_gradients__of_the_loss_are_those_of_the_shifted_labels(run, tokens):
    """The gradient by the last norm's output is what autograd gives for the model's own loss."""
    layers = trajlab.replay(run, model=gpt2, probe=(tokens[:1], tokens[:1]), layers=["transformer.ln_f"])
    found = layers.observe(OutputGradients())["transformer.ln_f"].isel(step=0).transpose(..., "unit").values
    model, hidden = gpt2(), []
    model.transformer.ln_f.register_forward_hook(lambda module, inputs, output: hidden.append(output))
    sequence = torch.tensor(tokens[:1])
    (expected,) = torch.autograd.grad(model(sequence, labels=sequence).loss, hidden)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_evaluation__a_vocabulary_that_is_scored_in_parts_gives_the_same(rng, monkeypatch):
    values = rng.standard_normal((2, 5, 4, 7)).astype(np.float32)
    labels = rng.integers(7, size=(5, 4))
    output = xr.DataArray(values, {"step": [0, 1]}, ("step", "sample", "position", "unit"))
    probe = xr.Dataset({"targets": (("sample", "t"), labels)})
    whole = evaluation(lambda layers: {"": output}, probe, top_k=[2]).compute()
    monkeypatch.setattr("trajlab.statistics.scores.AT_ONCE", 40)
    xr.testing.assert_allclose(evaluation(lambda layers: {"": output}, probe, top_k=[2]).compute(), whole)
    assert whole.position_loss.mean("position").values == pytest.approx(whole.loss.values)


def test_evaluation__figures_and_findings_of_sequences(run, tokens):
    result = trajlab.run("evaluation", run, model=gpt2, probe=(tokens, tokens)).compute()
    keys = {panel.key for panel in panels(result)}
    assert {"loss", "perplexity", "position_loss"} <= keys
    texts = [finding.text for finding in findings(result)]
    assert any(f"perplexity ends at {number(float(result.perplexity[-1]))}" in text for text in texts)
    assert any("highest at position" in text for text in texts)
    assert {finding.figure for finding in findings(result)} <= keys
    for panel in panels(result):
        panel.draw(Figure(panel.size))


def test_evaluation__rejects_a_top_k_of_zero(run, tokens):
    with pytest.raises(BadSetting, match="choose 1 or more"):
        trajlab.run("evaluation", run, model=gpt2, probe=(tokens, tokens), top_k=[0])
