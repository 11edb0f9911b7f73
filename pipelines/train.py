"""Train one run of a study and record it: ``python -m pipelines.train digits --init ones --optimizer sgd``.

A study's section of params.yaml says what it trains, as `pipelines.settings` explains; `pipelines.sweep` trains all of
its runs. A run goes to data/snapshots/<study>/<run>/, its test accuracy to data/metrics/ and its training curve to
data/curves/, where DVC finds them. Equal seeds give equal bits, whatever the number of cores.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import nn

import trajlab
from pipelines import datasets, perturb
from pipelines.datasets.images import Images, first, fit
from pipelines.evaluate import evaluate, write_curve, write_metrics
from pipelines.gradients import KINDS, BatchGradient
from pipelines.inits import GAINED, initialize
from pipelines.options import Data, Device, Download, Params
from pipelines.settings import PRETRAINED, Run, Training, choose, pretrained, read_studies, training_of
from pipelines.training_state import STATE_FILE, restore_state, save_state
from pipelines.weights import load_weights
from trajlab.errors import BadSetting, errors_in_one_line
from trajlab.record import Recorder, at, bursts, every

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(
    study: Annotated[str, typer.Argument(help="A study in the file of settings.")],
    init: Annotated[str, typer.Option(help="Scheme of pipelines.inits.")],
    optimizer: Annotated[str, typer.Option(help="An optimizer of the study.")],
    seed: Annotated[int, typer.Option(help="Seed of the init, the batches and dropout.")] = 0,
    variant: Annotated[str, typer.Option(help="A variant of the study, if it has any.")] = "",
    data: Data = Path("data"),
    params: Params = Path("params.yaml"),
    device: Device = "cpu",
    threads: Annotated[int, typer.Option(help="Threads of PyTorch; one is best for small networks.")] = 1,
    resume: Annotated[bool, typer.Option(help="Resume an interrupted run.")] = False,
    download: Download = False,
) -> None:
    """Train one run of a study and record it."""
    torch.set_num_threads(threads)
    section = choose("study", study, read_studies(params))
    train(study, section, [Run(init, optimizer, seed, variant)], data, device=device, resume=resume, download=download)


class Recording(NamedTuple):
    """What one run records of a training.

    Attributes
    ----------
    run
        The run.
    settings
        Settings of its training.
    gradient
        What it records in place of gradients and weights.
    recorder
        Writes it.
    """

    run: Run
    settings: Training
    gradient: BatchGradient
    recorder: Recorder

    def step(self, **metrics: float) -> None:
        """Record a step."""
        with self.gradient.shown():
            self.recorder.step(**metrics)

    def close(self) -> None:
        """Record the end."""
        with self.gradient.closing(updated=not self.settings.after_update):
            self.recorder.close()


def train(
    study: str, section: Mapping[str, Any], runs: Sequence[Run], data: Path,
    *, device: str = "cpu", resume: bool = False, download: bool = False,
) -> None:  # fmt: skip
    """Train once, and record it as one run of a study or as several.

    Parameters
    ----------
    study
        Name of the study.
    section
        Its section of the settings.
    runs
        The runs; they differ only in what they record, see `pipelines.settings.trainings`.
    data
        Folder to write to.
    device
        Device to train on.
    resume
        Resume interrupted runs.
    download
        Download the data set if it is missing.
    """
    # ---- settings
    run = runs[0]
    settings = training_of(section, run.variant)
    optimizer_settings = dict(choose("optimizer", run.optimizer, section["optimizers"]))
    optimizer_class = choose("optimizer class", optimizer_settings.pop("class"), _optimizers())
    recorded = {each: training_of(section, each.variant) for each in runs}
    kinds = {each: choose("kind of gradient", training.gradient, KINDS) for each, training in recorded.items()}
    folders = {each: data / "snapshots" / study / each.name for each in runs}

    torch.manual_seed(run.seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on CUDA
    torch.set_deterministic_debug_mode("warn")

    # ---- data
    images = _images(settings, download)
    inputs, targets = (part.to(device) for part in images.train)
    steps_per_epoch = len(inputs) // settings.batch_size
    if not settings.drop_last and len(inputs) % settings.batch_size:
        steps_per_epoch += 1
    if steps_per_epoch == 0:
        raise BadSetting(f"batch_size={settings.batch_size} is more than the {len(inputs)} images to train on")
    last = settings.steps if settings.epochs is None else settings.epochs * steps_per_epoch

    # ---- network
    model = _build(**settings.model)
    initialize(model, "kaiming_normal" if run.init == PRETRAINED else run.init, run.seed, settings.gain)
    if settings.weights is not None:
        load_weights(model, Path(settings.weights))
    if run.init == PRETRAINED:
        load_weights(model, pretrained(settings), other_ends=True)
    origin = {}
    if settings.parent is not None:
        parent = run._replace(variant=settings.parent["variant"]).name
        origin = {"parent": parent, "parent_step": _start_from(model, folders[run].with_name(parent), settings.parent)}
    for name, arguments in (settings.perturb or {}).items():
        choose("perturbation", name, perturb.KINDS)(model, **arguments, seed=run.seed)
    model.to(device)
    optimizer = optimizer_class(model.parameters(), **optimizer_settings)
    first_batch = inputs[: settings.batch_size], targets[: settings.batch_size]
    gradients = {each: kind(model, *first_batch) for each, kind in kinds.items()}
    start = 0
    for each, gradient in gradients.items() if resume else ():
        start = restore_state(folders[each], model, optimizer, gradient, device)

    # ---- training
    recordings = []
    for each in runs:
        recorder = Recorder(
            model,
            folders[each],
            when=bursts(
                every(settings.weights_every) if settings.weights_at is None else at(settings.weights_at),
                length=settings.weights_in_a_row,
            ),
            gradients=settings.gradients,
            probe={
                "valid": tuple(part[: settings.probe] for part in images.test),
                "train": tuple(part[: settings.probe] for part in images.train),
                **({} if images.masks is None else {"mask": images.masks[: settings.probe]}),
            },
            describe={
                "study": study,
                "model": settings.model,
                **{
                    f"dataset_{name}" if name != "name" else "dataset": value
                    for name, value in _named(settings).items()
                },
                "images": len(inputs),
                "init": each.init,
                **({"gain": settings.gain} if each.init in GAINED and settings.gain != 1 else {}),
                "optimizer": each.optimizer,
                **optimizer_settings,
                **({"variant": each.variant} if each.variant else {}),
                **({"weights": settings.weights} if settings.weights else {}),
                **({"pretrained": settings.pretrained} if each.init == PRETRAINED else {}),
                **origin,
                **({"perturb": settings.perturb} if settings.perturb else {}),
                "gradient": recorded[each].gradient,
                **({"after_update": True} if recorded[each].after_update else {}),
                "seed": each.seed,
                "batch_size": settings.batch_size,
                "steps_per_epoch": steps_per_epoch,
            },
            seed=each.seed,
            resume=start if resume else False,
            steps=last,
        )
        recordings.append(Recording(each, recorded[each], gradients[each], recorder))
    console = Console(stderr=True)
    names = ", ".join(each.name for each in runs)
    with ExitStack() as stack:
        for recording in recordings:
            stack.enter_context(recording.recorder)
        for step in track(range(start, last), names, console=console, disable=not console.is_terminal):
            epoch, position = divmod(step, steps_per_epoch)
            if position == 0:
                order = _order(len(inputs), run.seed + settings.reorder, epoch)
                for recording in recordings:
                    recording.recorder.flush()
                    save_state(folders[recording.run], step, model, optimizer, recording.gradient)
            batch = order[position * settings.batch_size : (position + 1) * settings.batch_size].to(device)

            logits = model(inputs[batch])
            loss = nn.functional.cross_entropy(logits, targets[batch])
            optimizer.zero_grad()
            loss.backward()
            accuracy = (logits.argmax(1) == targets[batch]).float().mean().item()
            metrics = {"loss": loss.item(), "accuracy": accuracy, "lr": optimizer.param_groups[0]["lr"], "epoch": epoch}
            for recording in recordings:
                if not recording.settings.after_update:
                    recording.step(**metrics)
            optimizer.step()
            for recording in recordings:
                if recording.settings.after_update:
                    recording.step(**metrics)
        for recording in recordings:
            recording.close()
    for folder in folders.values():
        (folder / STATE_FILE).unlink(missing_ok=True)

    # ---- test, for `dvc metrics show` and `dvc plots show`
    loss, accuracy = evaluate(model, images.test, device)
    for each in runs:
        write_metrics(data / "metrics" / study / f"{each.name}.json", loss, accuracy)
        write_curve(folders[each], data / "curves" / study / f"{each.name}.csv")
        print(f"{study}/{each.name}: test accuracy {accuracy:.2%} after {last} steps", flush=True)


def _named(settings: Training) -> dict[str, Any]:
    """Return name and arguments of the data set."""
    return {"name": settings.dataset} if isinstance(settings.dataset, str) else settings.dataset


def _images(settings: Training, download: bool) -> Images:
    """Return the images to train and test on, in the shape that the settings ask for."""
    shape = settings.image_shape
    train, test, masks = _load(tuple(_named(settings).items()), download, shape[-1] if shape else None)
    images = Images(first(train, settings.images), first(test, settings.test_images), masks)
    if shape is None:
        return images
    if masks is not None:
        raise BadSetting(f"cannot fit {settings.dataset} to image_shape={shape}: its masks have their own shape")
    return Images(*(fit(split, shape, settings.image_fit) for split in (images.train, images.test)))


@lru_cache(maxsize=1)
def _load(dataset: tuple[tuple[str, Any], ...], download: bool, image_size: int | None) -> Images:
    """Read a data set by name and arguments, and keep it in memory for the next run of a sweep."""
    return datasets.load(**dict(dataset), download=download, image_size=image_size)


def _build(factory: str, arguments: dict[str, Any]) -> nn.Module:
    module, _, name = factory.partition(":")
    try:
        return getattr(importlib.import_module(module), name)(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise BadSetting(f"cannot build {factory} with {arguments}: {error}") from error


def _start_from(model: nn.Module, parent: Path, settings: dict[str, Any]) -> int:
    """Load a snapshot of the parent, and return its step; step -1 is the last one."""
    trajectory = trajlab.open(parent)
    step = int(trajectory.steps[-1]) if settings["step"] == -1 else settings["step"]
    model.load_state_dict(trajectory.at(step))
    return step


def _optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """Return the classes of torch.optim by name."""
    classes = {name: kind for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    return {name: classes[name] for name in sorted(classes)}


def _order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """Return the order of the images in an epoch, from the arguments alone, so that resuming needs no generator."""
    return torch.randperm(count, generator=torch.Generator().manual_seed((epoch << 32) + seed))


if __name__ == "__main__":
    with errors_in_one_line("pipelines.train"):
        app()
