"""Files as Lightning's Trainer writes them."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.runs.disk.rows import Rows

pl = pytest.importorskip("lightning.pytorch")

pytestmark = pytest.mark.filterwarnings("ignore")


class Module(pl.LightningModule):
    def __init__(self, **settings):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
        self.register_buffer("mask", torch.ones(3, dtype=torch.bool))

    def training_step(self, batch):
        self.log("loss", loss := self.net(batch[0]).square().mean())
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def fit(folder, module=None, **settings):
    """Train for four epochs of five steps, and give the state after each step."""
    states = {}

    class Keep(pl.Callback):
        def on_train_batch_end(self, trainer, module, *others):
            states[trainer.global_step] = {name: value.clone() for name, value in module.state_dict().items()}

    trainer = pl.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[Keep(), pl.callbacks.ModelCheckpoint(folder, save_top_k=-1, **settings)],
    )  # fmt: skip
    data = torch.utils.data.TensorDataset(torch.randn(20, 4))
    trainer.fit(module or Module(), torch.utils.data.DataLoader(data, batch_size=4))
    return states


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"every_n_epochs": 1}, [5, 10, 15, 20]),
        ({"every_n_epochs": 1, "save_last": True}, [5, 10, 15, 20]),
        ({"every_n_epochs": 1, "save_last": "link"}, [5, 10, 15, 20]),
        ({"every_n_epochs": 1, "filename": "{epoch}-{loss:.4f}"}, [5, 10, 15, 20]),
        ({"every_n_train_steps": 8, "save_last": True}, [8, 16]),
        ({"every_n_train_steps": 3, "save_weights_only": True}, [3, 6, 9, 12, 15, 18]),
    ],
)
def test_model_checkpoint(tmp_path, settings, steps):
    states = fit(tmp_path, **settings)
    if (last := tmp_path / "last.ckpt").is_file():  # old versions write it once more at the end
        steps = sorted({*steps, torch.load(last, weights_only=False)["global_step"]})
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == steps
    assert list(run.weights) == [name for name, _ in Module().named_parameters()]
    assert set(run.buffers) == {name for name, _ in Module().named_buffers()}
    assert all(isinstance(life.values, Rows) for life in run.weights.series.values())
    for step in steps:
        actual = run.at(step)
        assert set(actual) == set(states[step])
        assert all(torch.equal(actual[name], value) for name, value in states[step].items())


def test_model_checkpoint__with_settings_that_are_no_tensors(tmp_path):
    settings = {"args": argparse.Namespace(lr=0.1), "data": Path("x"), "rate": np.float64(3), "seeds": np.arange(3)}
    states = fit(tmp_path, Module(**settings), every_n_epochs=2)
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [10, 20]
    assert torch.equal(run.at(20)["net.0.weight"], states[20]["net.0.weight"])
