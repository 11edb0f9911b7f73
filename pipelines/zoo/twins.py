"""A deep narrow network, plain or residual, from the same weights."""

from collections import OrderedDict

import torch
from torch import nn


def twin(
    residual: bool = False, blocks: int = 9, width: int = 16, in_channels: int = 3, num_classes: int = 10
) -> nn.Module:
    """Deep narrow network without normalization, plain or with skip connections: 20 layers (42,378 parameters).

    Its layers are those of the plain and residual twins of He, Zhang, Ren and Sun, "Deep residual learning for image
    recognition", 2016, section 4.2, but all of one width, so that no skip connection has weights: the twins start from
    the same weights and differ in the additions alone. The first convolution has stride 2; two pools follow later.

    Parameters
    ----------
    residual
        Whether the input of each block is added to the output of its two convolutions.
    blocks
        Number of blocks of two convolutions.
    width
        Channels of all convolutions.
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    """
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(in_channels, width, 3, stride=2, padding=1), "relu": nn.ReLU()}
    for block in range(blocks):
        if block in (blocks // 3, 2 * blocks // 3):
            layers[f"pool{block}"] = nn.MaxPool2d(2)
        layers[f"block{block + 1}"] = _Block(width, residual)
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(width, num_classes)}
    return nn.Sequential(OrderedDict(layers))


class _Block(nn.Module):
    """Two convolutions, with or without a skip connection."""

    def __init__(self, width: int, residual: bool):
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.relu2 = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self.conv2(self.relu1(self.conv1(inputs)))
        return self.relu2(inputs + outputs if self.residual else outputs)
