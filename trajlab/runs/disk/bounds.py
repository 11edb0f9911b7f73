"""A bound on the memory that the metadata of compressed arrays may ask for."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trajlab.runs.disk.paths import is_url

FREE_BYTES = 1 << 28
"""Bytes that an array may state whatever lies on disk."""

ITEM_BYTES = 8
"""Bytes of a value, whatever its type."""

BEST_COMPRESSION = 40_000
"""Bytes that one byte on disk may unpack to; Zstandard reaches about 30,000 for zeros."""


def check_sizes(root: Path, nodes: Mapping[str, Any]) -> None:
    """Raise ValueError if arrays state far more values than their chunks can hold.

    Zarr fills chunks that are missing, so that a few bytes of metadata could take all memory.

    Parameters
    ----------
    root
        The Zarr group; those behind a URL are not checked.
    nodes
        Metadata of arrays and groups by their paths in it, as zarr.json consolidates them.
    """
    for name, node in nodes.items():
        if node["node_type"] != "array" or is_url(root):
            continue
        size = math.prod(node["shape"]) * ITEM_BYTES
        if size > FREE_BYTES:
            files = (os.path.join(at, file) for at, _, names in os.walk(root / name) for file in names)
            stored = sum(map(os.path.getsize, files))
            if size > BEST_COMPRESSION * stored:
                raise ValueError(f"{name} states {size:,} bytes, but has {stored:,} on disk")
