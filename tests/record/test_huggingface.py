import pytest
import torch
from torch import nn

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
RecorderCallback = pytest.importorskip("trajlab.record.huggingface").RecorderCallback

pytestmark = pytest.mark.filterwarnings("ignore")


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)

    def forward(self, inputs, labels=None):
        return {"loss": (self.layer(inputs)[:, 0] - labels).square().mean()}


class Watch(transformers.TrainerCallback):
    def __init__(self):
        self.seen = []

    def on_pre_optimizer_step(self, args, state, control, model, **others):
        self.seen.append((model.layer.weight.detach().clone(), model.layer.weight.grad.clone()))


def train(folder, callback, *, steps=6, resume=None, data=None, eval_dataset=None, **settings):
    random = torch.Generator().manual_seed(1)
    data = data or [{"inputs": torch.randn(3, generator=random), "labels": torch.tensor(1.0)} for _ in range(24)]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **({"save_steps": 5} if eval_dataset is None else {"save_strategy": "no"}),
        lr_scheduler_type="constant",
        learning_rate=0.1,
        **settings,
    )
    watch, model = Watch(), Regression()
    trainer = transformers.Trainer(
        model, arguments, train_dataset=data, eval_dataset=eval_dataset, callbacks=[watch, callback]
    )
    trainer.train(resume_from_checkpoint=resume)
    return watch, model


def test_recorder_callback__records_a_row_each_optimizer_step(read, tmp_path):
    settings = {"gradient_accumulation_steps": 2, "max_grad_norm": 0.25}
    watch, model = train(tmp_path / "hf", RecorderCallback(tmp_path / "run"), **settings)
    run = read(tmp_path / "run")
    assert len(watch.seen) == 6 and run.run["closed"] == 6
    assert run.run["gradients"]["clipped"] == 0.25
    for step, (weight, gradient) in enumerate(watch.seen):
        assert torch.equal(run.checkpoints[step]["layer.weight"], weight)
        assert torch.equal(run.gradients["layer.weight"][step], gradient)
    assert torch.equal(run.checkpoints[6]["layer.weight"], model.layer.weight)
    assert {row["lr"] for row in run.metrics} == {0.1}


def test_recorder_callback__records_what_the_trainer_logs_at_its_step(read, tmp_path):
    random = torch.Generator().manual_seed(1)
    data = [{"inputs": torch.randn(3, generator=random), "labels": torch.tensor(1.0)} for _ in range(4)]
    settings = {
        "logging_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "eval_dataset": data,
        "max_grad_norm": 9.0,
    }
    watch, model = train(tmp_path / "hf", RecorderCallback(tmp_path / "run"), steps=4, data=data, **settings)
    run = read(tmp_path / "run")
    inputs, labels = (torch.stack([row[name] for row in data]) for name in ("inputs", "labels"))
    for step, row in enumerate(run.metrics):
        state = {name.removeprefix("layer."): value for name, value in run.checkpoints[step].items()}
        loss = (nn.functional.linear(inputs, **state)[:, 0] - labels).square().mean().item()
        if step < 4:
            gradient = torch.cat([run.gradients[name][step].flatten() for name in run.gradients])
            assert row["loss"] == pytest.approx(loss, rel=1e-4)
            assert row["grad_norm"] == pytest.approx(gradient.norm().item(), rel=1e-4)
        assert row.get("eval_loss", loss) == pytest.approx(loss, rel=1e-4)
    assert [row["step"] for row in run.metrics if "eval_loss" in row] == [2, 4] and run.run["closed"] == 4
    facts = run.run["describe"]
    assert (facts["lr"], facts["batch_size"], facts["lr_scheduler_type"]) == (0.1, 4, "constant")
    assert "output_dir" not in facts


def test_recorder_callback__goes_on_from_a_checkpoint(read, same, tmp_path):
    train(tmp_path / "one", RecorderCallback(tmp_path / "whole"), steps=10)
    train(tmp_path / "two", RecorderCallback(tmp_path / "run"), steps=7)
    train(tmp_path / "two", RecorderCallback(tmp_path / "run"), steps=10, resume=str(tmp_path / "two" / "checkpoint-5"))
    same(read(tmp_path / "run"), read(tmp_path / "whole"))
