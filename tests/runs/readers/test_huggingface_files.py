"""Files as transformers and accelerate write them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import MissingData

transformers = pytest.importorskip("transformers")
accelerate = pytest.importorskip("accelerate")

pytestmark = pytest.mark.filterwarnings("ignore")


def gpt2():
    sizes = {"n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=100, **sizes))


def resnet():
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**sizes))


def check(run, states, absent=frozenset()):
    assert run.steps.tolist() == sorted(states)
    for step, state in states.items():
        actual = run.at(step)
        assert set(actual) == set(state) - absent
        for name, value in actual.items():
            assert value.dtype == state[name].dtype and torch.equal(value, state[name]), name


@pytest.mark.parametrize("model", [gpt2, resnet])
@pytest.mark.parametrize("settings", [{}, {"max_shard_size": "8KB"}], ids=["single", "sharded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_pretrained(tmp_path, model, settings, dtype):
    states = {}
    for step in (0, 500, 10_000):
        torch.manual_seed(step)
        one = model().to(dtype)
        one.save_pretrained(tmp_path / f"checkpoint-{step}", **settings)
        states[step] = one.state_dict()
    assert ("max_shard_size" in settings) == bool(list(tmp_path.glob("*/*.index.json")))
    run = trajlab.open(tmp_path)
    check(run, states, absent={"lm_head.weight"})  # tied to the embedding, and not saved
    parameters = dict(one.named_parameters())
    assert set(run.weights) == set(parameters)
    assert set(run.buffers) == set(states[0]) - set(parameters) - {"lm_head.weight"}
    norm = trajlab.run("drift", run).norm.sel(step=500).compute()
    expected = [np.linalg.norm(states[500][name].double().numpy()) for name in norm.parameter.values]
    np.testing.assert_allclose(norm, expected, rtol=1e-12)


def test_pytorch_model_bin__tied_weights_are_one(tmp_path):
    states = {}
    for step in (1, 2):
        torch.manual_seed(step)
        model = gpt2()
        states[step] = {name: value.clone() for name, value in model.state_dict().items()}
        (tmp_path / f"checkpoint-{step}").mkdir()
        torch.save(model.state_dict(), tmp_path / f"checkpoint-{step}" / "pytorch_model.bin")
    run = trajlab.open(tmp_path)
    assert run.facts["tied"] == {"lm_head.weight": "transformer.wte.weight"}
    assert list(run.weights) == [name for name, _ in model.named_parameters()]
    check(run, states)
    trajlab.pack(run, tmp_path / "run.zarr")
    check(trajlab.open(tmp_path / "run.zarr"), states)


def test_pytorch_model_bin__sharded_with_an_index(tmp_path):
    states = {}
    for step in (1, 2):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        states[step] = resnet().state_dict()
        names = list(states[step])
        files = [f"pytorch_model-{i + 1:05}-of-00002.bin" for i in range(2)]
        for half, file in zip((names[::2], names[1::2]), files, strict=True):
            torch.save({name: states[step][name] for name in half}, folder / file)
        weight_map = {name: files[i % 2] for i, name in enumerate(names)}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        (folder / "vectors.index.json").write_text("[]")  # of something else
    check(trajlab.open(tmp_path), states)


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)

    def forward(self, inputs, labels=None):
        return {"loss": (self.norm(self.layer(inputs)).sum(1) - labels).square().mean()}


def test_trainer__its_output_folder_and_its_log(tmp_path):
    states = {}

    class Keep(transformers.TrainerCallback):
        def on_save(self, args, state, control, model, **others):
            states[state.global_step] = {name: value.clone() for name, value in model.state_dict().items()}

    data = [{"inputs": torch.randn(3), "labels": torch.tensor(1.0)} for _ in range(16)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=6, save_steps=2, logging_steps=1, eval_strategy="steps", eval_steps=3,
        per_device_train_batch_size=4, use_cpu=True, report_to=[], disable_tqdm=True,
    )  # fmt: skip
    trainer = transformers.Trainer(
        Regression(), arguments, train_dataset=data, eval_dataset=data[:4], callbacks=[Keep()]
    )
    trainer.train()
    trainer.save_model()
    assert {"optimizer.pt", "training_args.bin"} <= {path.name for path in (tmp_path / "checkpoint-6").iterdir()}
    run = trajlab.open(tmp_path)
    check(run, states)
    logged = trainer.state.log_history
    assert run.metrics.step.values.tolist() == list(range(7))
    np.testing.assert_array_equal(run.metrics.loss[:6], [row["loss"] for row in logged if "loss" in row])
    assert run.metrics.eval_loss.dropna("step").step.values.tolist() == [3, 6]
    facts = run.facts["describe"]
    assert facts["batch"] == 4 and facts["lr"] == arguments.learning_rate and facts["schedule"] == "linear"
    expected = [row["eval_loss"] for row in logged if "eval_loss" in row]
    np.testing.assert_array_equal(run.metrics.eval_loss.dropna("step"), expected)


@pytest.mark.parametrize("safe", [True, False])
def test_accelerate__save_state(tmp_path, safe):
    accelerator = accelerate.Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(module := Regression(), torch.optim.AdamW(module.parameters()))
    states = {}
    for step in range(3):
        accelerator.backward(model(torch.randn(4, 3), torch.ones(4))["loss"])
        optimizer.step()
        accelerator.save_state(str(tmp_path / "saved" / f"step_{step}"), safe_serialization=safe)
        states[step] = {name: value.clone() for name, value in model.state_dict().items()}
    check(trajlab.open(tmp_path / "saved"), states)
    with pytest.raises(MissingData, match="folder of runs: saved; open one of them"):
        trajlab.open(tmp_path)
