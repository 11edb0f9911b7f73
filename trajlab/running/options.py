"""Arguments and options that several commands share, and what they say of the runs."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict, get_type_hints

import typer

from trajlab.runs.disk.paths import as_path

RUNS, REPLAY = "Runs", "Replay"
"""Panels of the help."""

Run = Annotated[
    Path,
    typer.Argument(parser=as_path, help="A run (a packed store or a folder of checkpoints), or a folder of runs."),
]
Params = Annotated[
    Path | None,
    typer.Option(
        parser=as_path, help="YAML file with settings, in a section of the stage's name; options override them."
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        metavar="TENSORS",
        help="Compute the stage on gradients, buffers, activations or adapters (LoRA) instead of weights.",
        rich_help_panel=RUNS,
    ),
]
Parent = Annotated[
    Path | None,
    typer.Option(
        parser=as_path,
        help='Run to compare with; "recorded" takes the parent that each run names in run.json.',
        rich_help_panel=RUNS,
    ),
]
StepPattern = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Regular expression whose first group is the step in a checkpoint's name.",
        rich_help_panel=RUNS,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Network to read, of checkpoints with several: its key in a file, or the name of its file or folder.",
        rich_help_panel=RUNS,
    ),
]
Parameters = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Regular expression: tensors whose names match are the weights, integers among them; others are buffers.",
        rich_help_panel=RUNS,
    ),
]
Series = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Checkpoints to read, of a folder with several networks: what their names share, such as net_G_A, or a "
        "regular expression that they match.",
        rich_help_panel=RUNS,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FACTORY",
        help="Function that builds the network; by default the one that run.json names.",
        rich_help_panel=REPLAY,
    ),
]
Probe = Annotated[
    Path | None,
    typer.Option(
        parser=as_path,
        help="Inputs and targets to replay (.safetensors, .npz, .npy or .pt), a text for the tokenizer of the run, "
        "or a folder of datasets; by default the probe of the run.",
        rich_help_panel=REPLAY,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="PyTorch device to replay on, such as cuda; by default the CPU.", rich_help_panel=REPLAY),
]
UnitAxis = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[LAYER=]AXIS",
        help="Axis over the units in the output of a layer, or of all, counted as in torch with samples first, such as "
        "-1 or 'relu*=1'; by default followed from the module that made them. Repeat it for several layers.",
        rich_help_panel=REPLAY,
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Import and call the model factory that run.json names, also of runs that you did not record here, and "
        "follow symbolic links that leave the folder.",
        rich_help_panel=REPLAY,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")]
Workers = Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of threads; by default one per core.")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Address of a dask.distributed scheduler to compute on.")
]


class Reading(TypedDict):
    """Options that say which checkpoints are read, and how: those that `trajlab.open` takes."""

    step_pattern: StepPattern
    series: Series
    key: Key
    parameters: Parameters


READING_OPTIONS: dict[str, Any] = get_type_hints(Reading, include_extras=True)
"""Annotation of each, for typer."""


def with_reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `reading` of a command by the options of Reading, whose values it receives there."""
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        options = READING_OPTIONS if name == "reading" else {}
        parameters += [parameter.replace(name=key, annotation=of, default=None) for key, of in options.items()]
        parameters += [] if options else [parameter]

    @wraps(command)
    def wrapper(*arguments: Any, **options: Any) -> None:
        command(*arguments, reading={key: options.pop(key, None) for key in READING_OPTIONS}, **options)

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return wrapper


class RunOptions(NamedTuple):
    """Options that choose the runs of a stage, and how they are read and replayed."""

    run: Path
    parent: Path | None = None
    on: str | None = None
    step_pattern: str | None = None
    model: str | None = None
    probe: Path | None = None
    device: str | None = None
    unit_axis: list[str] | None = None
    trust: bool = False
    series: str | None = None
    key: str | None = None
    parameters: str | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> "RunOptions":
        """Pick them from all options of a command."""
        return cls(**{name: options[name] for name in cls._fields if name in options})
