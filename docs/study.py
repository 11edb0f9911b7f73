"""Small runs on which the figures of the reference are computed: digits, points in the plane, and short sequences."""

import tempfile
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import sklearn.datasets
import torch
from torch import nn

import trajlab
from trajlab import Recorder, Trajectory, every

FOLDER = Path(tempfile.mkdtemp(prefix="trajlab-docs-"))

OPTIMIZERS: dict[str, Callable] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.005),
}


def digits_network() -> nn.Module:
    """Build a convolutional network for images of 8×8 pixels."""
    layers = {
        "conv1": nn.Conv2d(1, 8, 3, padding=1), "relu1": nn.ReLU(), "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(8, 16, 3, padding=1), "relu2": nn.ReLU(), "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(), "fc1": nn.Linear(64, 32), "relu3": nn.ReLU(), "fc2": nn.Linear(32, 10),
    }  # fmt: skip
    return nn.Sequential(OrderedDict(layers))


def plane_network() -> nn.Module:
    """Build a perceptron for points in the plane."""
    layers = {
        "fc1": nn.Linear(2, 16), "relu1": nn.ReLU(), "fc2": nn.Linear(16, 16), "relu2": nn.ReLU(),
        "fc3": nn.Linear(16, 2),
    }  # fmt: skip
    return nn.Sequential(OrderedDict(layers))


class SequenceNetwork(nn.Module):
    """A transformer of two layers that predicts the next token."""

    def __init__(self, tokens: int = 12, width: int = 32):
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, tokens)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return logits of the next token, (sample, token, position)."""
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.head(self.blocks(self.embed(tokens), mask=mask, is_causal=True)).movedim(-1, 1)


def digits_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return images of handwritten digits, (sample, channel, y, x), and their labels."""
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    return torch.tensor(images[order] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(labels[order])


def plane_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return points of two interleaved half circles, and their labels."""
    points, labels = sklearn.datasets.make_moons(400, noise=0.1, random_state=0)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


def sequence_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return sequences in which a random first half is repeated, and the next tokens."""
    half = torch.randint(12, (512, 8), generator=torch.Generator().manual_seed(0))
    whole = torch.cat([half, half], 1)
    return whole[:, :-1], whole[:, 1:]


@cache
def digits() -> dict[str, Trajectory]:
    """Return two runs on handwritten digits, which differ in the optimizer."""
    return {name: _trained("digits", name, digits_network, digits_data(), 90) for name in OPTIMIZERS}


@cache
def plane() -> Trajectory:
    """Return a run on points in the plane."""
    return _trained("plane", "adam", plane_network, plane_data(), 150)


@cache
def sequences() -> Trajectory:
    """Return a run of a transformer on sequences of tokens."""
    return _trained("sequences", "adam", SequenceNetwork, sequence_data(), 60)


def _trained(study: str, optimizer: str, network: Callable, data: tuple, steps: int) -> Trajectory:
    """Train a network and record the run."""
    torch.manual_seed(0)
    model = network()
    optimize = OPTIMIZERS[optimizer](model.parameters())
    inputs, targets = (tensor[64:] for tensor in data)
    path = FOLDER / study / optimizer
    describe = {"model": {"factory": f"study:{network.__name__}", "arguments": {}}, "optimizer": optimizer, "seed": 0}
    probe = tuple(tensor[:64] for tensor in data)
    train = (inputs[:64], targets[:64])
    with Recorder(
        model,
        path,
        when=every(5),
        probe={"valid": probe, "train": train},
        describe=describe,
        optimizers=[optimize],
        moments=True,
    ) as recorder:
        for _ in range(steps):
            batch = torch.randint(len(inputs), (64,))
            optimize.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
            loss.backward()
            recorder.step(loss=loss)
            optimize.step()
    return trajlab.open(path)
