"""Hold the claims of an experiment against its results: ``python -m pipelines.claims initialization``.

The claims are the functions of pipelines/<experiment>/claims.py, in the order they stand there. Each takes the opened
results by name and gives a `trajlab.reports.claims.Claim`. Nothing is computed here but the choice of runs and their
median: a statistic that is missing belongs into a stage. The verdicts go to data/claims/<experiment>.json, which
``trajlab report --claims`` shows.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr

from trajlab.errors import BadSetting, MissingData, TrajlabError
from trajlab.reports.claims import Claim, write_claims
from trajlab.reports.page import open_results

app = typer.Typer(pretty_exceptions_enable=False)


class Results(dict[str, xr.Dataset]):
    """Results by name; asking for one that was not computed says which there are."""

    def __missing__(self, name: str) -> xr.Dataset:
        raise MissingData(f"a claim needs the result {name}; there are {', '.join(self)}. Compute that stage too.")


@app.command()
def main(
    experiment: Annotated[str, typer.Argument(help="Folder of the experiment in pipelines/.")],
    data: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("data"),
) -> None:
    """Hold the claims of an experiment against its results."""
    results = Results(open_results(data / "results" / experiment))
    claims = [function(results) for function in claims_of(experiment)]
    write_claims(claims, data / "claims" / f"{experiment}.json")
    for one in claims:
        print(f"{one.holds:>6}  {one.claim}")


def claims_of(experiment: str) -> list[Callable[[Results], Claim]]:
    """Give the functions that state the claims of an experiment, in the order they stand in its file."""
    try:
        module = importlib.import_module(f"pipelines.{experiment}.claims")
    except ModuleNotFoundError as error:
        raise BadSetting(f"no claims of an experiment {experiment!r}: {error}") from error
    return [
        function
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    ]


def of(array: xr.DataArray, **facts: Any) -> xr.DataArray:
    """Choose the runs of which these facts hold, such as ``init="zeros"``; a list means any of these.

    >>> losses = xr.DataArray([3.0, 2.0, 1.0], {"run": list("abc"), "init": ("run", ["x", "x", "y"])}, ("run",))
    >>> of(losses, init="x").values
    array([3., 2.])
    """
    chosen = np.ones(array.sizes["run"], bool)
    for name, value in facts.items():
        chosen &= np.isin(array[name].values, value)
    if not chosen.any():
        asked = ", ".join(f"{name} {value}" for name, value in facts.items())
        raise MissingData(f"a claim needs runs with {asked}; there are none among {', '.join(array['run'].values)}")
    return array.isel(run=np.flatnonzero(chosen))


def last(array: xr.DataArray) -> xr.DataArray:
    """Give the values at the last step."""
    return array.isel(step=-1)


def middle(array: xr.DataArray) -> float:
    """Give the median over all runs that are there, as a number."""
    return float(np.median(array))


def updates(results: Results) -> str:
    """Say after how many updates the networks of each study were last looked at.

    >>> after = xr.Dataset(coords={"step": [0, 1200]})
    >>> updates(Results({"lenet/drift": after, "vgg/drift": after.isel(step=[0])})), updates(Results(drift=after))
    ('Updates: lenet 1,200, vgg 0.', 'Updates: 1,200.')
    """
    found: dict[str, int] = {}
    for key, result in results.items():
        if result.sizes.get("step"):
            study = key.rpartition("/")[0]
            found[study] = max(found.get(study, 0), int(result["step"][-1]))
    return f"Updates: {', '.join(f'{study} {count:,}'.strip() for study, count in found.items())}."


def verdict(each: Iterable[Any]) -> str:
    """Say whether a claim holds: in each case, in none, or in part."""
    found = [bool(one) for one in each]
    return "yes" if found and all(found) else "partly" if any(found) else "no"


if __name__ == "__main__":
    try:
        app()
    except TrajlabError as error:
        sys.exit(f"error: {error}")
