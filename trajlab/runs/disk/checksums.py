"""Checksums of what is written through zarr, which verifies them at each read."""

from typing import Any

import xarray as xr
from zarr.codecs import Crc32cCodec, ZstdCodec


def checked_encoding(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the encoding of the variables of a dataset that adds a checksum (CRC-32C) to each compressed chunk."""
    return {str(name): {"compressors": (ZstdCodec(), Crc32cCodec())} for name in dataset.variables}
