"""Train one run of a study and record it: ``python -m pipelines.train digits --init ones --optimizer sgd``.

What a study trains, on what and for how long stands in its section of params.yaml. The run of an init, an
optimizer and a seed goes to data/snapshots/<study>/<init>-<optimizer>-<seed>/, how it went to data/metrics/ and
data/curves/, where DVC finds it. The same seed gives the same bits, whatever the number of cores.
"""

import csv
import importlib
import json
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml
from rich.console import Console
from rich.progress import track
from torch import nn

from pipelines import datasets
from pipelines.inits import initialize
from trajlab.errors import BadSetting, MissingData, TrajlabError
from trajlab.record import Recorder, every
from trajlab.schema import METRICS_FILE

STATE_FILE = "training-state.pt"
"""What resuming needs, in the run folder until the run is finished; saved at the start of each epoch."""


app = typer.Typer(pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Training:
    """The section `training` of a study.

    Attributes
    ----------
    model
        ``factory``, as in ``pipelines.zoo:lenet5``, and its ``arguments``.
    dataset
        Name that `pipelines.datasets.load` knows.
    steps
        Number of updates.
    batch_size
        Images of an update; those left over at the end of an epoch are dropped.
    weights_every
        The weights are recorded every so many steps, and after the last one.
    gradients
        Recorded at every step: all entries (true), none (false), or at most so many of each tensor.
    probe
        The first so many test images are stored with the run, for activations later.
    """

    model: dict[str, Any]
    dataset: str
    steps: int
    batch_size: int
    weights_every: int
    gradients: bool | int
    probe: int


@app.command()
def main(
    study: Annotated[str, typer.Argument(help="One of the studies in the file with the settings.")],
    init: Annotated[str, typer.Option(help="Scheme of pipelines.inits.")],
    optimizer: Annotated[str, typer.Option(help="One of the study's optimizers.")],
    seed: Annotated[int, typer.Option(help="Seed of the init, the batches and dropout.")] = 0,
    data: Annotated[Path, typer.Option(help="Folder to write below.")] = Path("data"),
    params: Annotated[Path, typer.Option(help="File with the settings.", exists=True, dir_okay=False)] = Path(
        "params.yaml"
    ),
    device: Annotated[str, typer.Option(help="Device to train on.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Threads of PyTorch; small networks want one.")] = 1,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was interrupted.")] = False,
    download: Annotated[bool, typer.Option(help="Fetch the data set if it is not there.")] = False,
) -> None:
    """Train one run of a study and record it."""
    # ---- settings
    studies = yaml.safe_load(params.read_text())["studies"]
    section = _choose("study", study, studies)
    settings = _training(section["training"])
    optimizer_settings = dict(_choose("optimizer", optimizer, section["optimizers"]))
    optimizer_class = _choose("optimizer class", optimizer_settings.pop("class"), _optimizers())
    run = f"{init}-{optimizer}-{seed}"
    folder = data / "snapshots" / study / run

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on CUDA
    torch.set_deterministic_debug_mode("warn")

    # ---- data
    images = datasets.load(settings.dataset, download=download)
    inputs, targets = (part.to(device) for part in images.train)
    steps_per_epoch = len(inputs) // settings.batch_size
    if steps_per_epoch == 0:
        raise BadSetting(f"batch_size={settings.batch_size} is more than the {len(inputs)} images to train on")

    # ---- network
    model = _build(**settings.model)
    initialize(model, init, seed)
    model.to(device)
    updater = optimizer_class(model.parameters(), **optimizer_settings)

    # ---- where to start
    start = 0
    if resume:
        if not (folder / STATE_FILE).exists():
            raise MissingData(f"nothing to resume: no {folder / STATE_FILE}; start without --resume")
        state = torch.load(folder / STATE_FILE, map_location=device)
        model.load_state_dict(state["model"])
        updater.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"].cpu())
        start = state["step"]

    # ---- training
    recorder = Recorder(
        model,
        folder,
        when=every(settings.weights_every),
        gradients=settings.gradients,
        probe=tuple(part[: settings.probe] for part in images.test),
        describe={
            "study": study,
            "model": settings.model,
            "dataset": settings.dataset,
            "init": init,
            "optimizer": optimizer,
            **optimizer_settings,
            "seed": seed,
            "batch_size": settings.batch_size,
            "steps_per_epoch": steps_per_epoch,
        },
        seed=seed,
        resume=start if resume else False,
    )
    console = Console(stderr=True)
    with recorder:
        steps = range(start, settings.steps)
        for step in track(steps, run, console=console, disable=not console.is_terminal):
            epoch, position = divmod(step, steps_per_epoch)
            if position == 0:
                order = _order(len(inputs), seed, epoch)
                recorder.flush()
                _save_state(folder / STATE_FILE, step, model, updater)
            batch = order[position * settings.batch_size : (position + 1) * settings.batch_size].to(device)

            logits = model(inputs[batch])
            loss = nn.functional.cross_entropy(logits, targets[batch])
            updater.zero_grad()
            loss.backward()
            accuracy = (logits.argmax(1) == targets[batch]).float().mean().item()
            recorder.step(loss=loss.item(), accuracy=accuracy, lr=updater.param_groups[0]["lr"], epoch=epoch)
            updater.step()
    (folder / STATE_FILE).unlink()

    # ---- how well it went, for `dvc metrics show` and `dvc plots show`
    loss, accuracy = evaluate(model, images.test, device)
    summary = data / "metrics" / study / f"{run}.json"
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text(json.dumps({"test_accuracy": accuracy, "test_loss": loss}, indent=1) + "\n")
    _write_curve(folder / METRICS_FILE, data / "curves" / study / f"{run}.csv")
    print(f"{study}/{run}: test accuracy {accuracy:.2%} after {settings.steps} steps")


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


def _training(section: dict[str, Any]) -> Training:
    known = [field.name for field in fields(Training)]
    if set(section) != set(known):
        wrong = ", ".join(sorted(set(section) ^ set(known)))
        raise BadSetting(f"unknown or missing in a study's training: {wrong}; it takes {', '.join(known)}")
    return Training(**section)


def _build(factory: str, arguments: dict[str, Any]) -> nn.Module:
    module, _, name = factory.partition(":")
    try:
        return getattr(importlib.import_module(module), name)(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise BadSetting(f"cannot make {factory} with {arguments}: {error}") from error


def _choose(kind: str, name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        raise BadSetting(f"no {kind} is called {name!r}; there are {', '.join(known)}")
    return known[name]


def _optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """Classes of torch.optim by name."""
    classes = {name: kind for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    return {name: classes[name] for name in sorted(classes)}


def _order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """Order of the images in an epoch; a function of its arguments, so that resuming needs no generator's state."""
    return torch.randperm(count, generator=torch.Generator().manual_seed((epoch << 32) + seed))


def _save_state(file: Path, step: int, model: nn.Module, updater: torch.optim.Optimizer) -> None:
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizer": updater.state_dict(),
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
