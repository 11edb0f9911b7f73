"""The command line: one command for each stage, and those around them."""

import errno
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trajlab.errors import TrajlabError
from trajlab.running.commands import (
    Device,
    Given,
    Model,
    On,
    Overwrite,
    Params,
    Parent,
    Probe,
    Run,
    Scheduler,
    StepPattern,
    Workers,
    compute_lazily,
    is_stage,
    read_section,
    stage_command,
    stages_by_panel,
)
from trajlab.runs.disk.paths import as_path
from trajlab.stages import stage_names


class _Group(TyperGroup):
    """Commands of which the stages are imported only when they are called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and is_stage(args[0]):
            from trajlab.running.alerts_command import alerts_command

            only = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            only.command(args[0])(alerts_command() if args[0] == "alerts" else stage_command(args[0]))
            self.commands[args[0]] = typer.main.get_command(only)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What happened in there? Offline analysis of neural-network training trajectories.",
    epilog="Exit codes: 0 done, 1 an error that is told in one line, 2 wrong usage.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trajlab {version('trajlab')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


@app.command()
def info(
    run: Run,
    tensors: Annotated[bool, typer.Option(help="List every parameter.")] = True,
    step_pattern: StepPattern = None,
) -> None:
    """Say what is in a run: steps, gaps, parameters, sizes, and what is missing. No tensor is read."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from trajlab.runs.inventory import inventory
    from trajlab.runs.trajectory import open as open_trajectory
    from trajlab.runs.trajectory import runs_in

    console = Console(soft_wrap=True)
    for number, path in enumerate(list(runs_in(run).values()) or [run]):
        held = inventory(open_trajectory(path, step_pattern=step_pattern))
        if number:
            console.print()
        width = max(len(title) for title, _ in held.facts)
        for title, text in held.facts:
            console.print(f"[bold]{title:>{width}}[/]  {escape(text)}", highlight=False)
        if tensors:
            table = Table("parameter", "kind", "shape", "type", "snapshots", "gradients", box=None, pad_edge=False)
            for row in held.tensors:
                table.add_row(*(escape(str(cell)) for cell in row))
            console.print()
            console.print(table)
        for note in held.missing:
            console.print(f"[yellow]note[/]  {escape(note)}", highlight=False)


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(parser=as_path, help="A folder of snapshots, or a folder of runs.")],
    store: Annotated[
        Path, typer.Argument(parser=as_path, help="The store to write; for a folder of runs, the folder of stores.")
    ],
    step_pattern: StepPattern = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
) -> None:
    """Write a run as one Zarr store that plain xarray opens; packing again adds only the new steps."""
    from trajlab.running.compute import computing
    from trajlab.runs.pack import pack as pack_run
    from trajlab.runs.trajectory import open as open_trajectory
    from trajlab.runs.trajectory import runs_in

    runs = {path: store / f"{name}.zarr" for name, path in runs_in(source).items()} or {source: store}
    for path, target in runs.items():
        with computing(f"pack {target.name}", workers=workers):
            pack_run(open_trajectory(path, step_pattern=step_pattern), target, overwrite=overwrite)


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(parser=as_path, help="A folder of checkpoints, in any layout.")],
    run: Annotated[Path, typer.Argument(parser=as_path, help="The run folder to write.")],
    step_pattern: StepPattern = None,
) -> None:
    """Write anybody's checkpoints as a run folder of safetensors snapshots."""
    from trajlab.runs.import_checkpoints import import_checkpoints

    import_checkpoints(source, run, step_pattern=step_pattern)


@app.command("run")
def run_stages(
    run: Run,
    out: Annotated[Path, typer.Argument(parser=as_path, help="The folder that gets one <stage>.zarr for each stage.")],
    stages: Annotated[
        str, typer.Option(help="Stages, separated by commas; all that the run can serve by default.")
    ] = "",
    params: Params = None,
    on: On = None,
    parent: Parent = None,
    step_pattern: StepPattern = None,
    model: Model = None,
    probe: Probe = None,
    device: Device = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Compute several stages in one pass over the data."""
    from trajlab.errors import MissingData
    from trajlab.running.compute import write
    from trajlab.running.settings import settings_of
    from trajlab.stages import stage

    given = Given(run, parent, on, step_pattern, model, probe, device)
    results = {}
    for name in [one.strip() for one in stages.split(",") if one.strip()] or stage_names():
        settings = read_section(params, name, settings_of(stage(name)))
        try:
            results[out / f"{name}.zarr"] = compute_lazily(name, given, settings)
        except MissingData as error:
            if stages:
                raise
            typer.echo(f"trajlab: {name} is left out: {error}", err=True)
    write(results, overwrite=overwrite, workers=workers, scheduler=scheduler)


@app.command()
def figure(
    result: Annotated[Path, typer.Argument(parser=as_path, help="A result, as a stage wrote it.")],
    out: Annotated[
        Path,
        typer.Argument(
            parser=as_path, help="The picture: a .png, .svg or .pdf, or a .gif, .webp, .apng or .mp4 that moves."
        ),
    ],
    variable: Annotated[str | None, typer.Option(help="Variable to draw; a good one by default.")] = None,
    run: Annotated[str | None, typer.Option(help="Run to draw, if the result holds several.")] = None,
    parameter: Annotated[str | None, typer.Option(help="Parameter to draw, for pictures of one.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to draw, for pictures of one.")] = None,
    tau: Annotated[float | None, typer.Option(help="Threshold to draw, for results that have several.")] = None,
    steps: Annotated[str | None, typer.Option(metavar="A:B", help="Steps to draw: 100:200, 100:, :200, 100.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a result, or let it move: filters, unit_lines, distribution and embedding do, over the steps."""
    from trajlab.figures import save

    save(
        result, out, variable=variable, run=run, parameter=parameter, layer=layer, tau=tau, steps=steps,
        overwrite=overwrite,
    )  # fmt: skip


@app.command()
def network(
    run: Run,
    out: Annotated[Path, typer.Argument(parser=as_path, help="The picture: a .svg, .png or .pdf.")],
    model: Model = None,
    probe: Probe = None,
    step_pattern: StepPattern = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw the network of a run: its modules, their shapes, and what feeds what."""
    from trajlab.figures.network import save_network
    from trajlab.replays.probe_files import read_probe
    from trajlab.runs.trajectory import open as open_trajectory
    from trajlab.runs.trajectory import runs_in

    trajectory = open_trajectory(next(iter(runs_in(run).values()), run), step_pattern=step_pattern)
    given = None if probe is None else read_probe(probe)
    save_network(trajectory.with_model(model, probe=given), out, overwrite=overwrite)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(parser=as_path, help="A folder of results.")],
    out: Annotated[Path, typer.Argument(parser=as_path, help="The page, one self-contained HTML file.")],
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(parser=as_path, help="Write headline numbers of each run as JSON here.")
    ] = None,
    claims: Annotated[
        Path | None,
        typer.Option(parser=as_path, help="JSON file of claims, shown first."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a page that says what happened: findings first, then each stage's figures and tables."""
    from trajlab.reports.page import report as write_report

    write_report(results, out, title=title, metrics=metrics, claims=claims, overwrite=overwrite)


def _stub(name: str, words: str, panel: str) -> None:
    """List a stage; `_Group` puts the real command in its place when it is called."""
    app.command(name, help=words, rich_help_panel=panel)(lambda: None)


for _stage in stages_by_panel():
    _stub(*_stage)


INTERRUPTED = 130
"""Exit code after ctrl-C or SIGTERM."""


def _stop(signal_number: int, frame: Any) -> None:
    """End as on ctrl-C, so that what is half written is removed."""
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; errors that a user can act on are one line on standard error."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except TrajlabError as error:
        typer.echo(f"trajlab: {error}".replace("\n", " "), err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != INTERRUPTED:
            raise
        typer.echo("trajlab: interrupted; nothing half-written is left.", err=True)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # threads that were starting or computing are not waited for
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in (
            errno.ENOSPC,
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOENT,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.ENAMETOOLONG,
        ):
            raise
        typer.echo(f"trajlab: {error.filename or 'a file'} was to be read or written; {error.strerror}.", err=True)
        sys.exit(1)
