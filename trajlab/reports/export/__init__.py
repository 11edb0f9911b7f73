"""Results in the formats of other tools: tables, JSON, and TensorBoard."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.reports.export.event_series import write_events
from trajlab.reports.export.tables import as_csv, as_json, as_parquet
from trajlab.runs.disk.atomic import check_free, write_file
from trajlab.runs.disk.paths import as_path
from trajlab.statistics.read import read

WRITERS: dict[str, Callable[[Mapping[str, xr.Dataset]], bytes]] = {
    ".csv": as_csv,
    ".json": as_json,
    ".parquet": as_parquet,
}
"""What makes a file of results, by its ending. Any other name is that of a folder for TensorBoard."""


def export(
    results: str | Path, out: str | Path, *, variables: Sequence[str] = (), overwrite: bool = False
) -> dict[str, str]:
    """Write results as a table, as JSON, or as TensorBoard's event files, and return what was left out.

    Parameters
    ----------
    results
        A result, or a folder of results.
    out
        File to write, ``.csv``, ``.parquet`` or ``.json``; or else a folder of event files, one for each stage and run.
        Tables have a row for each value, with a column for each dim and fact; texts that a spreadsheet would compute
        are marked by an apostrophe.
    variables
        Names of variables, or patterns such as "total_*", that are written; by default all numeric ones.
    overwrite
        Whether a file that exists is replaced.

    Returns
    -------
    Variables that the format cannot hold, with the reason.

    Raises
    ------
    MissingData
        There is no result, or no variable of a name.
    BadSetting
        `out` has the ending of another format.
    OutputExists
        `out` exists and is not to be overwritten.
    """
    source, target = as_path(results), as_path(out)
    if target.suffix not in WRITERS and target.suffix:
        raise BadSetting(
            f"cannot write {target}: its ending must be one of {', '.join(WRITERS)}, or none for a folder of "
            "TensorBoard; change it"
        )
    if not overwrite or not target.suffix:
        check_free(target)
    chosen = _chosen(_results(source), variables)
    if not target.suffix:
        return write_events(chosen, target)
    write_file(target, WRITERS[target.suffix](chosen))
    return {}


def _results(source: Path) -> dict[str, xr.Dataset]:
    stores = [] if source.suffix == ".zarr" else sorted(source.glob("*.zarr"))
    return {path.stem: read(path) for path in stores or [source]}


def _chosen(results: Mapping[str, xr.Dataset], patterns: Sequence[str]) -> dict[str, xr.Dataset]:
    """Return the numeric variables that patterns name, or all."""
    chosen = {}
    for stage, result in results.items():
        numeric = [str(name) for name, array in result.data_vars.items() if array.dtype.kind in "fiub"]
        names = [name for name in numeric if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)]
        if names:
            chosen[stage] = result[names]
    if not chosen:
        available = sorted({str(name) for result in results.values() for name in result.data_vars})
        raise MissingData(
            f"cannot export {', '.join(patterns) or 'the results'}: the variables are {', '.join(available)}; name one"
        )
    return chosen
