"""Train one run of a study and record it: ``python -m pipelines.train digits --init ones --optimizer sgd``.

What a study trains, on what and for how long stands in its section of params.yaml, as `pipelines.settings` explains;
`pipelines.sweep` trains all of its runs. A run goes to data/snapshots/<study>/<run>/, how it went to data/metrics/
and data/curves/, where DVC finds it. The same seed gives the same bits, whatever the number of cores.
"""

import csv
import importlib
import json
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import nn

import trajlab
from pipelines import datasets, perturb
from pipelines.gradients import BatchGradient, gradient_kind
from pipelines.inits import initialize
from pipelines.settings import PRETRAINED, Run, choose, pretrained, read_studies, training_of
from pipelines.weights import load_weights
from trajlab.errors import BadSetting, MissingData, TrajlabError
from trajlab.record import Recorder, at, bursts, every
from trajlab.schema import METRICS_FILE

STATE_FILE = "training-state.pt"
"""What resuming needs, in the run folder until the run is finished; saved at the start of each epoch."""


app = typer.Typer(pretty_exceptions_enable=False)

Data = Annotated[Path, typer.Option(help="Folder to write below.")]
Params = Annotated[Path, typer.Option(help="File with the settings.", exists=True, dir_okay=False)]
Device = Annotated[str, typer.Option(help="Device to train on.")]
Download = Annotated[bool, typer.Option(help="Fetch the data set if it is not there.")]


@app.command()
def main(
    study: Annotated[str, typer.Argument(help="One of the studies in the file with the settings.")],
    init: Annotated[str, typer.Option(help="Scheme of pipelines.inits.")],
    optimizer: Annotated[str, typer.Option(help="One of the study's optimizers.")],
    seed: Annotated[int, typer.Option(help="Seed of the init, the batches and dropout.")] = 0,
    variant: Annotated[str, typer.Option(help="One of the study's variants, if it has any.")] = "",
    data: Data = Path("data"),
    params: Params = Path("params.yaml"),
    device: Device = "cpu",
    threads: Annotated[int, typer.Option(help="Threads of PyTorch; small networks want one.")] = 1,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was interrupted.")] = False,
    download: Download = False,
) -> None:
    """Train one run of a study and record it."""
    torch.set_num_threads(threads)
    section = choose("study", study, read_studies(params))
    train(study, section, Run(init, optimizer, seed, variant), data, device=device, resume=resume, download=download)


def train(
    study: str, section: Mapping[str, Any], run: Run, data: Path,
    *, device: str = "cpu", resume: bool = False, download: bool = False,
) -> None:  # fmt: skip
    """Train one run of a study and record it.

    Parameters
    ----------
    study
        Name of the study.
    section
        Its section of the settings.
    run
        Which of its runs.
    data
        Folder to write below.
    device
        Device to train on.
    resume
        Go on with a run that was interrupted.
    download
        Fetch the data set if it is not there.
    """
    # ---- settings
    settings = training_of(section, run.variant)
    optimizer_settings = dict(choose("optimizer", run.optimizer, section["optimizers"]))
    optimizer_class = choose("optimizer class", optimizer_settings.pop("class"), _optimizers())
    kind = gradient_kind(settings.gradient)
    folder = data / "snapshots" / study / run.name

    torch.manual_seed(run.seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on CUDA
    torch.set_deterministic_debug_mode("warn")

    # ---- data
    named = {"name": settings.dataset} if isinstance(settings.dataset, str) else settings.dataset
    whole = _load(tuple(named.items()), download, settings.image_shape[-1] if settings.image_shape else None)
    images = datasets.Images(_first(whole.train, settings.images), _first(whole.test, settings.test_images))
    if settings.image_shape is not None:
        if whole.masks is not None:
            raise BadSetting(
                f"image_shape was asked for; the images of {settings.dataset} have masks of their own shape"
            )
        images = datasets.Images(*(datasets.fit(split, settings.image_shape) for split in (images.train, images.test)))
    inputs, targets = (part.to(device) for part in images.train)
    steps_per_epoch = len(inputs) // settings.batch_size
    if steps_per_epoch == 0:
        raise BadSetting(f"batch_size={settings.batch_size} is more than the {len(inputs)} images to train on")
    last = settings.steps if settings.epochs is None else settings.epochs * steps_per_epoch

    # ---- network
    model = _build(**settings.model)
    initialize(model, "kaiming_normal" if run.init == PRETRAINED else run.init, run.seed)
    if settings.weights is not None:
        load_weights(model, Path(settings.weights))
    if run.init == PRETRAINED:
        load_weights(model, pretrained(settings), other_ends=True)
    came_from = {}
    if settings.parent is not None:
        parent = run._replace(variant=settings.parent["variant"]).name
        came_from = {"parent": parent, "parent_step": _start_from(model, folder.with_name(parent), settings.parent)}
    for name, arguments in (settings.perturb or {}).items():
        choose("perturbation", name, perturb.KINDS)(model, **arguments, seed=run.seed)
    model.to(device)
    updater = optimizer_class(model.parameters(), **optimizer_settings)
    gradient = kind(model, inputs[: settings.batch_size], targets[: settings.batch_size])

    # ---- where to start
    start = 0
    if resume:
        if not (folder / STATE_FILE).exists():
            raise MissingData(f"nothing to resume: no {folder / STATE_FILE}; start without --resume")
        state = torch.load(folder / STATE_FILE, map_location=device)
        model.load_state_dict(state["model"])
        updater.load_state_dict(state["optimizer"])
        gradient.load(state["gradient"])
        torch.set_rng_state(state["rng"].cpu())
        start = state["step"]

    # ---- training
    recorder = Recorder(
        model,
        folder,
        when=bursts(
            every(settings.weights_every) if settings.weights_at is None else at(settings.weights_at),
            length=settings.weights_in_a_row,
        ),
        gradients=settings.gradients,
        probe={
            "valid": tuple(part[: settings.probe] for part in images.test),
            "train": tuple(part[: settings.probe] for part in images.train),
            **({} if whole.masks is None else {"mask": whole.masks[: settings.probe]}),
        },
        describe={
            "study": study,
            "model": settings.model,
            **{f"dataset_{name}" if name != "name" else "dataset": value for name, value in named.items()},
            "images": len(inputs),
            "init": run.init,
            "optimizer": run.optimizer,
            **optimizer_settings,
            **({"variant": run.variant} if run.variant else {}),
            **({"weights": settings.weights} if settings.weights else {}),
            **({"pretrained": settings.pretrained} if run.init == PRETRAINED else {}),
            **came_from,
            **({"perturb": settings.perturb} if settings.perturb else {}),
            "gradient": settings.gradient,
            "seed": run.seed,
            "batch_size": settings.batch_size,
            "steps_per_epoch": steps_per_epoch,
        },
        seed=run.seed,
        resume=start if resume else False,
    )
    console = Console(stderr=True)
    with recorder:
        for step in track(range(start, last), run.name, console=console, disable=not console.is_terminal):
            epoch, position = divmod(step, steps_per_epoch)
            if position == 0:
                order = _order(len(inputs), run.seed + settings.reorder, epoch)
                recorder.flush()
                _save_state(folder / STATE_FILE, step, model, updater, gradient)
            batch = order[position * settings.batch_size : (position + 1) * settings.batch_size].to(device)

            logits = model(inputs[batch])
            loss = nn.functional.cross_entropy(logits, targets[batch])
            updater.zero_grad()
            loss.backward()
            accuracy = (logits.argmax(1) == targets[batch]).float().mean().item()
            with gradient.shown():
                recorder.step(loss=loss.item(), accuracy=accuracy, lr=updater.param_groups[0]["lr"], epoch=epoch)
            updater.step()
    (folder / STATE_FILE).unlink(missing_ok=True)

    # ---- how well it went, for `dvc metrics show` and `dvc plots show`
    loss, accuracy = evaluate(model, images.test, device)
    summary = data / "metrics" / study / f"{run.name}.json"
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text(json.dumps({"test_accuracy": accuracy, "test_loss": loss}, indent=1) + "\n")
    _write_curve(folder / METRICS_FILE, data / "curves" / study / f"{run.name}.csv")
    print(f"{study}/{run.name}: test accuracy {accuracy:.2%} after {last} steps", flush=True)


@torch.no_grad()
def evaluate(model: nn.Module, split: datasets.Split, device: str = "cpu") -> tuple[float, float]:
    """Mean loss and share of images classified rightly, in evaluation mode."""
    model.eval()
    loss, right = 0.0, 0
    for inputs, targets in zip(*(part.to(device).split(1000) for part in split), strict=True):
        logits = model(inputs)
        loss += nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        right += (logits.argmax(1) == targets).sum().item()
    return loss / len(split.targets), right / len(split.targets)


@lru_cache(maxsize=1)
def _load(dataset: tuple[tuple[str, Any], ...], download: bool, image_size: int | None) -> datasets.Images:
    """Read a data set, by its name and arguments; the next run of a sweep finds it in memory."""
    return datasets.load(**dict(dataset), download=download, image_size=image_size)


def _first(split: datasets.Split, count: int | None) -> datasets.Split:
    if count is not None and count > len(split.targets):
        raise BadSetting(f"{count} images were asked for; the data set has {len(split.targets)}")
    return datasets.Split(*(part[:count] for part in split))


def _build(factory: str, arguments: dict[str, Any]) -> nn.Module:
    module, _, name = factory.partition(":")
    try:
        return getattr(importlib.import_module(module), name)(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise BadSetting(f"cannot make {factory} with {arguments}: {error}") from error


def _start_from(model: nn.Module, parent: Path, settings: dict[str, Any]) -> int:
    """Load a snapshot of the parent, whose step may be -1 for the last, and give the step."""
    trajectory = trajlab.open(parent)
    step = int(trajectory.steps[-1]) if settings["step"] == -1 else settings["step"]
    model.load_state_dict(trajectory.at(step))
    return step


def _optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """Classes of torch.optim by name."""
    classes = {name: kind for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    return {name: classes[name] for name in sorted(classes)}


def _order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """Order of the images in an epoch; a function of its arguments, so that resuming needs no generator's state."""
    return torch.randperm(count, generator=torch.Generator().manual_seed((epoch << 32) + seed))


def _save_state(
    file: Path, step: int, model: nn.Module, updater: torch.optim.Optimizer, gradient: BatchGradient
) -> None:
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizer": updater.state_dict(),
        "gradient": gradient.state(),
        "rng": torch.get_rng_state(),
    }
    torch.save(state, file.with_suffix(".tmp"))
    os.replace(file.with_suffix(".tmp"), file)


def _write_curve(source: Path, file: Path) -> None:
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["step", "epoch", "lr", "loss", "accuracy"])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    try:
        app()
    except TrajlabError as error:
        sys.exit(f"error: {error}")
