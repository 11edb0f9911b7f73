"""Seeded perturbations of a network's weights, in place: the starting points of perturbed runs.

Only tensors of two or more dimensions are perturbed; biases and normalization layers keep their values.
"""

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


def _weights(model: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in model.parameters() if parameter.ndim >= 2)


KINDS: dict[str, Callable[..., None]] = {kind.__name__: kind for kind in (flip_signs, distort)}
"""Perturbations by name, as the settings of a study name them."""
