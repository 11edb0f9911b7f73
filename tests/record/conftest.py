import json
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from trajlab.record import Recorder


def _first_step(path):
    return int(path.name.split("-")[0])


@pytest.fixture
def read():
    """Read a run folder with safetensors and json alone."""

    def read(directory):
        rows = {}
        for path in sorted((directory / "gradients").glob("[0-9]*.safetensors"), key=_first_step):
            with safe_open(path, framework="pt") as file:
                known = json.loads(file.metadata()["rows"])
                steps, absent = known["steps"], known["absent"]
                for name in file.keys():
                    present = [step for step in steps if step not in absent.get(name, [])]
                    tensor = file.get_tensor(name)
                    assert len(tensor) == len(present)
                    rows.setdefault(name, {}).update(zip(present, tensor, strict=True))
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        indices = directory / "gradients" / "indices.safetensors"
        return SimpleNamespace(
            run=json.loads((directory / "run.json").read_text()),
            checkpoints={
                int(folder.name.removeprefix("checkpoint-")): {
                    name: tensor
                    for path in folder.glob("model*.safetensors")
                    for name, tensor in load_file(path).items()
                }
                for folder in directory.glob("checkpoint-*")
            },
            gradients=rows,
            metrics=[json.loads(line) for line in lines],
            indices=load_file(indices) if indices.exists() else {},
        )

    return read


@pytest.fixture
def same():
    """Assert that two runs, as `read` gives them, hold the same numbers."""

    def same(one, other):
        assert one.metrics == other.metrics
        assert one.run == other.run
        for field in ("checkpoints", "gradients"):
            left, right = getattr(one, field), getattr(other, field)
            assert left.keys() == right.keys()
            for key in left:
                assert left[key].keys() == right[key].keys()
                for inner in left[key]:
                    assert torch.equal(left[key][inner], right[key][inner]), (field, key, inner)
        assert one.indices.keys() == other.indices.keys()
        assert all(torch.equal(one.indices[name], other.indices[name]) for name in one.indices)

    return same


@pytest.fixture
def make_model():
    """Build a small network with all that has state: convolution, batch norm, dropout."""

    def make_model():
        torch.manual_seed(0)
        return nn.Sequential(
            *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
            *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 3)),
        )

    return make_model


@pytest.fixture
def train():
    """Train a model for some steps; gives the gradients seen at each step."""

    def train(model, directory, *, steps=6, inputs=None, optimizer=None, begin=0, **settings):
        inputs = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)) if inputs is None else inputs
        optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        seen = {}
        with Recorder(model, directory, **settings) as recorder:
            for step in range(begin, steps):
                torch.manual_seed(step)
                optimizer.zero_grad()
                loss = model(inputs).float().square().mean()
                loss.backward()
                seen[step] = {
                    name: parameter.grad.detach().clone()
                    for name, parameter in model.named_parameters()
                    if parameter.grad is not None
                }
                recorder.step(loss=loss)
                optimizer.step()
        return seen

    return train
