"""Twenty healthy runs of small networks, and twenty that are sick in eight known ways."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from tests.small_training import Moment, train, untouched
from trajlab.runs.trajectory import Trajectory


class Case(NamedTuple):
    """A run to train; at least one of `rules` must fire, and none in the healthy run beside it."""

    sickness: str
    network: Callable[[], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    seed: int
    rules: tuple[str, ...] = ()
    before: Callable[[Moment], None] = untouched

    def train(self) -> Trajectory:
        return train(self.network, self.optimizer, seed=self.seed, steps=240, every=5, before=self.before)


def perceptron(activation: Callable[[], nn.Module], hidden: int = 32, depth: int = 2) -> nn.Sequential:
    sizes = [64, *[hidden] * depth]
    body = [part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*body, nn.Linear(sizes[-1], 10))


def convolutional(norm: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), *[nn.BatchNorm2d(8)] * norm, nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 10),
    )  # fmt: skip


def initialized(network: Callable[[], nn.Sequential], init: Callable[[torch.Tensor], object]) -> nn.Sequential:
    model = network()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            init(parameter)
    return model


def shifted(network: Callable[[], nn.Sequential], layer: int) -> nn.Sequential:
    """Lower the biases of a layer so far that its ReLUs never see a positive input."""
    model = network()
    with torch.no_grad():
        model[layer].bias -= 30.0
    return model


def frozen(network: Callable[[], nn.Sequential], layer: int) -> nn.Sequential:
    model = network()
    model[layer].requires_grad_(False)
    return model


def with_random_labels(moment: Moment) -> None:
    moment.targets = torch.randint(10, moment.targets.shape)


RELU, TANH, GELU = (partial(perceptron, activation) for activation in (nn.ReLU, nn.Tanh, nn.GELU))
CNN = convolutional
DEEP = partial(perceptron, nn.ReLU, 32, 4)
SIGMOIDS = partial(perceptron, nn.Sigmoid, 24, 10)
SGD, ADAM = torch.optim.SGD, torch.optim.Adam
NETWORKS = [
    RELU, TANH, GELU, CNN, partial(convolutional, norm=True), partial(initialized, RELU, nn.init.kaiming_normal_),
    partial(initialized, TANH, nn.init.xavier_normal_), partial(initialized, GELU, nn.init.orthogonal_),
    partial(initialized, DEEP, nn.init.kaiming_normal_), partial(initialized, CNN, nn.init.kaiming_normal_),
]  # fmt: skip
OPTIMIZERS = [
    partial(SGD, lr=0.1), partial(SGD, lr=0.03, momentum=0.9), partial(ADAM, lr=0.003),
    partial(torch.optim.AdamW, lr=0.003, weight_decay=0.05), partial(torch.optim.RMSprop, lr=0.001),
]  # fmt: skip
HEALTHY = [
    Case("", network, OPTIMIZERS[(i + 2 * j) % 5], 2 * i + j) for i, network in enumerate(NETWORKS) for j in range(2)
]

LOSS = ("LossNotDecreasing",)
SICK = [
    *(Case("learning rate too high", RELU, partial(SGD, lr=lr), seed, (*LOSS, "ExplodingTensor"))
      for seed, lr in enumerate((30.0, 100.0, 300.0))),
    *(Case("exploding", partial(initialized, network, partial(nn.init.normal_, std=2.0)), partial(SGD, lr=1.0), seed,
           ("ExplodingTensor",)) for seed, network in enumerate((DEEP, partial(perceptron, nn.ReLU, 32, 6)))),
    *(Case("dead ReLUs", partial(shifted, network, layer), ADAM, seed, ("DeadRelu",))
      for seed, (network, layer) in enumerate(((RELU, 0), (RELU, 2), (CNN, 4)))),
    *(Case("vanishing gradients", partial(initialized, SIGMOIDS, partial(nn.init.normal_, std=std)),
           partial(SGD, lr=0.1), seed, ("VanishingGradient",)) for seed, std in enumerate((0.1, 0.05, 0.02))),
    *(Case("zero init", partial(initialized, network, nn.init.zeros_), partial(SGD, lr=0.1), seed,
           ("PoorWeightInitialization",)) for seed, network in enumerate((RELU, TANH))),
    *(Case("labels are noise", network, partial(ADAM, lr=0.001), seed, LOSS, with_random_labels)
      for seed, network in enumerate((RELU, CNN, TANH))),
    *(Case("frozen layer", partial(frozen, network, layer), OPTIMIZERS[2], seed, ("UnchangedTensor",))
      for seed, (network, layer) in enumerate(((RELU, 0), (CNN, 4)))),
    *(Case("learning rate too low", network, partial(SGD, lr=1e-7), seed, ("UnchangedTensor",))
      for seed, network in enumerate((RELU, TANH))),
]  # fmt: skip
