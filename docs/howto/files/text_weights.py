"""Weights as text: a line with the name and the shape, then a line with the values."""

from typing import Any

import numpy as np

from trajlab.runs.readers.formats import Entry, Header

SUFFIXES = (".weights.txt",)


def read_header(path: str, cache: dict[Any, Any], /) -> Header:
    """Read what a file holds: for each tensor a line such as ``layer.weight 2 3``."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    entries = {}
    for line in lines[::2]:
        name, *shape = line.split()
        entries[name] = Entry(tuple(map(int, shape)), np.dtype("float32"))
    return Header(entries, {}, load=load, in_network_order=True)


def load(path: str, name: str) -> np.ndarray:
    """Read one tensor."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for line, values in zip(lines[::2], lines[1::2], strict=True):
        if line.split()[0] == name:
            return np.array(values.split(), "float32").reshape([int(size) for size in line.split()[1:]])
    raise KeyError(name)
