"""Facts and metrics of the runs of a page."""

from collections.abc import Mapping
from typing import Any

from trajlab.explorer.context import Context
from trajlab.runs.trajectory import Trajectory
from trajlab.statistics.metrics import LOSSES, VALIDATION_LOSSES


def facts_of(context: Context) -> dict[str, dict[str, Any]]:
    """Return recorded facts of each run, such as its hyperparameters, and the coords of results on `run`, by run."""
    facts: dict[str, dict[str, Any]] = {name: {} for name in context.runs}
    for name, run in context.collection.source.runs.items():
        described = run.facts.get("describe", {})
        facts[name] |= {key: value for key, value in described.items() if isinstance(value, str | int | float)}
    for result in context.results.values():
        for key, coord in result.coords.items():
            if coord.dims == ("run",) and key != "run":
                for name, value in zip(result["run"].values.astype(str), coord.values.tolist(), strict=True):
                    facts[name].setdefault(str(key), value)
    return facts


def metrics_of(runs: Mapping[str, Trajectory]) -> list[str]:
    """Return the names of the metrics of all runs, without repetition."""
    return list(dict.fromkeys(str(name) for run in runs.values() for name in run.metrics.data_vars))


def shown_metric(context: Context) -> str:
    """Return the selected metric, else the first loss, else the first metric; empty if there is none."""
    names = metrics_of(context.collection.source.runs)
    usual = [name for name in (*LOSSES, *VALIDATION_LOSSES) if name in names]
    return context.selection.metric if context.selection.metric in names else next(iter([*usual, *names]), "")
