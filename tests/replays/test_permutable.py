import numpy as np
import torch
from torch import nn

import trajlab
from pipelines import zoo
from trajlab.replays.permutable import chain


class Skipping(nn.Module):
    """A residual network whose shapes look like those of a chain."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = self.first(x).relu()
        return self.last(x + self.second(x).relu())


def grouped():
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.GroupNorm(3, 6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 2))


def recorded(factory, model, folder, shape):
    with trajlab.Recorder(
        model, folder, gradients=False, probe=(torch.zeros(2, *shape), torch.zeros(2, dtype=torch.long)),
        describe={"model": {"factory": factory, "arguments": {}}},
    ) as recorder:  # fmt: skip
        recorder.step()
    return trajlab.open(folder)


def test_chain__is_tried_on_the_network(tmp_path):
    here = "tests.replays.test_permutable:"
    runs = {
        "chain": recorded("pipelines.zoo:digits_cnn", zoo.digits_cnn(), tmp_path / "a", (1, 8, 8)),
        "skip": recorded(here + "Skipping", Skipping(), tmp_path / "b", (4,)),
        "groups": recorded(here + "grouped", grouped(), tmp_path / "c", (1, 8, 8)),
    }
    assert len(chain(runs["chain"]).hidden) == 3
    assert "the output of Skipping changes when units of first.weight are permuted" in chain(runs["skip"]).reason
    assert "changes when units" in chain(runs["groups"]).reason
    resnet = zoo.resnet18("cifar").state_dict()
    run = trajlab.from_arrays({name: value.numpy()[None] for name, value in resnet.items() if value.ndim})
    assert "before it has" in chain(run).reason
    assert chain(trajlab.from_arrays({"w": np.zeros((1, 2, 2))})).reason == "there is no hidden layer"
