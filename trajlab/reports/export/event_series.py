"""Results as TensorBoard's event files: a scalar for each series over the steps."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from urllib.parse import quote

import numpy as np
import xarray as xr

from trajlab.errors import MissingData
from trajlab.runs.disk.atomic import atomic
from trajlab.runs.disk.event_files import NAME, event_file

MOST = 1000
"""Series of a variable in a run at most."""


def write_events(results: Mapping[str, xr.Dataset], folder: Path) -> dict[str, str]:
    """Write a folder with an event file for each stage and run, and return the variables left out with the reason.

    Tags are the variable and its labels, such as ``relative/fc1.weight``; slashes and the like in names are escaped.

    Raises
    ------
    MissingData
        No variable is over steps.
    """
    left_out: dict[str, str] = {}
    files: dict[Path, bytes] = {}
    for stage, result in results.items():
        runs = result["run"].values.tolist() if "run" in result.dims else [None]
        for position, run in enumerate(runs):
            part = result if run is None else result.isel(run=position)
            table: dict[int, dict[str, float]] = {}
            for name, array in part.data_vars.items():
                series = array.size // max(array.sizes.get("step", 1), 1)
                if "step" not in array.dims or series > MOST:
                    why = (
                        f"{series:,} series are more than {MOST:,}" if "step" in array.dims else "it is not over steps"
                    )
                    left_out[f"{stage}.{name}"] = why
                    continue
                _add(table, str(name), array)
            if table:
                place = Path(_escaped(stage), *([] if run is None else [_escaped(run)]))
                rows = [(step, float(step), values) for step, values in sorted(table.items())]
                files[place / f"{NAME}.0.trajlab"] = event_file(rows)
    if not files:
        raise MissingData("cannot export to TensorBoard: no variable has values over steps; write a .csv")
    with atomic(folder) as part_folder:
        for place, content in files.items():
            (part_folder / place).parent.mkdir(parents=True, exist_ok=True)
            (part_folder / place).write_bytes(content)
    return left_out


def _add(table: dict[int, dict[str, float]], name: str, array: xr.DataArray) -> None:
    """Add the known values of a variable to a table of values by step and tag."""
    others = [str(dim) for dim in array.dims if dim != "step"]
    values = array.transpose(*others, "step").values.astype(np.float64)
    labels = [array[dim].values.tolist() if dim in array.coords else range(array.sizes[dim]) for dim in others]
    for place, chosen in zip(np.ndindex(*values.shape[:-1]), product(*labels), strict=True):
        tag = "/".join(_escaped(part) for part in (name, *chosen))
        for step, value in zip(array["step"].values.tolist(), values[place].tolist(), strict=True):
            if not np.isnan(value):
                table.setdefault(int(step), {})[tag] = value


def _escaped(name: object) -> str:
    """Return a name without slashes, and none that a file system reads as another folder.

    >>> _escaped("layer/1 a"), _escaped(".."), _escaped(1e-05)
    ('layer%2F1 a', '%2E%2E', '1e-05')
    """
    text = quote(str(name), safe=" .,-_:=[]()<>*+")
    return text.replace(".", "%2E") if not text.strip(".") else text
