"""Images and points as tensors in memory, normalized and split into training and test set."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from trajlab.errors import BadSetting

NORMALIZATION: dict[str, tuple[list[float], list[float]]] = {
    "digits": ([0.3053], [0.3761]),
    "mnist": ([0.1307], [0.3081]),
    "fashion_mnist": ([0.2860], [0.3530]),
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "folder": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "colored_digits": ([0.5, 0.5, 0.5], [0.25, 0.25, 0.25]),
}
"""Mean and standard deviation of each channel, for pixels from 0 to 1; those of `folder` are ImageNet's."""

SCALINGS: dict[str, tuple[list[float], list[float]]] = {
    "unit": ([0.0], [1.0]),
    "centered": ([0.5], [0.5]),
    "imagenet": NORMALIZATION["folder"],
}
"""Scalings for any data set: pixels from 0 to 1, from −1 to 1, and by ImageNet's constants, which need three channels.

Gray images become three equal channels before ImageNet's constants are applied.
"""

FITS = ("pad", "resize")
"""Ways to fit images to a larger shape."""

TEST_SHARE = 0.2
"""Share of a data set that is tested on, where the data set has no test set of its own."""


class Split(NamedTuple):
    """Images, float32 [sample, channel, y, x], or points, float32 [sample, 2], and their classes, int64 [sample]."""

    inputs: torch.Tensor
    targets: torch.Tensor


class Images(NamedTuple):
    """Training and test set, and the masks of the test images if there are any.

    A mask is 1 on the object and 0 elsewhere, float32 [sample, y, x].
    """

    train: Split
    test: Split
    masks: torch.Tensor | None = None


def normalize(pixels: torch.Tensor, name: str) -> torch.Tensor:
    """Normalize pixels from 0 to 1 by the constants of a data set, or by a scaling."""
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (NORMALIZATION | SCALINGS)[name])
    return (pixels - mean) / std


def split_randomly(inputs: torch.Tensor, targets: torch.Tensor, seed: int) -> Images:
    """Split samples at random into training and test set."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    count = round(TEST_SHARE * len(inputs))
    test, train = order[:count], order[count:]
    return Images(Split(inputs[train], targets[train]), Split(inputs[test], targets[test]))


def shuffle(split: Split, seed: int) -> Split:
    """Shuffle the samples."""
    order = torch.randperm(len(split.targets), generator=torch.Generator().manual_seed(seed))
    return Split(split.inputs[order], split.targets[order])


def first(split: Split, count: int | None) -> Split:
    """Return the first samples, or all without a count.

    Raises
    ------
    BadSetting
        There are fewer.
    """
    if count is not None and count > len(split.targets):
        raise BadSetting(f"cannot take {count} images: the data set has {len(split.targets)}")
    return Split(*(part[:count] for part in split))


def fit(split: Split, shape: Sequence[int], how: str = "pad") -> Split:
    """Fit images to a shape: repeat a gray channel, and enlarge smaller images.

    Parameters
    ----------
    split
        Images of one channel, or of as many as the shape has.
    shape
        Channels, height and width.
    how
        ``pad`` centers an image in a frame of the darkest value of each channel; ``resize`` interpolates it linearly.

    Raises
    ------
    BadSetting
        The images have other channels, or are larger; or there is no such way.
    """
    if how not in FITS:
        raise BadSetting(f"cannot fit images by image_fit={how!r}: choose {' or '.join(FITS)}")
    old = tuple(split.inputs.shape[1:])
    if len(old) != 3 or len(shape) != 3 or old[0] not in (1, shape[0]) or old[1] > shape[1] or old[2] > shape[2]:
        raise BadSetting(
            f"cannot fit images of shape {list(old)} to image_shape={list(shape)}: only gray images change their "
            "channels, and none is made smaller"
        )
    if how == "resize":
        resized = torch.nn.functional.interpolate(split.inputs, tuple(shape[1:]), mode="bilinear")
        return Split(resized.expand(-1, shape[0], -1, -1).contiguous(), split.targets)
    above, left = (shape[1] - old[1]) // 2, (shape[2] - old[2]) // 2
    framed = split.inputs.amin((0, 2, 3))[:, None, None].repeat(len(split.inputs), 1, *shape[1:])
    framed[..., above : above + old[1], left : left + old[2]] = split.inputs
    return Split(framed.expand(-1, shape[0], -1, -1).contiguous(), split.targets)
