"""Check the claims of an experiment against its results: ``python -m pipelines.claims initialization``.

The claims are the functions of pipelines/<experiment>/claims.py, in the order of the file. Each takes the opened
results by name and returns a `trajlab.reports.claims.Claim`. They only choose runs and take medians: a missing
statistic belongs into a stage. Each claim gets the settings that differ from its publication, and a verdict on the
experiment, from `pipelines.differences`. All this goes to data/claims/<experiment>.json, which ``trajlab report
--claims`` shows, and the verdicts and medians to the file of ``--metrics``, for ``dvc metrics diff``.
"""

import importlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr

from pipelines.differences import Publication
from trajlab.errors import BadSetting, MissingData, errors_in_one_line
from trajlab.reports.claims import Claim, Measured, write_claims
from trajlab.reports.page import open_results

FOLDER = Path(__file__).parent
"""Folder of the experiments."""

app = typer.Typer(pretty_exceptions_enable=False)


class Results(dict[str, xr.Dataset]):
    """Results by name; a missing one is an error that lists the others."""

    def __missing__(self, name: str) -> xr.Dataset:
        raise MissingData(f"a claim needs the result {name}; found {', '.join(self)}. Compute that stage, too.")


@app.command()
def main(
    experiment: Annotated[str, typer.Argument(help="Folder of the experiment in pipelines/.")],
    data: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("data"),
    metrics: Annotated[Path | None, typer.Option(help="JSON file of verdicts and medians to write, too.")] = None,
) -> None:
    """Check the claims of an experiment against its results."""
    results = Results(open_results(data / "results" / experiment))
    publication = Publication(FOLDER / experiment / "params.yaml", _images(results, experiment))
    claims = {
        function.__name__: _compared(function(results), function, publication) for function in claims_of(experiment)
    }
    write_claims(list(claims.values()), data / "claims" / f"{experiment}.json")
    if metrics is not None:
        metrics.write_text(json.dumps(summary(claims), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for claim in claims.values():
        print(f"{claim.holds:>6}  {claim.claim}  [{claim.verdict}]")


def summary(claims: Mapping[str, Claim]) -> dict[str, Any]:
    """Return verdicts and medians of claims by name, as DVC's metrics take them: numbers and text in nested mappings.

    >>> claim = Claim("It learns.", "yes", [Measured("loss", [1.0, 3.0])], "yes", verdict="repeated")
    >>> summary({"learns": claim})
    {'learns': {'holds': 'yes', 'verdict': 'repeated', 'median': {'loss': 2.0}}}
    """
    return {
        name: {
            "holds": claim.holds,
            "verdict": claim.verdict,
            "median": {line.what: _significant(np.median(finite)) for line in claim.measured
                       if (finite := _finite(line.values)).size},
        }
        for name, claim in claims.items()
    }  # fmt: skip


def claims_of(experiment: str) -> list[Callable[[Results], Claim]]:
    """Return the functions that check the claims of an experiment, in the order of its file."""
    try:
        module = importlib.import_module(f"pipelines.{experiment}.claims")
    except ModuleNotFoundError as error:
        raise BadSetting(f"cannot find claims of an experiment {experiment!r}: {error}") from error
    return [
        function
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    ]


def _compared(claim: Claim, function: Callable[[Results], Claim], publication: Publication) -> Claim:
    verdict, differences = publication.of_claim(function.__name__)
    return claim._replace(verdict=verdict, differences=differences)


def _images(results: Results, experiment: str) -> dict[str, int]:
    """Return the number of training images by study, as the runs recorded it."""
    images: dict[str, int] = {}
    for key, result in results.items():
        if "images" in result.coords:
            images[key.rpartition("/")[0] or experiment] = int(np.min(result["images"]))
    return images


def _finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    array = np.asarray(values, np.float64).ravel()
    return array[np.isfinite(array)]


def _significant(value: float) -> float:
    """Round to five significant digits, so that metrics are readable."""
    return float(f"{value:.5g}")


def of(array: xr.DataArray, **facts: Any) -> xr.DataArray:
    """Return the runs with these facts, such as ``init="zeros"``; a list means any of these.

    >>> losses = xr.DataArray([3.0, 2.0, 1.0], {"run": list("abc"), "init": ("run", ["x", "x", "y"])}, ("run",))
    >>> of(losses, init="x").values
    array([3., 2.])
    """
    chosen = np.ones(array.sizes["run"], bool)
    for name, value in facts.items():
        chosen &= np.isin(array[name].values, value)
    if not chosen.any():
        wanted = ", ".join(f"{name} {value}" for name, value in facts.items())
        raise MissingData(f"a claim needs runs with {wanted}; found only {', '.join(array['run'].values)}")
    return array.isel(run=np.flatnonzero(chosen))


def by_network(results: Results, stage: str) -> dict[str, xr.Dataset]:
    """Return the results of a stage by network, from names such as ``lenet_mnist/drift``.

    >>> sorted(by_network(Results({"lenet/drift": xr.Dataset(), "vgg/drift": xr.Dataset()}), "drift"))
    ['lenet', 'vgg']
    """
    return {name.partition("/")[0]: result for name, result in results.items() if name.partition("/")[2] == stage}


def last(array: xr.DataArray) -> xr.DataArray:
    """Return the values at the last step."""
    return array.isel(step=-1)


def middle(array: xr.DataArray) -> float:
    """Return the median over all runs as a number."""
    return float(np.median(array))


def measured(quantity: str, values: Mapping[Any, xr.DataArray | np.ndarray | list[float]], unit: str = "") -> list:
    """Return a line of measured values for each name.

    >>> [line.what for line in measured("loss", {"SGD": [1.0], "Adam": [2.0]})]
    ['loss, SGD', 'loss, Adam']
    """
    return [Measured(f"{quantity}, {name}", np.asarray(array), unit) for name, array in values.items()]


def medians(values: Mapping[Any, xr.DataArray], form: str = ".2g") -> str:
    """Write the median over the runs of each name, and "unknown" without any.

    >>> medians({"SGD": xr.DataArray([1.0, 2.0, 4.0]), "Adam": xr.DataArray([0.5])})
    'SGD 2, Adam 0.5'
    """
    texts = {name: f"{middle(array):{form}}" if array.size else "unknown" for name, array in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())


def increases(values: Sequence[xr.DataArray | np.ndarray]) -> list[bool]:
    """Return for each array but the first, and for each run, whether its value is larger than in the one before.

    >>> increases([np.array([1, 5]), np.array([2, 4])])
    [True, False]
    """
    return [bool(larger) for a, b in pairwise(values) for larger in (np.asarray(b) > np.asarray(a))]


def percent(share: float) -> str:
    """Write a share in whole per cent.

    >>> percent(0.95)
    '95 %'
    """
    return f"{share:.0%}".replace("%", " %")


def updates(results: Results) -> str:
    """Write the number of updates after which the networks of each study were last recorded.

    >>> after = xr.Dataset(coords={"step": [0, 1200]})
    >>> updates(Results({"lenet/drift": after, "vgg/drift": after.isel(step=[0])})), updates(Results(drift=after))
    ('Updates: lenet 1,200, vgg 0.', 'Updates: 1,200.')
    """
    ends: dict[str, int] = {}
    for key, result in results.items():
        if result.sizes.get("step"):
            study = key.rpartition("/")[0]
            ends[study] = max(ends.get(study, 0), int(result["step"][-1]))
    return f"Updates: {', '.join(f'{study} {count:,}'.strip() for study, count in ends.items())}."


def verdict(cases: Iterable[Any]) -> str:
    """Return whether a claim holds in all cases (yes), in some (partly), or in none (no)."""
    holds = [bool(case) for case in cases]
    return "yes" if holds and all(holds) else "partly" if any(holds) else "no"


if __name__ == "__main__":
    with errors_in_one_line("pipelines.claims"):
        app()
