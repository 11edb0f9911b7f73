"""Opening stored results."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from trajlab.errors import DamagedData, MissingData, TrajlabError
from trajlab.runs.disk.paths import as_path, reaching
from trajlab.schema import RESULT_VERSION, STORE_FILE


def read(result: str | Path | xr.Dataset) -> xr.Dataset:
    """Open a stored result, and compute a lazy one.

    Raises
    ------
    MissingData
        There is nothing at the path, or a folder of several results.
    DamagedData
        What is there is not a result, or one of another version.
    """
    if isinstance(result, xr.Dataset):
        where, opened = "the result", result
    else:
        folder = as_path(result)
        where = str(folder)
        with reaching(folder):
            if not folder.is_dir():
                raise MissingData(
                    f"a result was to be opened at {where}; there is none. Name a .zarr that a stage wrote."
                )
            if not (folder / STORE_FILE).exists():
                if held := sorted(folder.glob("*.zarr")):
                    raise MissingData(
                        f"a result was to be opened at {where}; it holds several results: "
                        f"{', '.join(path.stem for path in held)}. Name one of them."
                    )
                raise DamagedData(
                    f"a result was to be opened at {where}; it has no {STORE_FILE}. Compute the stage again."
                )
            try:
                with reaching(folder):
                    opened = xr.open_zarr(where, chunks=None).load()
            except TrajlabError:
                raise
            except Exception as error:  # what zarr raises for damaged metadata and chunks has no end
                said = " ".join((str(error) or repr(error)).split())[:200]
                raise DamagedData(
                    f"a result was to be opened at {where}; {type(error).__name__}: {said}. Compute the stage again."
                ) from error
    found = opened.attrs.get("Conventions", RESULT_VERSION if "stage" in opened.attrs else "nothing")
    if found != RESULT_VERSION:
        raise DamagedData(
            f"{where} was to be a result of version {RESULT_VERSION}; it says {found}. Compute the stage again."
        )
    return opened.compute() if any(variable.chunks for variable in opened.variables.values()) else opened


@contextmanager
def looked_at(where: str, result: xr.Dataset) -> Iterator[None]:
    """Say that a result is not what its stage gives, where looking at it fails."""
    try:
        yield
    except TrajlabError:
        raise
    except (LookupError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedData(
            f"{where} was to be looked at as a result of {result.attrs.get('stage', 'a stage')}; "
            f"{type(error).__name__}: {reason}. It is not what this version of the stage gives: compute it again."
        ) from error
