"""Stored results, opened without reading their arrays."""

from pathlib import Path

import xarray as xr

from trajlab.runs.disk.inside import check_tree
from trajlab.runs.disk.paths import reaching
from trajlab.statistics.read import read


def read_lazily(path: Path) -> xr.Dataset:
    """Open a stored result without reading its arrays.

    Raises
    ------
    DamagedData
        The result is damaged, incomplete or of another version.
    """
    with reaching(path):
        check_tree(path, path)
        try:
            opened = xr.open_zarr(str(path), chunks=None)
        except Exception:  # zarr raises anything for damaged metadata; `read` says what to do
            opened = read(path)
    stage = str(opened.attrs.get("stage", path.stem))
    texts = {name: coord.astype(object) for name, coord in opened.coords.items() if coord.dtype.kind in "TU"}
    return read(opened).assign_attrs(stage=stage).assign_coords(texts)
