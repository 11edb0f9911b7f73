"""Reading stored results, and checking what they say of themselves."""

from pathlib import Path

import xarray as xr

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.bounds import check_sizes
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.inside import check_tree
from trajlab.runs.disk.paths import as_path, reaching
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.disk.store_nodes import nodes_of_store, unchanged
from trajlab.schema import RESULT_VERSION, STORE_FILE, family
from trajlab.statistics.wording import listed


def read(result: str | Path | xr.Dataset) -> xr.Dataset:
    """Read a stored result, or compute a lazy one, and check that it is whole.

    Raises
    ------
    MissingData
        Nothing is at the path, or a folder of several results.
    DamagedData
        The store is not a result, is one of another version, or lacks variables that its stage wrote.
    """
    if isinstance(result, xr.Dataset):
        where, opened = "the result", result
    else:
        where, opened = str(result), _opened(as_path(result))
    _check(opened, where)
    return opened.compute() if any(variable.chunks for variable in opened.variables.values()) else opened


def _opened(folder: Path) -> xr.Dataset:
    where = str(folder)
    with reaching(folder):
        if not folder.is_dir():
            raise MissingData(f"cannot open the result {where}: it does not exist; name a .zarr that a stage wrote.")
        if not (folder / STORE_FILE).exists():
            if stores := sorted(folder.glob("*.zarr")):
                names = ", ".join(path.stem for path in stores)
                raise MissingData(f"cannot open {where}: it holds several results ({names}); name one of them.")
            raise DamagedData(
                f"cannot open the result {where}: it has no {STORE_FILE}; name a .zarr that a stage wrote, or "
                "compute the stage again."
            )
        with reading(folder, "compute the stage again", form="a result"):
            check_tree(folder, folder)
            check_sizes(folder, nodes_of_store(folder))
            return unchanged(folder, lambda: xr.open_zarr(where, chunks=None).load())


def _check(result: xr.Dataset, where: str) -> None:
    """Raise if a result has another version than this one, or lost a variable that its stage wrote.

    A Dataset that no stage made, without the attrs that `trajlab.run` adds, passes.
    """
    version = result.attrs.get("Conventions", RESULT_VERSION if "stage" in result.attrs else "none")
    if version != RESULT_VERSION:
        raise DamagedData(
            f"cannot read {where}: it is a result of version {version}, and this is trajlab for {RESULT_VERSION}; "
            "compute the stage again."
        )
    if lacking := [f"`{name}`" for name in result.attrs.get("variables", ()) if name not in result.data_vars]:
        raise DamagedData(
            f"cannot read {where}: it lacks {listed(lacking)}, which {result.attrs.get('stage', 'its stage')} of "
            f"trajlab {result.attrs.get('trajlab', '(unknown version)')} wrote; compute the stage again."
        )


def holds_results(folder: Path) -> bool:
    """Return whether a folder is a stored result, or holds some, directly or in its folders."""
    stores = [folder, *sorted(folder.glob("*.zarr")), *sorted(folder.glob("*/*.zarr"))]
    return any(conventions(store) == family(RESULT_VERSION) for store in stores)


def conventions(path: Path) -> str:
    """Return the conventions of a Zarr group, without their version; empty for other folders.

    Raises
    ------
    TrajlabError
        The object store cannot be reached.
    """
    try:
        with reaching(path):
            try:
                content = read_bytes(path / STORE_FILE)
            except FileNotFoundError:  # behind a URL too, where `reaching` would say that the store cannot be reached
                return ""
        return family(parse_json(content)["attributes"].get("Conventions"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
