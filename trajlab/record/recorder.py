"""The Recorder, which writes each step of a training loop to disk."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from trajlab.errors import BadSetting, TrajlabError
from trajlab.record.estimate import Estimate
from trajlab.record.gathering import all_succeeded
from trajlab.record.inventory import has_sharded, has_uninitialized
from trajlab.record.probe import Probe
from trajlab.record.ranks import rank_and_size
from trajlab.record.recording import Recording
from trajlab.record.resume import next_step
from trajlab.record.schedules import every
from trajlab.record.witness import Witness
from trajlab.runs.disk.paths import is_url
from trajlab.terminal import say

EVERY_STEP = every(1)

LIMIT_BYTES = 1e11
"""Size of a run above which it is said before the first write."""

PATIENCE_SECONDS = 300
"""Time after which a write that does not end turns recording off, with ``on_error="warn"``."""


class Recorder:
    """Record weights, buffers, gradients and metrics of a training run, without changing the run.

    Call :meth:`step` once for each optimizer step, between ``backward()`` and ``optimizer.step()``. Row t then holds
    the weights before update t and the gradient at these weights. At the end of the ``with`` block (or with
    :meth:`close`) the weights after the last update are written too. After an exception only the recorded steps are
    saved, and the run counts as unfinished.

    Names are those of ``model.state_dict()``, without the prefixes of torch.compile and DistributedDataParallel. Tied
    weights are stored once; extra state that is neither parameter nor buffer is omitted. The Recorder draws no random
    number from the global generators. Parameters that are added, removed or frozen on the way are recorded as long as
    they are there; a model with lazy modules is recorded from its first step on.

    In distributed training make the Recorder, and call its methods, in every process: the first one writes. Parameters
    that are sharded (FSDP2, tensor parallel) are gathered one at a time, and of sampled gradients only the entries that
    are recorded. In a process that was forked, such as a worker of a DataLoader, a Recorder does nothing.

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
        as large as the weights. Not of sharded parameters.
    seed
        Seed of the sampled entries.
    segment_rows
        Most rows of gradients in one file; it is written earlier when it has grown to 16 MiB.
    resume
        Step at which training resumes the run in `directory`: rows recorded at or after it are dropped, as they will
        be recorded again. True resumes after the last complete row, at ``recorder.next_step``, and starts a run where
        there is none.
    on_error
        "raise", or "warn": an error of recording, such as a full disk, a tensor that cannot be recorded or a write that
        does not end within five minutes, is said in one line and turns recording off, and training goes on; the end of
        the run says what is missing. Wrong arguments are always raised.
    ranks
        Which processes of a distributed training record: "first", or "each" to a folder ``rank-<number>`` of its own.
    steps
        Number of steps of the training, if it is known, for the estimate.
    limit
        Bytes: a run that will take more, or more than the disk has free, is said before it begins; None for no limit.

    Attributes
    ----------
    directory : Path
        Folder of the run.
    next_step : int
        The step that the next call of :meth:`step` records.
    estimate : Estimate or None
        Bytes of a snapshot, of a row of gradients and of the run, or of its next thousand steps if `steps` is unknown.
        None where nothing is recorded, and before the first step of a model with lazy modules.

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
        on_error: Literal["raise", "warn"] = "raise",
        ranks: Literal["first", "each"] = "first",
        steps: int | None = None,
        limit: float | None = LIMIT_BYTES,
    ) -> None:
        for name, schedule in {"when": when, "gradients_when": gradients_when}.items():
            if not callable(schedule):
                raise BadSetting(
                    f"cannot use {name}={schedule!r}: it is not a function from a step to a bool; try every(10)"
                )
        if gradients is not True and gradients is not False and gradients < 1:
            raise BadSetting(f"cannot use gradients={gradients!r}: pass True, False or a number of entries from 1 on")
        if on_error not in ("raise", "warn"):
            raise BadSetting(f"cannot use on_error={on_error!r}: pass 'raise' or 'warn'")
        if ranks not in ("first", "each"):
            raise BadSetting(f"cannot use ranks={ranks!r}: pass 'first' or 'each'")
        if is_url(directory):
            raise BadSetting(
                f"cannot record to {directory}: recording renames files, which object stores cannot; record to a local "
                "folder, and copy or pack it to the URL"
            )
        optimizers = list(optimizers)
        if moments and not optimizers:
            raise BadSetting("cannot record moments: no optimizer is named; pass optimizers=[optimizer]")
        self._rank, size = rank_and_size()
        self._sharded = has_sharded(model)
        if self._sharded and moments:
            raise BadSetting("cannot record moments of sharded parameters: save them with torch.distributed.checkpoint")
        if self._sharded and ranks == "each":
            raise BadSetting("cannot use ranks='each' with sharded parameters: no process holds a whole network")
        self.directory = Path(directory) / f"rank-{self._rank}" if ranks == "each" and size > 1 else Path(directory)
        self._writes = ranks == "each" or self._rank == 0
        self._raises = on_error == "raise"
        self._process, self._said_fork = os.getpid(), False
        self._schedules = (when, None if gradients is False else gradients_when)
        self._error: Exception | None = None
        self._closed = False
        self._recording: Recording | Witness | None = None
        self._make: Callable[[], Recording | Witness | None] = partial(
            Recording, model, self.directory, when=when, gradients=gradients, parameters=parameters, probe=probe,
            describe=describe, gradients_when=gradients_when, clipped=clipped, scaler=scaler,
            optimizers=optimizers, moments=moments, seed=seed, segment_rows=segment_rows, resume=resume, stop=steps,
            limit=limit, patience=None if self._raises else PATIENCE_SECONDS,
        )  # fmt: skip
        self._watch = partial(
            Witness,
            model,
            parameters=parameters,
            when=when,
            gradients=gradients,
            gradients_when=gradients_when,
            seed=seed,
        )
        if not self._writes:
            self._make = self._watch if self._sharded else lambda: None
            if self._rank == 1:
                others = f"the {size - 1} processes from rank 1 on" if size > 2 else "rank 1"
                say(f"rank 0 records to {self.directory}, and {others} not; ranks='each' records a folder for each")
        self._first = self._count = 0 if resume is False else self._resumed(resume)
        self._waits = has_uninitialized(model)
        if self._waits and resume is not False:
            raise BadSetting("cannot resume with parameters that have no shape yet; run the model once before")
        if not self._waits:
            self._try(self._begin)

    @property
    def next_step(self) -> int:
        """The step that the next call of :meth:`step` records."""
        return self._recording.next_step if isinstance(self._recording, Recording) else self._count

    @property
    def estimate(self) -> Estimate | None:
        """Bytes that the recording takes."""
        return self._recording.estimate if isinstance(self._recording, Recording) else None

    def step(self, **metrics: Any) -> None:
        """Record one step; call it between ``backward()`` and ``optimizer.step()``.

        Parameters
        ----------
        **metrics
            Numbers to record, such as the loss; tensors of one element are converted.
        """
        if self._is_fork():
            return
        if self._closed:
            raise BadSetting(f"cannot record a step: the Recorder is closed; resume {self.directory} with a new one")
        self._try(self._step, metrics)
        self._count += 1

    def add_metrics(self, **metrics: Any) -> bool:
        """Add metrics to the step that was recorded last, such as those that are known after the update only.

        Parameters
        ----------
        **metrics
            Numbers to record, as of `step`.

        Returns
        -------
        Whether they were added: not if nothing is recorded, or if `flush` has written the row.
        """
        added: list[bool] = []
        if not self._is_fork() and isinstance(recording := self._recording, Recording):
            self._try(lambda: added.append(recording.add_metrics(metrics)))
        return added == [True]

    def flush(self) -> None:
        """Write all rows recorded so far to disk, and wait until they are there.

        Call it when you save the state of your training: a run can be resumed up to the step to which it is complete.
        """
        if not self._is_fork() and isinstance(self._recording, Recording):
            self._try(self._recording.flush)

    def close(self, **metrics: Any) -> None:
        """Write the weights after the last update and end the run; a second call has no effect.

        Parameters
        ----------
        **metrics
            Metrics of the weights after the last update, such as those of an evaluation.
        """
        if self._is_fork() or self._closed:
            return
        self._closed = True
        if self._recording is not None:
            self._try(self._recording.close, metrics)
        self._say_missing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        if self._is_fork() or self._closed:
            return
        self._closed = True
        if isinstance(self._recording, Recording):
            self._try(self._recording.end)
            if not isinstance(error, TrajlabError):
                self._try(self._recording.raise_failure)
        self._say_missing()

    def _begin(self) -> None:
        """Begin the recording, if it can begin in all processes."""
        self._waits = False
        try:
            self._recording = self._make()
        except Exception:
            if self._sharded:
                all_succeeded(False)
            raise
        if self._sharded and not all_succeeded(True):
            if isinstance(self._recording, Recording):
                self._recording.end()
            self._recording = None
            raise TrajlabError("cannot record sharded parameters: another process could not begin")

    def _step(self, metrics: Mapping[str, Any]) -> None:
        if self._waits:
            self._begin()
        if isinstance(self._recording, Recording):
            self._recording.step(metrics)
        elif self._recording is not None:
            self._recording.step(self._count)

    def _try(self, action: Callable[..., None], *arguments: Any) -> None:
        """Do something; an error turns recording off where it is not to be raised."""
        try:
            action(*arguments)
        except Exception as error:
            if self._raises:
                raise
            self._turn_off(error)

    def _turn_off(self, error: Exception) -> None:
        """Say why nothing is recorded from now on; go on with gathering, which other processes wait for."""
        recording, self._error = self._recording, self._error or error
        say(f"recording to {self.directory} is off from step {self._count} on, training goes on: {error}")
        self._recording = None
        if isinstance(recording, Recording):
            with suppress(Exception):
                recording.end()
            if self._sharded:
                self._recording = self._watch()
                if recording.collected <= self._count:
                    self._recording.step(self._count)

    def _say_missing(self) -> None:
        """Say what is missing of a run whose recording was turned off."""
        if self._error is None:
            return
        try:
            complete = next_step(self.directory, *self._schedules)
        except Exception:
            complete = self._first
        missing = f"steps {complete} to {self._count - 1} and " if self._count > complete else ""
        say(f"{self.directory} lacks {missing}the weights after the last update, as recording failed: {self._error}")

    def _resumed(self, resume: bool | int) -> int:
        """Return the step at which a process that does not write resumes."""
        if resume is not True:
            return int(resume)
        with suppress(Exception):
            return next_step(self.directory, *self._schedules)
        return 0

    def _is_fork(self) -> bool:
        """Return whether this process was forked from the one that records; say it once."""
        if os.getpid() == self._process:
            return False
        if not self._said_fork:
            self._said_fork = True
            say(f"process {os.getpid()} was forked and does not record to {self.directory}")
        return True
