"""Data sets that need no files: the digits of scikit-learn, and two spirals."""

import torch

from pipelines.datasets.images import Images, normalize, split_randomly


def digits(seed: int) -> Images:
    """Return the 1,797 digits of scikit-learn, 8x8."""
    from sklearn.datasets import load_digits

    images = load_digits()
    pixels = torch.from_numpy(images.images).float().unsqueeze(1) / 16
    return split_randomly(normalize(pixels, "digits"), torch.from_numpy(images.target).long(), seed)


def spirals(seed: int, samples: int = 1000, turns: float = 1.25, noise: float = 0.02) -> Images:
    """Draw points on two interleaved spirals, with noise.

    Lang and Witbrock, "Learning to tell two spirals apart", 1988.
    """
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(samples) % 2
    radius = torch.rand(samples, generator=generator).sqrt()
    angle = 2 * torch.pi * turns * radius + torch.pi * targets
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return split_randomly(points + noise * torch.randn(samples, 2, generator=generator), targets, seed)
