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


def train(folder, callback, *, steps=6, resume=None, **settings):
    random = torch.Generator().manual_seed(1)
    data = [{"inputs": torch.randn(3, generator=random), "labels": torch.tensor(1.0)} for _ in range(24)]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_steps=5,
        lr_scheduler_type="constant",
        learning_rate=0.1,
        **settings,
    )
    watch, model = Watch(), Regression()
    trainer = transformers.Trainer(model, arguments, train_dataset=data, callbacks=[watch, callback])
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


def test_recorder_callback__goes_on_from_a_checkpoint(read, same, tmp_path):
    train(tmp_path / "one", RecorderCallback(tmp_path / "whole"), steps=10)
    train(tmp_path / "two", RecorderCallback(tmp_path / "run"), steps=7)
    train(tmp_path / "two", RecorderCallback(tmp_path / "run"), steps=10, resume=str(tmp_path / "two" / "checkpoint-5"))
    same(read(tmp_path / "run"), read(tmp_path / "whole"))
