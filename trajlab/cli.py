"""The command line: one command for each stage, and those around them."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from trajlab.errors import DEBUG, BadSetting, errors_in_one_line
from trajlab.running.current_folder import ignore_current_folder
from trajlab.running.help import stages_by_panel, unwrapped
from trajlab.running.interrupt import interruptible
from trajlab.running.options import (
    Device,
    Model,
    On,
    Overwrite,
    Params,
    Parent,
    Probe,
    Reading,
    Run,
    RunOptions,
    Scheduler,
    Trust,
    UnitAxis,
    Workers,
    with_reading_options,
)
from trajlab.runs.disk.paths import as_path
from trajlab.stages import stage, stage_names
from trajlab.terminal import open_closed_streams

HELP = """\
What happened in there? Offline analysis of neural-network training trajectories.

Look into a folder of checkpoints, or compute stages of all runs of a study and write the report. Each stage is a \
command, too, and `trajlab drift --help` lists its settings.

\b
  trajlab info checkpoints/
  trajlab report checkpoints/
  trajlab run runs/ results/ --stages drift,alerts
  trajlab report results/ report.html
"""


OF_RUNS = "If PATH holds runs or checkpoints"


class _Group(TyperGroup):
    """Import a stage only when its command is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in stage_names():
            name = args[0]
            from trajlab.running.alerts_command import alerts_command
            from trajlab.running.help import result_help
            from trajlab.running.stage_command import stage_command

            function = alerts_command() if name == "alerts" else stage_command(name)
            only = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            only.command(name, epilog=result_help(stage(name)))(function)
            self.commands[name] = typer.main.get_command(only)
        called, command, rest = super().resolve_command(ctx, args)
        if command is not None and command.help:
            command.help = unwrapped(command.help)
        return called, command, rest


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=HELP,
    epilog="Exit codes: 0 success, 1 error (one line on stderr), 2 usage error, 3 bug, 130 interrupted.",
)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"trajlab {version('trajlab')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback, with all causes, below an error.")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


@app.command()
@with_reading_options
def info(
    run: Run,
    *,
    tensors: Annotated[bool, typer.Option(help="List every parameter.")] = True,
    reading: Reading,
    trust: Trust = False,
    follow: Annotated[
        bool, typer.Option(help="Print a line whenever the run has grown, until its Recorder closes it or ctrl-C.")
    ] = False,
) -> None:
    """Show what a run holds and what it lacks: steps, gaps, parameters, sizes. No tensor is read.

    A table lists each parameter with its kind, shape, type and number of snapshots and gradients. With --follow, a
    line is added whenever the run has grown: time, run, last step, number of snapshots, last step with gradients, and
    the last value of each metric.
    """
    from trajlab.running.info_command import print_inventories

    print_inventories(run, reading, trust=trust, tensors=tensors, follow=follow)


@app.command()
@with_reading_options
def pack(
    source: Annotated[Path, typer.Argument(parser=as_path, help="A folder of checkpoints, or a folder of runs.")],
    store: Annotated[
        Path, typer.Argument(parser=as_path, help="Zarr store to write; for a folder of runs, the folder of stores.")
    ],
    *,
    optimizer: Annotated[
        bool, typer.Option(help="Keep the state of the optimizer, if there is one: Adam's is twice the weights.")
    ] = True,
    reading: Reading,
    trust: Trust = False,
    overwrite: Overwrite = False,
    workers: Workers = None,
) -> None:
    """Write a run as one Zarr store that plain xarray opens. Packing again adds only the new steps."""
    from trajlab.running.compute import computing
    from trajlab.running.left_out import left_out_of, say_left_out
    from trajlab.running.open_run import open_run
    from trajlab.runs.open import runs_in
    from trajlab.runs.pack import pack as pack_run

    runs = {path: store / f"{name}.zarr" for name, path in runs_in(source).items()} or {source: store}
    for path, target in runs.items():
        with computing(f"pack {target.name}", workers=workers):
            trajectory = open_run(path, reading, trust=trust)
            say_left_out(left_out_of(trajectory))
            pack_run(trajectory, target, optimizer=optimizer, overwrite=overwrite)


@app.command("import")
@with_reading_options
def import_(
    source: Annotated[Path, typer.Argument(parser=as_path, help="A folder of checkpoints in any layout.")],
    run: Annotated[Path, typer.Argument(parser=as_path, help="Run folder to write.")],
    *,
    reading: Reading,
    trust: Trust = False,
) -> None:
    """Convert a folder of checkpoints to a run folder of safetensors snapshots."""
    from trajlab.running.left_out import left_out_of, say_left_out
    from trajlab.running.open_run import open_run
    from trajlab.runs.import_checkpoints import import_checkpoints

    trajectory = open_run(source, reading, trust=trust)
    say_left_out(left_out_of(trajectory))
    import_checkpoints(trajectory, run)


@app.command()
def check(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=as_path, metavar="PATH...", help="Packed stores, results, recorded runs, or folders of these."
        ),
    ],
) -> None:
    """Read stores, results and recorded runs whole, and compare every byte with its checksum.

    Each that is as written is printed with the number of its arrays or files. If one is damaged, the error names the
    damaged pieces once all are checked.
    """
    from trajlab.running.check_command import check_all

    check_all(paths)


@app.command()
@with_reading_options
def prune(
    run: Annotated[Path, typer.Argument(parser=as_path, help="A run: a packed store, or a folder of checkpoints.")],
    out: Annotated[Path, typer.Argument(parser=as_path, help="Run folder to write: one checkpoint, and its mask.")],
    *,
    step: Annotated[int, typer.Option(help="Recorded step; 0 is the first and -1 the last.")] = -1,
    threshold: Annotated[float, typer.Option(help="Set weights below this size to zero.")] = 0.0,
    relative: Annotated[float, typer.Option(help="Set weights below that multiple of their tensor's RMS to zero.")] = 0,
    layers: Annotated[
        list[str] | None, typer.Option(help="Prune only these parameters or modules, names or patterns; repeatable.")
    ] = None,
    dead: Annotated[bool, typer.Option(help="Remove the units of ReLUs that are dead on the probe.")] = False,
    model: Model = None,
    probe: Probe = None,
    trust: Trust = False,
    reading: Reading,
) -> None:
    """Prune a snapshot by size, layer or dead units: write the checkpoint and the mask of what was kept.

    OUT holds one checkpoint, the probe, and `mask.safetensors` with a boolean tensor for each parameter, False where an
    entry was set to zero. The line that is printed counts the entries set to zero and the units removed, and says
    how much the outputs on the probe changed.
    """
    from trajlab.running.open_run import open_run
    from trajlab.running.prune_command import write_pruned

    trajectory = open_run(run, reading, trust=trust)
    if probe is not None or model is not None:
        from trajlab.replays.probe_files import read_probe

        trajectory = trajectory.with_model(
            model, probe=None if probe is None else read_probe(probe, run=run, trust=trust)
        )
    settings: dict[str, Any] = {"threshold": threshold, "relative": relative, "layers": layers or (), "dead": dead}
    typer.echo(write_pruned(trajectory, out, step=step, **settings))


@app.command("run")
@with_reading_options
def run_stages(
    run: Run,
    out: Annotated[Path, typer.Argument(parser=as_path, help="Folder to write a <stage>.zarr to for each stage.")],
    *,
    stages: Annotated[
        str, typer.Option(metavar="A,B,C", help="Stages, separated by commas; by default all that the run can serve.")
    ] = "",
    on: On = None,
    parent: Parent = None,
    reading: Reading,
    model: Model = None,
    probe: Probe = None,
    device: Device = None,
    unit_axis: UnitAxis = None,
    trust: Trust = False,
    params: Params = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Compute several stages in one pass over the data.

    OUT holds a result for each, a Zarr store that `trajlab report`, `trajlab figure` and xarray read. Stages that the
    run cannot serve are named on stderr, with the reason.
    """
    from trajlab.running.several import announce, lazy_results, named_stages, write_results

    options = RunOptions(
        run, parent=parent, on=on, model=model, probe=probe, device=device, unit_axis=unit_axis, trust=trust, **reading
    )
    named = named_stages(stages)
    results, skipped = lazy_results(named or stage_names(), options, params=params, required=bool(named))
    announce(results, skipped)
    stores = {out / f"{name}.zarr": result for name, result in results.items()}
    failed = write_results(stores, required=bool(named), overwrite=overwrite, workers=workers, scheduler=scheduler)
    if failed:
        typer.echo(f"trajlab: {failed}", err=True)


@app.command()
@with_reading_options
def explain(
    run: Run,
    *,
    step: Annotated[int, typer.Option(help="Step to explain.")],
    window: Annotated[
        int | None,
        typer.Option(
            help="Number of optimizer steps to look back; by default 50, or ten recorded steps if these span more."
        ),
    ] = None,
    reading: Reading,
    params: Params = None,
) -> None:
    """Say what was unusual before a step, in the order in which it began, and what usually means that.

    A sentence is printed for each quantity that left its own past: step, norm, update, gradient or metric, tensor, and
    by how much. The last sentence is what usually means this. Each run of a folder has a paragraph.
    """
    from trajlab.running.explain import explain as explain_step
    from trajlab.running.open_run import open_run
    from trajlab.running.settings import read_settings, settings_of
    from trajlab.runs.open import runs_in

    settings = read_settings(params, "change_points", settings_of(stage("change_points")))
    runs = runs_in(run)
    for name, path in runs.items() or [("", run)]:
        explanation = explain_step(open_run(path, reading), step, window=window, **settings)
        typer.echo(f"{name}\n{explanation}\n" if name else str(explanation))


@app.command()
def figure(
    result: Annotated[Path, typer.Argument(parser=as_path, help="Result of a stage.")],
    out: Annotated[
        Path,
        typer.Argument(
            parser=as_path, help="Image to write (.png, .svg or .pdf), or animation (.gif, .webp, .apng or .mp4)."
        ),
    ],
    variable: Annotated[str | None, typer.Option(help="Variable to draw; by default one that suits the stage.")] = None,
    run: Annotated[str | None, typer.Option(help="Run to draw, of a result of several.")] = None,
    parameter: Annotated[str | None, typer.Option(help="Parameter to draw, in figures of one.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to draw, in figures of one.")] = None,
    tau: Annotated[float | None, typer.Option(help="Threshold to draw, of a result with several.")] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="A:B", help="Steps to draw, as 100:200, 100:, :200 or 100.")
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="DIM=LABEL", help="Label to draw of any other dim, such as input=gaussian; repeatable."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Width and height of a still picture in inches, such as 3.5x2.5.")
    ] = None,
    dpi: Annotated[float | None, typer.Option(help="Dots per inch of a still picture; by default 160.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a result, or animate one of filters, unit_lines, distribution or embedding over the steps."""
    from trajlab.figures import save

    labels = {}
    for text in at or []:
        dim, equals, label = text.partition("=")
        if not (dim and equals and label) or dim in labels:
            raise BadSetting(f"cannot draw --at {text!r}: write DIM=LABEL, such as input=gaussian, once for each dim")
        labels[dim] = label
    save(
        result, out, variable=variable, run=run, parameter=parameter, layer=layer, tau=tau, steps=steps, at=labels,
        size=size, dpi=dpi, overwrite=overwrite,
    )  # fmt: skip


@app.command()
def export(
    results: Annotated[Path, typer.Argument(parser=as_path, help="Result of a stage, or a folder of results.")],
    out: Annotated[
        Path,
        typer.Argument(parser=as_path, help="File to write (.csv, .parquet or .json), or a folder for TensorBoard."),
    ],
    variable: Annotated[
        list[str] | None,
        typer.Option(help="Variable to write, or a pattern such as total_*; repeatable. By default all."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write results for other tools: a table with a row for each value, JSON, or TensorBoard's event files.

    The columns of a table are the stage, the variable, its labels (step, run, parameter, and others) and the value.
    JSON has attrs, coords and variables of each stage. Event files have a scalar for each series over the steps, in a
    folder for each stage and run; variables that are not over steps are left out, and named on stderr.
    """
    from trajlab.reports.export import export as write_export
    from trajlab.statistics.wording import count

    left_out = write_export(results, out, variables=variable or (), overwrite=overwrite)
    if left_out:
        some = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:5])
        more = "; …" if len(left_out) > 5 else ""
        typer.echo(f"trajlab: left out {count(len(left_out), 'variable')} ({some}{more})", err=True)


@app.command()
@with_reading_options
def network(
    run: Run,
    out: Annotated[Path, typer.Argument(parser=as_path, help="Image to write (.svg, .png or .pdf).")],
    *,
    model: Model = None,
    probe: Probe = None,
    trust: Trust = False,
    reading: Reading,
    overwrite: Overwrite = False,
) -> None:
    """Draw the network of a run and list its modules: output sizes, parameters and multiply–adds of one sample.

    The image is written to OUT. The table that is printed has a row for each module in the order of the pass: name,
    class, output size, parameters and multiply–adds, with their sums. Of a folder of runs, the first is drawn.
    """
    from trajlab.figures.network import save_network
    from trajlab.replays.probe_files import read_probe
    from trajlab.running.network_command import show_network
    from trajlab.running.open_run import open_run
    from trajlab.runs.open import runs_in

    path = next(iter(runs_in(run).values()), run)
    trajectory = open_run(path, reading, trust=trust)
    inputs = None if probe is None else read_probe(probe, run=path, trust=trust)
    show_network(save_network(trajectory.with_model(model, probe=inputs), out, overwrite=overwrite))


@app.command()
@with_reading_options
def report(
    path: Annotated[
        Path,
        typer.Argument(parser=as_path, help="Folder of results; or a run, checkpoints or a folder of runs."),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            parser=as_path, help="HTML page to write, self-contained; by default <name of PATH>.html in this folder."
        ),
    ] = None,
    *,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(parser=as_path, help="JSON file to write the headline numbers of each run to.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(parser=as_path, help="Folder to write these numbers to over the steps, a CSV for each stage."),
    ] = None,
    claims: Annotated[Path | None, typer.Option(parser=as_path, help="JSON file of claims to show first.")] = None,
    stages: Annotated[
        str,
        typer.Option(
            metavar="A,B,C",
            help="Stages to compute of runs, or `all`; by default those that are cheap.",
            rich_help_panel=OF_RUNS,
        ),
    ] = "",
    results: Annotated[
        Path | None,
        typer.Option(
            parser=as_path,
            help="Folder to keep the computed results in; by default they are not kept.",
            rich_help_panel=OF_RUNS,
        ),
    ] = None,
    reading: Reading,
    model: Model = None,
    probe: Probe = None,
    device: Device = None,
    trust: Trust = False,
    params: Params = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
) -> None:
    """Write a page of results, or of runs and checkpoints themselves: what stands out first, then figures and tables.

    Of runs, cheap stages are computed first: learning_curves, alerts, change_points, drift, distribution and
    gradient_statistics. The path of the page is printed if OUT is not given.
    """
    from trajlab.reports.report_command import write_report

    options = RunOptions(path, model=model, probe=probe, device=device, trust=trust, **reading)
    page = write_report(
        options, out, stages=stages, results=results, params=params, workers=workers,
        title=title, metrics=metrics, plots=plots, claims=claims, overwrite=overwrite,
    )  # fmt: skip
    if out is None:
        typer.echo(page)


@app.command()
@with_reading_options
def explore(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=as_path,
            metavar="PATH...",
            help="Runs, checkpoints, folders of runs, or folders of results; local or URLs.",
        ),
    ],
    *,
    results: Annotated[
        Path | None,
        typer.Option(
            parser=as_path,
            help="Folder that keeps computed results; by default one in the user's cache, which is named.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; by default a free one.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Any but 127.0.0.1 can be reached from other machines.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    stages: Annotated[
        str, typer.Option(metavar="A,B,C", help="Stages to compute; by default all that the runs can serve.")
    ] = "",
    reading: Reading,
    model: Model = None,
    probe: Probe = None,
    device: Device = None,
    trust: Trust = False,
    follow: Annotated[
        bool, typer.Option(help="Read runs that are still being written again and again, and show them as they grow.")
    ] = False,
) -> None:
    """Look around in runs and results: a page with heat maps, layers, two moments and all runs, until ctrl-C.

    The first line on stdout is its address. What is not computed yet is computed in the background.
    """
    from trajlab.explorer.serve import serve
    from trajlab.running.several import named_stages

    inputs = None
    if probe is not None:
        from trajlab.replays.probe_files import read_probe

        inputs = read_probe(probe, run=next(iter(paths), None), trust=trust)
    serve(
        paths, host=host, port=port, browser=browser, results=results,
        stages=named_stages(stages) or None, model=model, probe=inputs, device=device, trust=trust, follow=follow,
        **reading,
    )  # fmt: skip


for _name, _summary, _panel in stages_by_panel():
    app.command(_name, help=escape(_summary), rich_help_panel=_panel)(lambda: None)  # _Group imports the stage


def main() -> None:
    """Run the command line."""
    open_closed_streams()
    with interruptible("trajlab"), errors_in_one_line("trajlab", and_bugs=True):
        ignore_current_folder()
        app()
