"""Batch normalization in training mode with batches of one sample, in passes of many."""

from functools import partial
from math import prod

import torch
from torch import nn
from torch.nn import functional as F

from trajlab.errors import BadSetting

MODES = ("eval", "train")
"""Modes of batch normalization: with the running statistics, or with those of each sample alone."""

BatchNorm = nn.modules.batchnorm._BatchNorm


def check_mode(mode: str, model: nn.Module) -> None:
    """Check that a mode exists and that the network has what it is about.

    Raises
    ------
    BadSetting
        There is no such mode, or it is `train` and the network has no batch normalization.
    """
    if mode not in MODES:
        raise BadSetting(f"cannot replay in mode={mode!r}: choose {' or '.join(MODES)}")
    if mode == "train" and not any(isinstance(module, BatchNorm) for module in model.modules()):
        raise BadSetting(
            f"cannot replay {type(model).__name__} in training mode: it has no batch normalization, which is all that "
            "the mode changes; choose mode=eval"
        )


def normalize_each_sample(model: nn.Module, samples: int) -> None:
    """Let batch normalization take the statistics of each sample by itself, in place.

    A sample is then normalized as in training mode with a batch of one: by the mean and the population variance of each
    of its channels over the positions. Running statistics are neither used nor updated.

    Parameters
    ----------
    model
        The network.
    samples
        Samples of a batch.
    """
    for path, module in model.named_modules():
        if isinstance(module, BatchNorm):
            module.forward = partial(_normalize, module, path, samples)  # type: ignore[method-assign]


def _normalize(module: BatchNorm, path: str, samples: int, inputs: torch.Tensor) -> torch.Tensor:
    """Normalize each sample as a batch of one, all in one call, with the channels of all samples side by side.

    Raises
    ------
    BadSetting
        A sample has a single value for each channel, or the first axis does not run over the samples.
    """
    if len(inputs) != samples or prod(inputs.shape[2:]) < 2:
        why = (
            f"its first axis has {len(inputs)} entries for {samples} samples"
            if len(inputs) != samples
            else f"a sample of shape {list(inputs.shape[1:])} has one value a channel, whose variance is 0"
        )
        raise BadSetting(f"cannot normalize {path} with a batch of one sample: {why}; choose mode=eval")
    scale, shift = (None if value is None else value.repeat(samples) for value in (module.weight, module.bias))
    side_by_side = inputs.reshape(1, -1, *inputs.shape[2:])
    normalized = F.batch_norm(side_by_side, None, None, scale, shift, training=True, eps=module.eps)
    return normalized.reshape(inputs.shape)
