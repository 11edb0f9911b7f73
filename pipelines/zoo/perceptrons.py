"""Fully connected networks."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from trajlab.errors import BadSetting


def mlp(in_features: int = 2, hidden: int = 20, num_classes: int = 2) -> nn.Module:
    """Perceptron with one hidden layer, for points in the plane (102 parameters).

    Parameters
    ----------
    in_features
        Number of inputs.
    hidden
        Number of hidden units.
    num_classes
        Number of outputs.
    """
    return nn.Sequential(
        OrderedDict(fc1=nn.Linear(in_features, hidden), relu1=nn.ReLU(), fc2=nn.Linear(hidden, num_classes))
    )


def mlp_batchnorm(in_features: int = 3 * 32 * 32, num_classes: int = 10, softmax: bool = False) -> nn.Module:
    """Perceptron of four layers, 128-64-32 hidden units, batch normalization before each ReLU.

    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015.

    Parameters
    ----------
    in_features
        Number of inputs: 3,072 for 32x32 color images, 784 for MNIST.
    num_classes
        Number of outputs.
    softmax
        Whether the outputs are probabilities instead of logits.
    """
    ends = {"softmax": nn.Softmax(dim=1)} if softmax else {}
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(in_features, 128),
            norm1=nn.BatchNorm1d(128),
            relu1=nn.ReLU(),
            fc2=nn.Linear(128, 64),
            norm2=nn.BatchNorm1d(64),
            relu2=nn.ReLU(),
            fc3=nn.Linear(64, 32),
            norm3=nn.BatchNorm1d(32),
            relu3=nn.ReLU(),
            fc4=nn.Linear(32, num_classes),
            **ends,
        )
    )


def squeeze_mlp(widths: Sequence[int] = (784, 128, 64, 32, 64, 128, 10), batch_norm: bool = True) -> nn.Module:
    """Perceptron whose layers narrow and widen, with batch normalization and a ReLU after each but the last.

    Parameters
    ----------
    widths
        Number of inputs, of units of each layer, and of outputs.
    batch_norm
        Whether batch normalization precedes each ReLU.
    """
    if len(widths) < 2:
        raise BadSetting(f"cannot build squeeze_mlp with widths={list(widths)}: it needs at least inputs and outputs")
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, (width, units) in enumerate(pairwise(widths), 1):
        layers[f"fc{number}"] = nn.Linear(width, units)
        if number < len(widths) - 1:
            if batch_norm:
                layers[f"norm{number}"] = nn.BatchNorm1d(units)
            layers[f"relu{number}"] = nn.ReLU()
    return nn.Sequential(layers)
