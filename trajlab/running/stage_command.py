"""A stage as a command of the command line: its settings become options, its docstring their help."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from rich.markup import escape

from trajlab.errors import AmbiguousData
from trajlab.running.compute import write
from trajlab.running.cost import say_cost
from trajlab.running.help import description, parameter_help
from trajlab.running.inputs import needs_replay
from trajlab.running.left_out import say_left_out, say_totals_over
from trajlab.running.options import (
    READING_OPTIONS,
    Device,
    Model,
    On,
    Overwrite,
    Params,
    Parent,
    Probe,
    Run,
    RunOptions,
    Scheduler,
    Trust,
    UnitAxis,
    Workers,
)
from trajlab.running.run import RECORDED, run
from trajlab.running.settings import read_settings, settings_of
from trajlab.running.step_source import say_step_source
from trajlab.runs.disk.paths import as_path
from trajlab.runs.open import open as open_trajectory
from trajlab.runs.open import runs_in
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import LEFT_OUT
from trajlab.stages import stage


def stage_command(
    name: str,
    *,
    finish: Callable[[Callable[[], Any], dict[str, Any]], None] | None = None,
    extra: dict[str, Any] | None = None,
) -> Callable:
    """Return a function for typer that computes one stage.

    Parameters
    ----------
    name
        The stage.
    finish
        Called with a function that opens the run and returns the lazy result, and with the values of all options; by
        default the result is written to `out`.
    extra
        Annotations and defaults of more parameters, or of `out` in place of its own.
    """
    function = stage(name)
    settings = settings_of(function)
    helps = parameter_help(function)

    def command(ctx: typer.Context, **options: Any) -> None:
        set_here = {key: options[key] for key in settings if _on_command_line(ctx, key)}
        values = read_settings(options["params"], name, settings) | set_here
        said: list[str] = []

        def lazily() -> Any:
            result = lazy_result(name, RunOptions.of(options), values)
            if not said:
                said.append(name)
                say_step_source(result.attrs)
                say_left_out(result.attrs.get(LEFT_OUT, {}))
                say_totals_over(result.attrs)
                say_cost(name, result, settings)
            return result

        (finish or _write)(lazily, options)

    out = Annotated[Path, typer.Argument(parser=as_path, help="Zarr store to write the result to.")]
    arguments = {"run": (Run, ...), "out": (out, ...)} | (extra or {})
    replay = {"model": (Model, None), "probe": (Probe, None), "device": (Device, None), "unit_axis": (UnitAxis, None)}
    shared = {
        "on": (On, None), "parent": (Parent, None), **{key: (option, None) for key, option in READING_OPTIONS.items()},
        **(replay if needs_replay(function) else {}),
        "trust": (Trust, False), "params": (Params, None), "overwrite": (Overwrite, False),
        "workers": (Workers, None), "scheduler": (Scheduler, None),
    }  # fmt: skip
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [_parameter(key, annotation, default) for key, (annotation, default) in arguments.items()]
    for key, parameter in settings.items():
        option = typer.Option(help=escape(helps.get(key, "")), rich_help_panel="Settings")
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        parameters.append(_parameter(key, Annotated[_option_type(parameter), option], default))
    parameters += [_parameter(key, annotation, default) for key, (annotation, default) in shared.items()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = description(function)
    return command


def lazy_result(name: str, options: RunOptions, settings: dict[str, Any]) -> Any:
    """Run a stage over the run, or the folder of runs, at a path; lazily."""
    paths = runs_in(options.run)
    opened = partial(open_trajectory, trust=options.trust, key=options.key, parameters=options.parameters)
    chosen = partial(opened, step_pattern=options.step_pattern, series=options.series)
    trajectory = {run: chosen(path) for run, path in paths.items()} if paths else chosen(options.run)
    parent: Any = options.parent
    if parent is not None:
        parent = RECORDED if str(parent) == RECORDED else _opened_parent(parent, opened, chosen)
    probe = None
    if options.probe is not None:
        from trajlab.replays.probe_files import read_probe  # imports torch

        probe = read_probe(options.probe, run=next(iter(paths.values()), options.run), trust=options.trust)
    return run(
        name, trajectory, parent=parent, on=options.on, model=options.model, probe=probe, device=options.device,
        unit_axis=options.unit_axis or None, **settings,
    )  # fmt: skip


def _opened_parent(path: Path, *ways: Callable[[Path], Trajectory]) -> Trajectory:
    """Open the parent in the first of two ways that is not ambiguous: without the options that choose, or with them."""
    try:
        return ways[0](path)
    except AmbiguousData:
        return ways[1](path)


def _write(lazily: Callable[[], Any], options: dict[str, Any]) -> None:
    write(
        {options["out"]: lazily()},
        overwrite=options["overwrite"],
        workers=options["workers"],
        scheduler=options["scheduler"],
    )


def _on_command_line(ctx: typer.Context, option: str) -> bool:
    source = ctx.get_parameter_source(option)
    return source is not None and source.name != "DEFAULT"


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    empty = inspect.Parameter.empty if default is ... else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=empty)


def _option_type(parameter: inspect.Parameter) -> Any:
    """Return the type of an option; a setting that is a sequence becomes an option that can be repeated."""
    if get_origin(parameter.annotation) is Sequence:
        return list[get_args(parameter.annotation)[0]]  # type: ignore[misc]
    return parameter.annotation
