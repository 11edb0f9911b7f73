"""The data sets that the studies train on, as tensors in memory, normalized by constants.

``digits`` comes with scikit-learn, ``spirals`` are generated points in the plane. ``mnist``, ``fashion_mnist`` and
``cifar10`` are read below a root folder as torchvision lays them out; any other name is a folder of images there,
``<name>/{train,test}/<class>/*`` or ``<name>/<class>/*``. The root is the argument, else the environment variable
TRAJLAB_DATA, else data/datasets. ``colored_digits`` are MNIST, or scikit-learn's digits where MNIST is missing, on
colored backgrounds.
"""

import os
from pathlib import Path
from typing import Any

from pipelines.datasets.builtin import digits, spirals
from pipelines.datasets.colored_digits import colored_digits
from pipelines.datasets.files import TORCHVISION, read_folder, read_torchvision
from pipelines.datasets.images import SCALINGS, Images
from trajlab.errors import BadSetting, MissingData


def load(
    name: str,
    root: str | Path | None = None,
    *,
    download: bool = False,
    image_size: int | None = None,
    seed: int = 0,
    scaling: str | None = None,
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
        Whether torchvision may download a missing data set. Nothing else here uses the network.
    image_size
        Height and width that the images of a folder are resized to; required if they differ in size.
    seed
        Seed of the random split, of the order of a folder's images, and of the colors of `colored_digits`.
    scaling
        ``unit`` for pixels from 0 to 1, ``centered`` for pixels from −1 to 1; by default they are normalized by the
        constants of the data set. Only for images in files.
    **arguments
        Of `colored_digits`: ``alignment`` and ``most``.
    """
    root = Path(root or os.environ.get("TRAJLAB_DATA") or "data/datasets")
    allowed = ("alignment", "most") if name == "colored_digits" else ()
    if unknown := [argument for argument in arguments if argument not in allowed]:
        raise BadSetting(
            f"the data set {name} has no argument {', '.join(unknown)}; it takes {', '.join(allowed) or 'none'}"
        )
    in_files = name not in ("colored_digits", "digits", "spirals")
    if scaling is not None and (scaling not in SCALINGS or not in_files):
        raise BadSetting(
            f"cannot scale {name} by scaling={scaling!r}: choose {' or '.join(SCALINGS)}, of images in files, or leave "
            "it out"
        )
    if name == "colored_digits":
        return colored_digits(root, download, seed, **arguments)
    if name == "digits":
        return digits(seed)
    if name == "spirals":
        return spirals(seed)
    if name == "cifar10" and not download and not (root / TORCHVISION[name][1]).is_dir() and (root / name).is_dir():
        return read_folder(root / name, scaling or "cifar10", image_size, seed)
    if name in TORCHVISION:
        return read_torchvision(name, root, download, scaling)
    if not (root / name).is_dir():
        names = ", ".join(["digits", "spirals", "colored_digits", *TORCHVISION])
        raise MissingData(f"cannot find the data set {name!r}: it is none of {names}, and {root / name} is no folder")
    return read_folder(root / name, scaling or "folder", image_size, seed)
