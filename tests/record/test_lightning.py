import pytest
import torch
from torch import nn

pl = pytest.importorskip("lightning.pytorch")
RecorderCallback = pytest.importorskip("trajlab.record.lightning").RecorderCallback

pytestmark = pytest.mark.filterwarnings("ignore")


class Regression(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)
        self.seen = []

    def training_step(self, batch):
        return self.layer(batch[0]).square().mean()

    def on_before_optimizer_step(self, optimizer):
        self.seen.append((self.layer.weight.detach().clone(), self.layer.weight.grad.clone()))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, callback, *, steps=6, module=None, ckpt_path=None, batch_size=24, **settings):
    module = module or Regression()
    data = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=100,
        callbacks=[callback],
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), batch_size=batch_size)
    trainer.fit(module, loader, ckpt_path=ckpt_path)
    return module, trainer


def test_recorder_callback__records_a_row_each_optimizer_step(read, tmp_path):
    settings = {"batch_size": 4, "accumulate_grad_batches": 2, "gradient_clip_val": 1e-3}
    module, _ = fit(tmp_path, RecorderCallback(tmp_path / "run"), **settings)
    run = read(tmp_path / "run")
    assert len(module.seen) == 6 and run.run["closed"] == 6
    assert run.run["parameters"] == ["layer.weight", "layer.bias"]
    assert run.run["gradients"]["clipped"] is False
    for step, (weight, gradient) in enumerate(module.seen):
        assert torch.equal(run.checkpoints[step]["layer.weight"], weight)
        assert torch.equal(run.gradients["layer.weight"][step], gradient)
    assert torch.equal(run.checkpoints[6]["layer.weight"], module.layer.weight)
    data = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))[:8]
    loss = nn.functional.linear(data, run.checkpoints[0]["layer.weight"], run.checkpoints[0]["layer.bias"])
    assert run.metrics[0]["loss"] == pytest.approx(loss.square().mean().item(), rel=1e-5)
    gradient = torch.cat([rows[0].flatten() for rows in run.gradients.values()])
    assert run.metrics[0]["grad_norm"] == pytest.approx(gradient.norm().item(), rel=1e-5)
    assert run.metrics[0]["lr"] == 0.1
    assert run.run["describe"] == {"optimizer": "SGD", "lr": 0.1}


def test_recorder_callback__records_what_the_module_logs_at_its_step(read, tmp_path):
    class Logging(Regression):
        def training_step(self, batch):
            loss = super().training_step(batch)
            self.log("train/loss", loss)
            return loss

        def validation_step(self, batch):
            self.log("size", self.layer.weight.abs().sum())

        def val_dataloader(self):
            return torch.utils.data.DataLoader(torch.zeros(1, 3))

    callback = RecorderCallback(tmp_path / "run")
    fit(tmp_path, callback, module=Logging(), steps=4, val_check_interval=2, check_val_every_n_epoch=None)
    run = read(tmp_path / "run")
    assert [row["step"] for row in run.metrics] == [0, 1, 2, 3, 4] and run.run["closed"] == 4
    assert all(row["train/loss"] == pytest.approx(row["loss"]) for row in run.metrics[:4])
    assert [row["step"] for row in run.metrics if "size" in row] == [2, 4]
    for step in (2, 4):
        size = run.checkpoints[step]["layer.weight"].abs().sum().item()
        assert run.metrics[step]["size"] == pytest.approx(size, rel=1e-5)


def test_recorder_callback__goes_on_from_a_checkpoint(read, same, tmp_path):
    fit(tmp_path, RecorderCallback(tmp_path / "whole"), steps=10)
    _, trainer = fit(tmp_path, RecorderCallback(tmp_path / "run"), steps=6)
    trainer.save_checkpoint(tmp_path / "six.ckpt")
    fit(tmp_path, RecorderCallback(tmp_path / "run"), steps=10, ckpt_path=tmp_path / "six.ckpt")
    same(read(tmp_path / "run"), read(tmp_path / "whole"))


def test_recorder_callback__exception_leaves_the_run_unfinished(read, tmp_path):
    class Failing(Regression):
        def training_step(self, batch):
            if self.global_step == 3:
                raise RuntimeError("boom")
            return super().training_step(batch)

    with pytest.raises(RuntimeError, match="boom"):
        fit(tmp_path, RecorderCallback(tmp_path / "run"), module=Failing())
    run = read(tmp_path / "run")
    assert run.run["closed"] is None and list(run.gradients["layer.weight"]) == [0, 1, 2]
