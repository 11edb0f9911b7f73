"""Several stages over the same runs: those that the runs can serve, and why not the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
import xarray as xr

from trajlab.errors import MissingData, OutputExists, TrajlabError
from trajlab.running.compute import write
from trajlab.running.cost import say_cost
from trajlab.running.left_out import say_left_out
from trajlab.running.options import RunOptions
from trajlab.running.settings import read_settings, settings_of
from trajlab.running.skipped_stages import skipped_stages
from trajlab.running.stage_command import lazy_result
from trajlab.running.step_source import say_step_source
from trajlab.schema import LEFT_OUT
from trajlab.stages import stage

CHEAP = ("learning_curves", "alerts", "change_points", "drift", "distribution", "gradient_statistics")
"""Stages that need one pass over the data, no model and no settings."""


def named_stages(text: str) -> list[str]:
    """Split the value of an option into the names of stages, which commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]


def lazy_results(
    names: Sequence[str], options: RunOptions, *, params: Path | None = None, required: bool = False
) -> tuple[dict[str, Any], str]:
    """Run several stages over runs, lazily, and say which the runs cannot serve.

    Parameters
    ----------
    names
        The stages.
    options
        The runs, and how they are read and replayed.
    params
        YAML file of settings.
    required
        Whether each stage must be served.

    Raises
    ------
    MissingData
        The runs can serve none of the stages, or not one that is required.
    BadSetting
        A setting makes no sense.
    """
    results: dict[str, Any] = {}
    errors: dict[str, TrajlabError] = {}
    for name in names:
        settings = read_settings(params, name, settings_of(stage(name)))
        try:
            results[name] = lazy_result(name, options, settings)
        except TrajlabError as error:  # of stages that nobody named, one that does not fit is no reason to stop
            if required:
                raise
            errors[name] = error
    words = skipped_stages(errors, len(names)) if errors else ""
    if errors and not results:
        if len(set(map(str, errors.values()))) == 1:
            raise next(iter(errors.values()))
        raise MissingData(f"cannot compute any stage of {options.run}: {words}; name a run that has what one needs")
    return results, words


def announce(results: Mapping[str, xr.Dataset], skipped: str) -> None:
    """Print to stderr which stages and tensors are left out, how steps were read, and which stages take long."""
    if skipped:
        typer.echo(f"trajlab: {skipped}", err=True)
    say_step_source(*(result.attrs for result in results.values()))
    say_left_out(*(result.attrs.get(LEFT_OUT, {}) for result in results.values()))
    for name, result in results.items():
        say_cost(name, result, settings_of(stage(name)), together=True)


def write_results(results: Mapping[Path, xr.Dataset], *, required: bool, **options: Any) -> str:
    """Compute results in one pass and write them; if one fails, each of the others on its own.

    Parameters
    ----------
    results
        Lazy results by the path to write them to.
    required
        Whether each must be written.
    options
        Options of `write`.

    Returns
    -------
    str
        Which failed and why; empty if none did.

    Raises
    ------
    OutputExists
        A path exists and must not be overwritten; nothing is computed.
    TrajlabError
        All failed, or one that is required.
    """
    try:
        write(results, **options)
        return ""
    except OutputExists:
        raise
    except TrajlabError:
        if required or len(results) == 1:
            raise
    errors: dict[str, TrajlabError] = {}
    for path, result in results.items():
        try:
            write({path: result}, **options)
        except TrajlabError as error:
            errors[path.stem] = error
    if len(errors) == len(results):
        raise next(iter(errors.values()))
    return skipped_stages(errors, len(results))
