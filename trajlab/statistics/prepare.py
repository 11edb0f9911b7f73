"""Preparing a result once for all figures, findings and tables of it."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.statistics.studies import GROUP, LABEL, group_names, run_labels


class Result(NamedTuple):
    """A result that is ready to be drawn, described and tabulated.

    Attributes
    ----------
    stage
        Name of the stage; empty if no stage made it.
    data
        Its variables. The runs of a study have the coords `LABEL`, their names without what all share, and `GROUP`,
        which runs have in common that differ in their seed only.
    """

    stage: str
    data: xr.Dataset


def prepare(result: xr.Dataset | Result) -> Result:
    """Name the stage of a result, shorten the names of its runs and group them; leave a prepared one as it is."""
    if isinstance(result, Result):
        return result
    data = result
    if "run" in data.dims:
        coords = {LABEL: run_labels(data), GROUP: group_names(data)}
        data = data.assign_coords({name: ("run", np.array(values, dtype=object)) for name, values in coords.items()})
    return Result(str(result.attrs.get("stage", "")), data)
