"""White digits on colored backgrounds, whose color goes with the class in a share of the training images."""

import warnings
from pathlib import Path

import torch

from pipelines.datasets.builtin import digits
from pipelines.datasets.files import read_torchvision
from pipelines.datasets.images import NORMALIZATION, Images, Split, normalize
from trajlab.errors import BadSetting, MissingData

BACKGROUNDS = (
    (0.6, 0.0, 0.0),
    (0.6, 0.36, 0.0),
    (0.48, 0.6, 0.0),
    (0.12, 0.6, 0.0),
    (0.0, 0.6, 0.24),
    (0.0, 0.6, 0.6),
    (0.0, 0.24, 0.6),
    (0.12, 0.0, 0.6),
    (0.48, 0.0, 0.6),
    (0.6, 0.0, 0.36),
)
"""Red, green and blue of the background of each class: ten equidistant hues."""


def colored_digits(root: Path, download: bool, seed: int, alignment: float = 1.0, most: int | None = None) -> Images:
    """Color the backgrounds of MNIST, or of scikit-learn's digits where MNIST is missing; 28x28.

    A training image has the color of its class with probability `alignment`, and else one of the nine others. A test
    image has any of the ten, whatever its class. The digits, and the colors of the test images, are the same at each
    alignment. This is a small version of Waterbirds (Sagawa et al. 2020, arXiv:1911.08731).

    Parameters
    ----------
    root
        Folder that holds MNIST.
    download
        Whether torchvision may download it.
    seed
        Seed of the colors.
    alignment
        Share of the training images whose background has the color of their class.
    most
        Largest number of images in each split; by default all.
    """
    if not 0 <= alignment <= 1:
        raise BadSetting(f"cannot color digits with alignment={alignment}: it is a share, from 0 to 1")
    try:
        images, kind = read_torchvision("mnist", root, download), "mnist"
    except MissingData as error:
        warnings.warn(f"{error}. Using the digits of scikit-learn instead.", stacklevel=3)
        images, kind = digits(seed), "digits"
    generator = torch.Generator().manual_seed(seed)
    splits, masks = [], torch.empty(0)
    for split, aligned_share in ((images.test, 1 / len(BACKGROUNDS)), (images.train, alignment)):
        inputs, targets = (part[:most] for part in split)
        (mean,), (std,) = NORMALIZATION[kind]
        ink = torch.nn.functional.interpolate(inputs * std + mean, (28, 28), mode="bilinear").clamp(0, 1)
        shift = torch.randint(1, len(BACKGROUNDS), targets.shape, generator=generator)
        aligned = torch.rand(targets.shape, generator=generator) < aligned_share
        color = (targets + torch.where(aligned, 0, shift)) % len(BACKGROUNDS)
        background = torch.tensor(BACKGROUNDS)[color][..., None, None]
        splits.append(Split(normalize(background + ink * (1 - background), "colored_digits"), targets))
        masks = masks if len(masks) else (ink[:, 0] > 0.5).float()
    return Images(splits[1], splits[0], masks)
