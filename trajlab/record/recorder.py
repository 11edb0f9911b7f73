"""The Recorder: what a training loop tells about each step, put on disk."""

import json
import os
import platform
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors.torch import load_file
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from trajlab.errors import BadSetting, MissingData, OutputExists, TrajlabError
from trajlab.record.inventory import Inventory, take_inventory
from trajlab.record.metrics import MetricsLog, metric_row
from trajlab.record.probe import Probe, probe_facts, probe_tensors
from trajlab.record.resume import check_same_run, drop_from, next_step, read_run
from trajlab.record.sampling import sample_indices
from trajlab.record.schedules import every
from trajlab.record.segments import GradientSegments
from trajlab.record.unscaling import loss_scales
from trajlab.record.writer import TEMPORARY, Writer, write_checkpoint, write_json, write_tensors
from trajlab.schema import (
    GRADIENTS_FOLDER,
    INDICES_FILE,
    METRICS_FILE,
    PROBE_FILE,
    RUN_FILE,
    SNAPSHOTS_VERSION,
    checkpoint_folder,
)

EVERY_STEP = every(1)


class Recorder:
    """Records weights, buffers, gradients and metrics of a training run, without touching the run.

    Call :meth:`step` once for each optimizer step, between ``backward()`` and ``optimizer.step()``. Row t then holds
    the weights before update t and the gradient taken at them. At the end of the ``with`` block (or with
    :meth:`close`) the weights after the last update are written too; after an exception only what was recorded is
    saved, and the run counts as unfinished.

    Names are those of ``model.state_dict()``, without what torch.compile and DistributedDataParallel put before them;
    tied weights are stored once, extra state that is no parameter and no buffer is left out. In distributed training,
    record in one process. No random number of the global generators is drawn.

    Parameters
    ----------
    model
        The model that is trained.
    directory
        Where the run goes: a folder that does not exist or is empty.
    when
        Steps at which weights and buffers are recorded; a function from the step to a bool, see
        :mod:`trajlab.record.schedules`.
    gradients
        True to record all entries of the gradients, False for none, a number to keep at most that many entries of
        each tensor, always the same ones.
    probe
        Examples to look at the network with later: a tensor of inputs or a pair (inputs, targets).
    describe
        What made the run, to be kept in run.json: model, dataset, optimizer, init, seed, parent…
    gradients_when
        Steps at which gradients are recorded.
    clipped
        Whether the gradients are clipped before :meth:`step` is called, or the norm that they are clipped to.
    scaler
        The GradScaler, if the loss is scaled; gradients are recorded unscaled, whether ``unscale_`` was called or not.
    optimizers
        The optimizers, if there are several and ``unscale_`` is called for only some of them.
    seed
        Seed of the choice of entries.
    segment_rows
        Gradients are written after so many rows, or earlier when they have grown to 16 MiB.
    resume
        To go on with the run that is in `directory`, the step at which training goes on: what was recorded at or
        after it is dropped, as it will come again. True goes on after the last complete row, which is
        ``recorder.next_step``, and starts a run where there is none.

    Attributes
    ----------
    directory : Path
        Where the run goes.
    next_step : int
        The step that the next call of :meth:`step` records.

    Examples
    --------
    >>> import tempfile, torch
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> directory = Path(tempfile.mkdtemp())
    >>> with Recorder(model, directory, when=every(2)) as recorder:
    ...     for _ in range(3):
    ...         optimizer.zero_grad()
    ...         loss = model(torch.ones(4, 2)).square().mean()
    ...         loss.backward()
    ...         recorder.step(loss=loss)
    ...         optimizer.step()
    >>> sorted(path.name for path in directory.iterdir())
    ['checkpoint-0', 'checkpoint-2', 'checkpoint-3', 'gradients', 'metrics.jsonl', 'run.json']
    """

    def __init__(
        self,
        model: nn.Module,
        directory: str | os.PathLike[str],
        *,
        when: Callable[[int], bool] = EVERY_STEP,
        gradients: bool | int = True,
        probe: Probe | None = None,
        describe: Mapping[str, Any] | None = None,
        gradients_when: Callable[[int], bool] = EVERY_STEP,
        clipped: bool | float | None = None,
        scaler: GradScaler | None = None,
        optimizers: Iterable[Optimizer] = (),
        seed: int = 0,
        segment_rows: int = 100,
        resume: bool | int = False,
    ) -> None:
        for name, schedule in {"when": when, "gradients_when": gradients_when}.items():
            if not callable(schedule):
                raise BadSetting(f"{name} takes a function from a step to a bool; found {schedule!r}. Try every(10)")
        if gradients is not True and gradients is not False and gradients < 1:
            raise BadSetting(f"gradients takes True, False or a number of entries from 1 on; found {gradients!r}")
        self.directory = Path(directory)
        self._when = when
        self._gradients_when = gradients_when if gradients is not False else None
        self._scaler = scaler
        self._optimizers = list(optimizers)
        self._inventory = take_inventory(model)
        tensors = probe_tensors(probe)
        indices = {} if gradients is False else self._draw_indices(gradients, seed)
        facts = _facts(self._inventory, gradients, indices, seed, clipped, probe_facts(tensors), describe or {})
        self.next_step, self._facts = self._find_place(facts, resume)
        self._lay_out(tensors, indices)
        ...
