"""Formats of checkpoint files: each module of this folder is one.

A new format is a new file here that has the two names of `Format`. A format of your own, in a module or a class of
yours, is passed to `trajlab.open` as ``formats=[...]``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Entry:
    """One tensor of a file.

    Parameters
    ----------
    shape, stored
        Shape and element type.
    offset
        Position of its first byte in the file, where its values lie raw, little-endian and in C order; None where
        they do not, and the file is read with `Header.load` instead.
    """

    shape: tuple[int, ...]
    stored: np.dtype
    offset: int | None = None


@dataclass(frozen=True, eq=False)
class Header:
    """What a file holds.

    Parameters
    ----------
    entries
        The tensors by name.
    metadata
        Notes of the file; counters of training, such as "global_step" and "epoch", if it states any.
    load
        Function of a path and a name that reads a tensor which has no offset.
    in_network_order
        Whether the entries are in the order of the network's modules, as far as the file says it; they are sorted by
        name otherwise.
    networks
        Keys of the networks in the file; the names of their entries begin with them and a dot. Empty for a file that
        is the state of one network.
    left_out
        Tensors that cannot be analyzed by name, with the reason.
    holds
        What a file without weights holds, in words.
    """

    entries: dict[str, Entry]
    metadata: dict[str, str]
    load: Callable[[str, str], np.ndarray] | None = None
    in_network_order: bool = False
    networks: tuple[str, ...] = ("",)
    left_out: dict[str, str] = field(default_factory=dict)
    holds: str = ""


class Format(Protocol):
    """A format of checkpoint files. Reading must not run code that a file brings.

    Attributes
    ----------
    SUFFIXES
        How names of its files end, with the dot.
    """

    SUFFIXES: tuple[str, ...]

    def read_header(self, path: str, cache: dict[Any, Any], /) -> Header:
        """Read what a file holds, without its tensors where the format allows.

        Parameters
        ----------
        path
            The file, or its URL; `trajlab.runs.disk.remote.open_bytes` opens both.
        cache
            Empty at the first file of a folder and shared by all: files that say the same may share one header.

        Raises
        ------
        DamagedData
            The file is cut off or is not of this format.
        """


MOST_DIMS = 32
"""Most dims of a tensor; numpy allows 64, and xarray and Zarr add some to those of a tensor."""

PREFERRED = ("safetensors", "distributed", "torch_files")
"""Formats that are looked for first in a folder with files of several."""


@cache
def own_formats() -> tuple[Format, ...]:
    """Return the formats in this folder, those that are preferred first."""
    names = [*PREFERRED, *sorted({module.name for module in iter_modules(__path__)} - {*PREFERRED})]
    return tuple(import_module(f"{__name__}.{name}") for name in names)


def format_of(name: str, formats: Sequence[Format]) -> Format | None:
    """Return the format of a file by its name, None if it is of none."""
    return next((candidate for candidate in formats if name.endswith(candidate.SUFFIXES)), None)
