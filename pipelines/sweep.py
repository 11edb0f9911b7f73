"""Train all runs of the studies in a file: ``python -m pipelines.sweep --params pipelines/initialization/params.yaml``.

Runs train in parallel, each in a process with one thread, which suits small networks: on two cores that is nearly twice
as fast as one run at a time with two threads. A run that restarts from another waits for it. Runs that record the same
training, such as the gradients of the batch and their average, are trained once. For DVC a sweep is one stage: it
trains all runs again when a setting changes, but starts only once.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, zip_longest
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import torch
import typer

from pipelines.options import Data, Device, Download, Params
from pipelines.settings import Run, choose, generations, read_studies, trainings
from pipelines.train import train
from trajlab.errors import errors_in_one_line

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(
    studies: Annotated[list[str] | None, typer.Argument(help="Studies to train; by default all in the file.")] = None,
    params: Params = Path("params.yaml"),
    data: Data = Path("data"),
    device: Device = "cpu",
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time; by default one per core.")] = (os.cpu_count() or 1),
    threads: Annotated[int, typer.Option(help="Threads of PyTorch for each run.")] = 1,
    download: Download = False,
) -> None:
    """Train all runs of the studies in a file."""
    sections = read_studies(params)
    chosen = {study: choose("study", study, sections) for study in studies or sections}
    waiting = [
        [[(study, section, runs) for runs in trainings(section, part)] for part in generations(section)]
        for study, section in chosen.items()
    ]
    train_one = partial(_train_one, data=data, device=device, download=download)
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start_worker, (threads,)) as pool:
        for parts in zip_longest(*waiting, fillvalue=[]):
            for _ in pool.map(train_one, chain(*parts)):
                pass


def _start_worker(threads: int) -> None:
    torch.set_num_threads(threads)
    Thread(target=_end_with_sweep, daemon=True).start()


def _end_with_sweep() -> None:
    """End when the sweep is killed, as DVC would not keep the runs."""
    sweep = parent_process()
    if sweep is not None:
        sweep.join()
        os._exit(1)


def _train_one(task: tuple[str, dict, list[Run]], **settings: Any) -> None:
    study, section, runs = task
    train(study, section, runs, **settings)


if __name__ == "__main__":
    with errors_in_one_line("pipelines.sweep"):
        app()
