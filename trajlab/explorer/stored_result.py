"""Stored results, opened without reading their arrays."""

from pathlib import Path

import numpy as np
import xarray as xr

from trajlab.errors import DamagedData
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
    steps = opened["step"].values if "step" in opened.indexes else np.empty(0)
    if not (steps[1:] > steps[:-1]).all():
        raise DamagedData(
            f"cannot read {path} as a result: its steps do not increase ({', '.join(map(str, steps[:3]))}, …), so files"
            " of it are missing; compute the stage again"
        )
    stage = str(opened.attrs.get("stage", path.stem))
    texts = {name: coord.astype(object) for name, coord in opened.coords.items() if coord.dtype.kind in "TU"}
    return read(opened).assign_attrs(stage=stage).assign_coords(texts)
