"""The images and points that the studies train on, as tensors in memory, normalized by constants that are written here.

``digits`` comes with scikit-learn, ``spirals`` are points in the plane that are made here. ``mnist``,
``fashion_mnist`` and ``cifar10`` are read below a root folder as torchvision lays them out; any other name is a
folder of images there, ``<name>/{train,test}/<class>/*`` or ``<name>/<class>/*``. The root is the argument, else the
environment variable TRAJLAB_DATA, else data/datasets. ``colored_digits`` are those of MNIST, or where that is not there
of scikit-learn, on colored grounds.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from trajlab.errors import BadSetting, MissingData

NORMALIZATION: dict[str, tuple[list[float], list[float]]] = {
    "digits": ([0.3053], [0.3761]),
    "mnist": ([0.1307], [0.3081]),
    "fashion_mnist": ([0.2860], [0.3530]),
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "folder": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "colored_digits": ([0.5, 0.5, 0.5], [0.25, 0.25, 0.25]),
}
"""Mean and standard deviation of each channel, for pixels from 0 to 1; those of `folder` are ImageNet's."""

GROUNDS = (
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
"""Red, green and blue of the ground that goes with each class of `colored_digits`: ten hues, equally far apart."""

# Torchvision's class and the folder below the root where it keeps its files.
_TORCHVISION = {
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
}

_TEST_SHARE = 0.2


class Split(NamedTuple):
    """Images, float32 [sample, channel, y, x], or points, and the number of the class of each, int64 [sample]."""

    inputs: torch.Tensor
    targets: torch.Tensor


class Images(NamedTuple):
    """A data set: what to train on and what to test on, perhaps with masks of what the test images show.

    A mask is 1 where the object is and 0 elsewhere, float32 [sample, y, x].
    """

    train: Split
    test: Split
    masks: torch.Tensor | None = None


def load(
    name: str,
    root: str | Path | None = None,
    *,
    download: bool = False,
    image_size: int | None = None,
    seed: int = 0,
    **arguments: Any,
) -> Images:
    """Read a data set.

    Parameters
    ----------
    name
        ``digits``, ``spirals``, ``mnist``, ``fashion_mnist``, ``cifar10``, ``colored_digits``, or a folder of images
        below the root.
    root
        Folder that holds the data sets.
    download
        Whether torchvision may fetch what is not there. Nothing else here touches the network.
    image_size
        Height and width that the images of a folder are resized to; needed if they differ in size.
    seed
        Seed of the split into train and test, where the data set has none of its own, and of the order of the images
        of a folder, which come class by class: the first images of a data set are a fair sample of it. Also that of
        the colors of `colored_digits`.
    **arguments
        Of `colored_digits`: ``alignment``, the share of training images whose ground has the color of their class,
        and ``most``, how many images of either split there are at most.
    """
    root = Path(root or os.environ.get("TRAJLAB_DATA") or "data/datasets")
    takes = ("alignment", "most") if name == "colored_digits" else ()
    if wrong := [argument for argument in arguments if argument not in takes]:
        raise BadSetting(
            f"the data set {name} was given {', '.join(wrong)}; it takes {', '.join(takes) or 'no arguments'}"
        )
    if name == "colored_digits":
        return _colored_digits(root, download, seed, **arguments)
    if name == "digits":
        return _digits(seed)
    if name == "spirals":
        return _spirals(seed)
    kind, folder = _TORCHVISION.get(name, ("ImageFolder", name))
    if name == "cifar10" and not download and not (root / folder).is_dir() and (root / name).is_dir():
        return _folder(root / name, "cifar10", image_size, seed)
    if name in _TORCHVISION:
        return _torchvision(name, kind, root, folder, download)
    if not (root / name).is_dir():
        known = ", ".join(["digits", "spirals", "colored_digits", *_TORCHVISION])
        raise MissingData(f"no data set {name!r}: it is none of {known}, and there is no folder {root / name}")
    return _folder(root / name, "folder", image_size, seed)


def fit(split: Split, shape: Sequence[int]) -> Split:
    """Bring images to a shape: grey ones are repeated in each channel, small ones stand in the middle of a dark frame.

    Parameters
    ----------
    split
        Images of one channel, or of as many as asked for.
    shape
        Channels, height and width.

    Raises
    ------
    BadSetting
        The images have other channels, or are larger.
    """
    own = tuple(split.inputs.shape[1:])
    if len(own) != 3 or len(shape) != 3 or own[0] not in (1, shape[0]) or own[1] > shape[1] or own[2] > shape[2]:
        raise BadSetting(
            f"image_shape={list(shape)} was asked for; the images are {list(own)}. Grey images take any number of "
            "channels, and none is made smaller."
        )
    above, left = (shape[1] - own[1]) // 2, (shape[2] - own[2]) // 2
    frame = (left, shape[2] - own[2] - left, above, shape[1] - own[1] - above)
    framed = torch.nn.functional.pad(split.inputs, frame, value=split.inputs.min().item())
    return Split(framed.expand(-1, shape[0], -1, -1).contiguous(), split.targets)


def _digits(seed: int) -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
    return _split(_normalize(pixels, "digits"), torch.from_numpy(digits.target).long(), seed)


def _spirals(seed: int, samples: int = 1000, turns: float = 1.25, noise: float = 0.02) -> Images:
    """Two spirals wound into each other (Lang and Witbrock, "Learning to tell two spirals apart", 1988), with noise."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(samples) % 2
    radius = torch.rand(samples, generator=generator).sqrt()
    angle = 2 * torch.pi * turns * radius + torch.pi * targets
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return _split(points + noise * torch.randn(samples, 2, generator=generator), targets, seed)


def _colored_digits(root: Path, download: bool, seed: int, alignment: float = 1.0, most: int | None = None) -> Images:
    """White digits, 28x28, on grounds of ten colors, each of which goes with a class in a share of the training images.

    The other training images have one of the other nine colors, test images any of the ten, whatever their class. The
    digits, and the colors of the test images, are the same at each alignment. Such a ground is Waterbirds' (Sagawa et
    al. 2020, arXiv:1911.08731) in little.
    """
    if not 0 <= alignment <= 1:
        raise BadSetting(f"colored_digits were asked for alignment={alignment}; it is a share, from 0 to 1")
    try:
        images, kind = load("mnist", root, download=download), "mnist"
    except MissingData as error:
        warnings.warn(f"{error}. The digits of scikit-learn are colored instead.", stacklevel=3)
        images, kind = _digits(seed), "digits"
    generator = torch.Generator().manual_seed(seed)
    splits, masks = [], torch.empty(0)
    for split, share in ((images.test, 1 / len(GROUNDS)), (images.train, alignment)):
        inputs, targets = (part[:most] for part in split)
        (mean,), (std,) = NORMALIZATION[kind]
        ink = torch.nn.functional.interpolate(inputs * std + mean, (28, 28), mode="bilinear").clamp(0, 1)
        other = torch.randint(1, len(GROUNDS), targets.shape, generator=generator)
        stays = torch.rand(targets.shape, generator=generator) < share
        ground = torch.tensor(GROUNDS)[(targets + torch.where(stays, 0, other)) % len(GROUNDS)][..., None, None]
        splits.append(Split(_normalize(ground + ink * (1 - ground), "colored_digits"), targets))
        masks = masks if len(masks) else (ink[:, 0] > 0.5).float()
    return Images(splits[1], splits[0], masks)


def _torchvision(name: str, kind: str, root: Path, folder: str, download: bool) -> Images:
    import torchvision

    splits = []
    for train in (True, False):
        try:
            images = getattr(torchvision.datasets, kind)(root, train=train, download=download)
        except RuntimeError as error:
            if download:
                raise
            also = f", nor images in {root / name}" if name == "cifar10" else ""
            raise MissingData(
                f"no {name} in {root / folder}{also}. Point TRAJLAB_DATA to the folder that holds {folder}, "
                "or allow the download with --download"
            ) from error
        pixels = torch.as_tensor(images.data).float() / 255
        pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
        splits.append(Split(_normalize(pixels, name), torch.as_tensor(images.targets).long()))
    return Images(*splits)


def _folder(folder: Path, normalization: str, image_size: int | None, seed: int) -> Images:
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        splits = (_read_classes(folder / part, normalization, image_size) for part in ("train", "test"))
        return Images(*(_shuffle(split, seed) for split in splits))
    return _split(*_read_classes(folder, normalization, image_size), seed)


def _shuffle(split: Split, seed: int) -> Split:
    order = torch.randperm(len(split.targets), generator=torch.Generator().manual_seed(seed))
    return Split(split.inputs[order], split.targets[order])


def _read_classes(folder: Path, normalization: str, image_size: int | None) -> Split:
    """Read `<class>/*` as color images, classes in alphabetical order."""
    import torchvision

    resize = [] if image_size is None else [torchvision.transforms.Resize((image_size, image_size))]
    transform = torchvision.transforms.Compose([*resize, torchvision.transforms.ToTensor()])
    try:
        images = torchvision.datasets.ImageFolder(folder, transform)
    except FileNotFoundError as error:
        raise MissingData(f"{folder} holds no images in class folders: {error}") from error
    pixels = [image for image, _ in images]
    if len({image.shape for image in pixels}) > 1:
        raise BadSetting(f"the images in {folder} differ in size; set image_size")
    return Split(_normalize(torch.stack(pixels), normalization), torch.tensor(images.targets))


def _normalize(pixels: torch.Tensor, name: str) -> torch.Tensor:
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in NORMALIZATION[name])
    return (pixels - mean) / std


def _split(inputs: torch.Tensor, targets: torch.Tensor, seed: int) -> Images:
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    count = round(_TEST_SHARE * len(inputs))
    test, train = order[:count], order[count:]
    return Images(Split(inputs[train], targets[train]), Split(inputs[test], targets[test]))
