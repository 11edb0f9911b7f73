"""Data sets in files: those that torchvision reads, and folders of images by class."""

from pathlib import Path

import torch

from pipelines.datasets.images import Images, Split, normalize, shuffle, split_randomly
from trajlab.errors import BadSetting, MissingData

TORCHVISION = {
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
}
"""Torchvision's class, and the folder below the root where it keeps its files."""


def read_torchvision(name: str, root: Path, download: bool, normalization: str | None = None) -> Images:
    """Read a data set as torchvision lays it out below a root folder, normalized by its own constants by default."""
    import torchvision

    kind, folder = TORCHVISION[name]
    splits = []
    for train in (True, False):
        try:
            images = getattr(torchvision.datasets, kind)(root, train=train, download=download)
        except RuntimeError as error:
            if download:
                raise
            folders = f"{root / folder}{f' or {root / name}' if name == 'cifar10' else ''}"
            raise MissingData(
                f"cannot find {name} in {folders}; set TRAJLAB_DATA to the folder that holds {folder}, or pass "
                "--download"
            ) from error
        pixels = torch.as_tensor(images.data).float() / 255
        pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
        splits.append(Split(normalize(pixels, normalization or name), torch.as_tensor(images.targets).long()))
    return Images(*splits)


def read_folder(folder: Path, normalization: str, image_size: int | None, seed: int) -> Images:
    """Read a folder of images: `{train,test}/<class>/*`, or `<class>/*`, which is split at random.

    Images come in random order instead of class by class, so that the first ones are a fair sample.
    """
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        splits = (_read_classes(folder / part, normalization, image_size) for part in ("train", "test"))
        return Images(*(shuffle(split, seed) for split in splits))
    return split_randomly(*_read_classes(folder, normalization, image_size), seed)


def _read_classes(folder: Path, normalization: str, image_size: int | None) -> Split:
    """Read `<class>/*` as color images, classes in alphabetical order."""
    import torchvision

    resize = [] if image_size is None else [torchvision.transforms.Resize((image_size, image_size))]
    transform = torchvision.transforms.Compose([*resize, torchvision.transforms.ToTensor()])
    try:
        images = torchvision.datasets.ImageFolder(folder, transform)
    except FileNotFoundError as error:
        raise MissingData(f"cannot find images in class folders of {folder}: {error}") from error
    pixels = [image for image, _ in images]
    if len({image.shape for image in pixels}) > 1:
        raise BadSetting(f"the images in {folder} differ in size; set image_size")
    return Split(normalize(torch.stack(pixels), normalization), torch.tensor(images.targets))
