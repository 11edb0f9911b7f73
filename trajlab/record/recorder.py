"""The Recorder, which writes each step of a training loop to disk."""

import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from trajlab.errors import BadSetting, TrajlabError
from trajlab.record.facts import gradient_facts, run_facts
from trajlab.record.frozen import FrozenShards
from trajlab.record.inventory import take_inventory
from trajlab.record.metrics import MetricsLog, metric_row
from trajlab.record.moments import copy_moments
from trajlab.record.probe import Probe, probe_facts, probe_tensors
from trajlab.record.sampling import sample_indices
from trajlab.record.schedules import every
from trajlab.record.segments import GradientSegments
from trajlab.record.start import begin_run, note_constants, write_constants
from trajlab.record.unscaling import loss_scales
from trajlab.record.writer import Writer, write_checkpoint, write_json
from trajlab.runs.disk.paths import is_url
from trajlab.runs.trust import leave_mark
from trajlab.schema import GRADIENTS_FOLDER, METRICS_FILE, RUN_FILE, checkpoint_folder

EVERY_STEP = every(1)


class Recorder:
    """Record weights, buffers, gradients and metrics of a training run, without changing the run.

    Call :meth:`step` once for each optimizer step, between ``backward()`` and ``optimizer.step()``. Row t then holds
    the weights before update t and the gradient at these weights. At the end of the ``with`` block (or with
    :meth:`close`) the weights after the last update are written too. After an exception only the recorded steps are
    saved, and the run counts as unfinished.

    Names are those of ``model.state_dict()``, without the prefixes of torch.compile and DistributedDataParallel. Tied
    weights are stored once; extra state that is neither parameter nor buffer is omitted. In distributed training,
    record in one process. The Recorder draws no random number from the global generators.

    Parameters
    ----------
    model
        The model being trained.
    directory
        Folder of the run, which is empty or does not exist yet.
    when
        Steps at which weights and buffers are recorded; a function from the step to a bool, see
        :mod:`trajlab.record.schedules`.
    gradients
        True to record all entries of the gradients, False for none, a number to sample at most that many entries of
        each tensor, the same ones at every step.
    parameters
        Which parameters and buffers are recorded: their names, those of their modules, or patterns such as
        "layer1.*"; by default all. A run without some cannot be replayed. run.json names those left out.
    probe
        Examples for the replay of snapshots: a tensor of inputs or a pair (inputs, targets).
    describe
        Description of the run for run.json: model, dataset, optimizer, init, seed, parent…
    gradients_when
        Steps at which gradients are recorded.
    clipped
        Whether the gradients are clipped before :meth:`step` is called, or the norm that they are clipped to.
    scaler
        The GradScaler, if the loss is scaled; gradients are recorded unscaled, whether ``unscale_`` was called or not.
    optimizers
        The optimizers, if there are several and ``unscale_`` is called for only some of them, or their moments are
        recorded.
    moments
        Whether the state of the optimizers is recorded with each snapshot, as before the update: with Adam it is twice
        as large as the weights.
    seed
        Seed of the sampled entries.
    segment_rows
        Most rows of gradients in one file; it is written earlier when it has grown to 16 MiB.
    resume
        Step at which training resumes the run in `directory`: rows recorded at or after it are dropped, as they will
        be recorded again. True resumes after the last complete row, at ``recorder.next_step``, and starts a run where
        there is none.

    Attributes
    ----------
    directory : Path
        Folder of the run.
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
    ['checkpoint-0', 'checkpoint-2', 'checkpoint-3', 'gradients', 'manifest.jsonl', 'metrics.jsonl', 'run.json']
    """

    def __init__(
        self,
        model: nn.Module,
        directory: str | os.PathLike[str],
        *,
        when: Callable[[int], bool] = EVERY_STEP,
        gradients: bool | int = True,
        parameters: Sequence[str] | str | None = None,
        probe: Probe | None = None,
        describe: Mapping[str, Any] | None = None,
        gradients_when: Callable[[int], bool] = EVERY_STEP,
        clipped: bool | float | None = None,
        scaler: GradScaler | None = None,
        optimizers: Iterable[Optimizer] = (),
        moments: bool = False,
        seed: int = 0,
        segment_rows: int = 100,
        resume: bool | int = False,
    ) -> None:
        for name, schedule in {"when": when, "gradients_when": gradients_when}.items():
            if not callable(schedule):
                raise BadSetting(
                    f"cannot use {name}={schedule!r}: it is not a function from a step to a bool; try every(10)"
                )
        if gradients is not True and gradients is not False and gradients < 1:
            raise BadSetting(f"cannot use gradients={gradients!r}: pass True, False or a number of entries from 1 on")
        if is_url(directory):
            raise BadSetting(
                f"cannot record to {directory}: recording renames files, which object stores cannot; record to a local "
                "folder, and copy or pack it to the URL"
            )
        self._optimizers = list(optimizers)
        if moments and not self._optimizers:
            raise BadSetting("cannot record moments: no optimizer is named; pass optimizers=[optimizer]")
        self._moments = moments
        self.directory = Path(directory)
        self._when = when
        self._gradients_when = gradients_when if gradients is not False else None
        self._scaler = scaler
        inventory = take_inventory(model)
        self._inventory = inventory if parameters is None else inventory.choose(parameters)
        recorded = self._inventory.parameters
        indices = {} if isinstance(gradients, bool) else _sampled_entries(recorded, gradients, seed)
        probed = probe_tensors(probe)
        facts = run_facts(
            self._inventory,
            gradients=gradient_facts(gradients, indices, seed, clipped),
            probe=probe_facts(probed),
            describe=describe,
        )
        self.next_step, self._facts = begin_run(self.directory, facts, resume, when, self._gradients_when)
        indices = write_constants(self.directory, self._facts, probed, indices)
        leave_mark(self.directory, self._facts)
        self._metrics = MetricsLog(self.directory / METRICS_FILE)
        self._writer = Writer()
        self._frozen_shards = FrozenShards()
        folder = self.directory / GRADIENTS_FOLDER
        self._segments = GradientSegments(recorded, indices, folder, self._writer, rows=segment_rows)
        self._finish = weakref.finalize(self, _finish, self._segments, self._writer, self._metrics, os.getpid())

    def step(self, **metrics: Any) -> None:
        """Record one step; call it between ``backward()`` and ``optimizer.step()``.

        Parameters
        ----------
        **metrics
            Numbers to record, such as the loss; tensors of one element are converted.
        """
        if not self._finish.alive:
            raise BadSetting(f"cannot record a step: the Recorder is closed; resume {self.directory} with a new one")
        self._writer.raise_failure()
        step = self.next_step
        row = metric_row(step, metrics)
        state = self._inventory.copy_state() if self._when(step) else None
        if self._gradients_when is not None and self._gradients_when(step):
            scales = loss_scales(self._scaler, self._optimizers, self._inventory.parameters)
            self._segments.append(step, scales)
        self._metrics.append(row)
        self.next_step = step + 1
        if state is not None:
            self._metrics.flush()
            self._submit_checkpoint(step, state)
        if self._segments.full:
            self._metrics.flush()
            self._segments.close()

    def flush(self) -> None:
        """Write all rows recorded so far to disk, and wait until they are there.

        Call it when you save the state of your training: a run can be resumed up to the step to which it is complete.
        """
        if self._finish.alive:
            self._metrics.flush()
            self._segments.close()
        self._writer.wait()

    def close(self) -> None:
        """Write the weights after the last update and end the run; a second call has no effect."""
        if not self._finish.alive:
            return
        try:
            self._submit_checkpoint(self.next_step, self._inventory.copy_state())
        finally:
            self._finish()
        self._writer.raise_failure()
        write_json(self.directory / RUN_FILE, self._facts | {"closed": self.next_step})
        note_constants(self.directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        self._finish()
        if not isinstance(error, TrajlabError):
            self._writer.raise_failure()

    def _submit_checkpoint(self, step: int, state: Mapping[str, torch.Tensor]) -> None:
        folder = self.directory / checkpoint_folder(step)
        frozen = {name for name, parameter in self._inventory.parameters.items() if not parameter.requires_grad}
        frozen = frozen if set(state) - frozen else set()
        optimizers = copy_moments(self._optimizers, self._inventory.parameters) if self._moments else None
        self._writer.submit(partial(write_checkpoint, folder, state, frozen, self._frozen_shards, optimizers))


def _sampled_entries(parameters: Mapping[str, torch.Tensor], entries: int, seed: int) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(sample_indices(name, parameter.shape, entries, seed=seed))
        for name, parameter in parameters.items()
        if parameter.numel() > entries
    }


def _finish(segments: GradientSegments, writer: Writer, metrics: MetricsLog, process: int) -> None:
    if os.getpid() != process:
        return
    try:
        metrics.close()
    finally:
        segments.close()
        writer.stop()
