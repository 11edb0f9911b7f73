"""A stage as a command: its settings become options, its docstring their help."""

import ast
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import typer
import yaml

from trajlab.errors import BadSetting
from trajlab.runs.disk.paths import as_path, reaching
from trajlab.stages import stage, stage_names, stage_source

Run = Annotated[
    Path, typer.Argument(parser=as_path, help="A run: a packed store or a folder of snapshots; or a folder of runs.")
]
Params = Annotated[
    Path | None, typer.Option(parser=as_path, help="YAML file; its section of the stage's name holds settings.")
]
On = Annotated[str | None, typer.Option(help="Give the stage gradients or buffers where it asks for weights.")]
Parent = Annotated[
    Path | None,
    typer.Option(
        parser=as_path, help='Another run to compare with; or "recorded", the one that each run restarted from.'
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="PACKAGE.MODULE:FACTORY",
        help="Function that builds the network, for runs that do not name theirs.",
        rich_help_panel="Replaying",
    ),
]
Probe = Annotated[
    Path | None,
    typer.Option(
        parser=as_path,
        help="File of inputs, and targets, to replay on: .safetensors, .npz, .npy or .pt.",
        rich_help_panel="Replaying",
    ),
]
Device = Annotated[
    str | None, typer.Option(help="Where to replay, such as cuda; the CPU by default.", rich_help_panel="Replaying")
]
StepPattern = Annotated[
    str | None, typer.Option(metavar="REGEX", help="Its first group is the step in the name of a checkpoint.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Number of threads; all cores by default.")]
Scheduler = Annotated[str | None, typer.Option(metavar="ADDRESS", help="A dask.distributed scheduler to compute on.")]


PANELS = {
    "metrics": "What went wrong",
    "weight": "From weights",
    "gradient": "From gradients",
    "activation": "By replaying snapshots",
    "replay": "By replaying snapshots",
    "other": "Across runs",
}
"""Where the help lists a stage, by what it asks for first; `other` if it can not do without another run."""

OTHERS = "Other stages"


def stages_by_panel() -> list[tuple[str, str, str]]:
    """Give name, first sentence and panel of each stage, in the order of the panels; no stage is imported."""
    order = [*PANELS.values(), OTHERS]
    found = [(name, summary(name), panel(name)) for name in stage_names()]
    return sorted(found, key=lambda one: order.index(one[2]))


def summary(name: str) -> str:
    """First sentence of a stage's docstring, read without importing it."""
    function = _parsed(name)
    return (ast.get_docstring(function) or "").partition("\n")[0] if function else ""


def panel(name: str) -> str:
    """Panel of the help that a stage belongs to, from the names of its parameters, read without importing it."""
    function = _parsed(name)
    if function is None:
        return OTHERS
    asked = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    needed = asked[: len(asked) - len(function.args.defaults)]
    first = "other" if any(one.startswith(("other_", "parent_")) for one in needed) else "".join(asked[:1])
    return PANELS.get(first, PANELS.get(first.removesuffix("s"), OTHERS))


def _parsed(name: str) -> ast.FunctionDef | None:
    source = stage_source(name).read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name]
    return functions[0] if functions else None


def parameter_help(function: Callable) -> dict[str, str]:
    """Help of each parameter, from the numpydoc section Parameters."""
    section = re.search(r"\nParameters\n-+\n(.*?)(?=\n\w[\w ]*\n-+\n|\Z)", inspect.getdoc(function) or "", re.DOTALL)
    texts = re.findall(r"^(\w+)\n((?:[ ]{4}.*\n?)+)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in texts}


def stage_command(
    name: str, *, finish: Callable[[Any, dict[str, Any]], None] | None = None, extra: dict[str, Any] | None = None
) -> Callable:
    """Give a function for typer that computes one stage of a run.

    Parameters
    ----------
    name
        The stage.
    finish
        What becomes of the lazy result, given the values of all options; by default it is written to `out`.
    extra
        Annotations and defaults of more parameters, or in place of `out`.
    """
    from trajlab.running.settings import settings_of

    function = stage(name)
    settings = settings_of(function)
    helps = parameter_help(function)

    def command(ctx: typer.Context, **options: Any) -> None:
        given = {key: options[key] for key in settings if _is_given(ctx, key)}
        chosen = read_section(options["params"], name, settings) | given
        result = compute_lazily(name, given_run(options), chosen)
        (finish or _write)(result, options)

    out = Annotated[Path, typer.Argument(parser=as_path, help="The result, a Zarr store that xarray.open_zarr opens.")]
    fixed = {"run": (Run, ...), "out": (out, ...)} | (extra or {})
    later = {
        "params": (Params, None), "on": (On, None), "parent": (Parent, None), "step_pattern": (StepPattern, None),
        **({"model": (Model, None), "probe": (Probe, None), "device": (Device, None)} if _replays(function) else {}),
        "overwrite": (Overwrite, False),
        "workers": (Workers, None), "scheduler": (Scheduler, None),
    }  # fmt: skip
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [_parameter(key, annotation, default) for key, (annotation, default) in fixed.items()]
    for key, parameter in settings.items():
        option = typer.Option(help=helps.get(key, ""), rich_help_panel="Settings")
        parameters.append(_parameter(key, Annotated[_option_type(parameter), option], _plain(parameter.default)))
    parameters += [_parameter(key, annotation, default) for key, (annotation, default) in later.items()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = _help(inspect.getdoc(function) or "")
    return command


def _write(result: Any, options: dict[str, Any]) -> None:
    from trajlab.running.compute import write

    write(
        {options["out"]: result},
        overwrite=options["overwrite"],
        workers=options["workers"],
        scheduler=options["scheduler"],
    )


def _is_given(ctx: typer.Context, option: str) -> bool:
    """Tell whether an option stands on the command line, rather than having its default."""
    source = ctx.get_parameter_source(option)
    return source is not None and source.name != "DEFAULT"


def _help(docstring: str) -> str:
    """Give what a docstring says before its sections, and what it says is returned."""
    before, *sections = re.split(r"\n(\w[\w ]*)\n-+\n", docstring)
    returns = dict(zip(sections[::2], sections[1::2], strict=True)).get("Returns", "")
    entries = re.findall(r"^(\S.*)\n((?:[ ]{4}.*\n?)+)", returns, re.MULTILINE)
    result = [f"{names.replace(' : ', ' ')}: {' '.join(text.split())}" for names, text in entries]
    return "\n\n".join([before, "The result holds:", *result])


class Given(NamedTuple):
    """What the command line says of the runs that a stage is to be computed of."""

    run: Path
    parent: Path | None = None
    on: str | None = None
    step_pattern: str | None = None
    model: str | None = None
    probe: Path | None = None
    device: str | None = None


def given_run(options: dict[str, Any]) -> Given:
    """Pick what the options say of the runs."""
    return Given(**{name: options[name] for name in Given._fields if name in options})


def compute_lazily(name: str, given: Given, settings: dict[str, Any]) -> Any:
    """Run a stage over the run, or the runs, at a path; lazily."""
    from trajlab.running.run import RECORDED, run
    from trajlab.runs.trajectory import open as open_trajectory
    from trajlab.runs.trajectory import runs_in

    runs = runs_in(given.run)
    trajectory = (
        {key: open_trajectory(place) for key, place in runs.items()}
        if runs
        else open_trajectory(given.run, step_pattern=given.step_pattern)
    )
    parent: Any = given.parent
    if parent is not None:
        parent = RECORDED if str(parent) == RECORDED else open_trajectory(parent)
    probe = None
    if given.probe is not None:
        from trajlab.replays.probe_files import read_probe

        probe = read_probe(given.probe)
    return run(
        name, trajectory, parent=parent, on=given.on, model=given.model, probe=probe, device=given.device, **settings
    )


def _replays(function: Callable) -> bool:
    """Tell whether a stage may ask for a network or a probe."""
    from trajlab.running.inputs import without_prefix
    from trajlab.running.run import needs_of

    asked = {without_prefix(need).rstrip("s") for need in needs_of(function)}
    return bool(asked & {"activation", "replay", "probe", "chain"})


def read_section(params: Path | None, name: str, known: Sequence[str] | dict[str, Any]) -> dict[str, Any]:
    """Read a stage's section of a params file, which stands under `stages` or at the top level.

    Raises
    ------
    BadSetting
        The file is no YAML mapping, or holds an unknown setting.
    """
    if params is None:
        return {}
    try:
        with reaching(params):
            sections = yaml.safe_load(params.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BadSetting(
            f"settings were to be read from {params}; {str(error).splitlines()[0]}. Correct the file."
        ) from error
    if not isinstance(sections, dict):
        raise BadSetting(
            f"sections of settings were expected in {params}; it holds a {type(sections).__name__}. Correct it."
        )
    stages = sections.get("stages")
    section = (stages if isinstance(stages, dict) and name in stages else sections).get(name) or {}
    if not isinstance(section, dict):
        raise BadSetting(f"settings were expected in the section {name} of {params}; it is {section!r}. Correct it.")
    unknown = sorted(set(section) - set(known))
    if unknown:
        raise BadSetting(
            f"the section {name} of {params} sets {', '.join(unknown)}; the settings of {name} are {', '.join(known)}. "
            "Correct the name."
        )
    return dict(section)


def is_stage(name: str) -> bool:
    """Tell whether a command is a stage."""
    return name in stage_names()


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    empty = inspect.Parameter.empty if default is ... else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=empty)


def _option_type(parameter: inspect.Parameter) -> Any:
    """Type of an option: a sequence of things is an option that may be given several times."""
    if get_origin(parameter.annotation) is Sequence:
        return list[get_args(parameter.annotation)[0]]  # type: ignore[misc]
    return parameter.annotation


def _plain(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default
