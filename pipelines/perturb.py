"""Seeded perturbations of a network, in place: the starting points of perturbed runs.

`flip_signs` and `distort` perturb tensors of two or more dimensions only; biases and normalization layers keep their
values. `negate` and `shift` change all parameters, as published.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from trajlab.errors import BadSetting


@torch.no_grad()
def flip_signs(model: nn.Module, share: float, seed: int) -> None:
    """Flip the signs of a random share of each weight tensor's entries.

    Parameters
    ----------
    model
        The network.
    share
        Share of the entries of each tensor, 0 to 1; their number is rounded.
    seed
        Seed of the choice.
    """
    if not 0 <= share <= 1:
        raise BadSetting(f"cannot flip signs with share={share}: a share lies between 0 and 1")
    generator = torch.Generator().manual_seed(seed)
    for weight in _weights(model):
        chosen = torch.randperm(weight.numel(), generator=generator)[: round(share * weight.numel())]
        sign = torch.ones(weight.numel())
        sign[chosen] = -1
        weight.mul_(sign.reshape(weight.shape).to(weight))


@torch.no_grad()
def distort(model: nn.Module, scale: float, seed: int) -> None:
    """Multiply each weight by 1 + scale · z, z standard normal, so that zeros stay zero.

    Parameters
    ----------
    model
        The network.
    scale
        Standard deviation of the distortion relative to the weight itself, 0 or more.
    seed
        Seed of the draws.
    """
    if scale < 0:
        raise BadSetting(f"cannot distort with scale={scale}: a scale is 0 or more")
    generator = torch.Generator().manual_seed(seed)
    for weight in _weights(model):
        weight.mul_(1 + scale * torch.randn(weight.shape, generator=generator).to(weight))


@torch.no_grad()
def negate(model: nn.Module, seed: int, buffers: bool = False) -> None:
    """Multiply all parameters by −1: weights, biases, and those of normalization layers.

    Parameters
    ----------
    model
        The network.
    seed
        Ignored, as nothing is drawn.
    buffers
        Whether to negate floating-point buffers, too. Negative running variances make the outputs of batch
        normalization NaN in evaluation mode until training has averaged them away.
    """
    for parameter in model.parameters():
        parameter.neg_()
    for buffer in model.buffers() if buffers else ():
        if buffer.is_floating_point():
            buffer.neg_()


@torch.no_grad()
def shift(model: nn.Module, amount: float, seed: int) -> None:
    """Add a number to all parameters.

    Parameters
    ----------
    model
        The network.
    amount
        The number; entries that are larger than about 2²⁴ times it keep their float32 value.
    seed
        Ignored, as nothing is drawn.
    """
    if not math.isfinite(amount):
        raise BadSetting(f"cannot shift by amount={amount}: choose a finite number")
    for parameter in model.parameters():
        parameter.add_(amount)


def _weights(model: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in model.parameters() if parameter.ndim >= 2)


KINDS: dict[str, Callable[..., None]] = {kind.__name__: kind for kind in (flip_signs, distort, negate, shift)}
"""Perturbations by name, as the settings of a study name them."""
