"""One recording: the files of a run, and what each step adds to them."""

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from trajlab.errors import BadSetting, OutputExists, first_of
from trajlab.record.estimate import Estimate, estimate
from trajlab.record.facts import gradient_facts, run_facts
from trajlab.record.folder_lock import FolderLock
from trajlab.record.frozen import FrozenShards
from trajlab.record.gathering import GradientGathering
from trajlab.record.inventory import Inventory, take_inventory
from trajlab.record.metrics import MetricsLog, append_row, metric_row
from trajlab.record.moments import copy_moments, moment_bytes
from trajlab.record.probe import Probe, probe_facts, probe_tensors
from trajlab.record.recordable import check_recordable
from trajlab.record.sampling import sampled_entries
from trajlab.record.segments import GradientSegments
from trajlab.record.start import begin_run, note_constants, write_constants
from trajlab.record.unscaling import loss_scales
from trajlab.record.updates import UpdateCount
from trajlab.record.writer import Writer, naming_failures, write_checkpoint, write_json, write_tensors
from trajlab.runs.trust import leave_mark
from trajlab.schema import GRADIENTS_FOLDER, INDICES_FILE, METRICS_FILE, RUN_FILE, checkpoint_folder
from trajlab.terminal import say


class Recording:
    """The run that a Recorder writes; see there for the parameters. Every error is raised.

    Parameters
    ----------
    patience
        Seconds after which a write that does not end is an error; None waits forever.
    stop
        Number of steps of the training, None if it is unknown.
    limit
        Bytes above which the size of the run is said.
    """

    def __init__(
        self,
        model: nn.Module,
        directory: Path,
        *,
        when: Callable[[int], bool],
        gradients: bool | int,
        parameters: Sequence[str] | str | None,
        probe: Probe | None,
        describe: Mapping[str, Any] | None,
        gradients_when: Callable[[int], bool],
        clipped: bool | float | None,
        scaler: GradScaler | None,
        optimizers: Sequence[Optimizer],
        moments: bool,
        seed: int,
        segment_rows: int,
        resume: bool | int,
        stop: int | None,
        limit: float | None,
        patience: float | None,
    ) -> None:
        self._directory = directory
        self._model, self._choice = model, parameters
        self._when = when
        self._gradients_when = gradients_when if gradients is not False else None
        self._gradients, self._seed, self._rows = gradients, seed, segment_rows
        self._scaler, self._optimizers, self._moments = scaler, optimizers, moments
        self._inventory = self._take_inventory()
        check_recordable(model, self._inventory.tensors(), gradients=gradients is not False)
        indices = self._sampled_entries()
        probed = probe_tensors(probe)
        facts = run_facts(
            self._inventory,
            gradients=gradient_facts(gradients, indices, seed, clipped),
            probe=probe_facts(probed),
            describe=describe,
        )
        if directory.exists() and not directory.is_dir():
            raise OutputExists(f"cannot record to {directory}: it is a file; name a folder")
        with naming_failures(directory):
            lock = FolderLock(directory)
        try:
            self.next_step, self._facts = begin_run(directory, facts, resume, when, self._gradients_when)
            self._indices = write_constants(directory, self._facts, probed, indices)
            leave_mark(directory, self._facts)
            self._writer = Writer(patience)
            self._metrics = MetricsLog(directory / METRICS_FILE, self._writer)
        except BaseException:
            lock.release()
            raise
        self.collected = self.next_step
        self._frozen_shards = FrozenShards()
        self._frozen = set(self._facts["frozen"])
        self._updates = UpdateCount()
        self._segments = GradientSegments(directory / GRADIENTS_FOLDER, self._writer, rows=segment_rows)
        self._segments.begin(self._inventory.parameters, self._indices, self._gathering())
        self.estimate = self._estimate(stop)
        if excess := self.estimate.excess(directory, limit):
            say(
                f"{directory} will take {self.estimate}. That is more than {excess}: record weights less often "
                "(when=), or sample gradients (gradients=4096)"
            )
        self._finish = weakref.finalize(self, _finish, self._segments, self._writer, self._metrics, lock, os.getpid())

    @property
    def is_open(self) -> bool:
        """Whether steps can be recorded."""
        return self._finish.alive

    def step(self, metrics: Mapping[str, Any]) -> None:
        """Record one step."""
        self._writer.raise_failure()
        step = self.next_step
        row = metric_row(step, metrics)
        if not self._inventory.is_current:
            self._adapt(step)
        if not self._inventory.is_sharded:
            self._updates.count(self._inventory.parameters.values())
        state = self._inventory.copy_state() if self._when(step) else None
        if self._gradients_when is not None and self._gradients_when(step):
            scales = loss_scales(self._scaler, self._optimizers, self._inventory.parameters)
            self._segments.append(step, scales)
        self.collected = step + 1
        self._metrics.append(row)
        self.next_step = step + 1
        if state is not None or self._segments.full:
            self._metrics.write_waiting()
        if state is not None:
            self._submit_checkpoint(step, state)
        if self._segments.full:
            self._segments.close()

    def add_metrics(self, metrics: Mapping[str, Any]) -> bool:
        """Add metrics to the step that was recorded last; return whether its row was not yet written."""
        return self._metrics.add(metric_row(self.next_step - 1, metrics))

    def flush(self) -> None:
        """Write all rows recorded so far to disk, and wait until they are there."""
        if self.is_open:
            self._metrics.flush()
            self._segments.close()
        self._writer.wait()

    def close(self, metrics: Mapping[str, Any]) -> None:
        """Write the weights after the last update, with metrics of them, and end the run."""
        row = metric_row(self.next_step, metrics)
        try:
            state = self._inventory.copy_state()
            self.collected += 1
            self._metrics.flush()
            self._segments.close()
            self._submit_checkpoint(self.next_step, state)
        finally:
            self._finish()
        self._writer.raise_failure()
        frozen = [name for name in self._facts["parameters"] if name in self._frozen]
        write_json(self._directory / RUN_FILE, self._facts | {"closed": self.next_step, "frozen": frozen})
        if metrics:
            append_row(self._directory / METRICS_FILE, row)
        note_constants(self._directory)
        if problem := self._updates.problem(self.next_step):
            say(f"{self._directory}: {problem}")

    def end(self) -> None:
        """Save the recorded steps, and leave the run unfinished."""
        self._finish()

    def raise_failure(self) -> None:
        """Raise the error of a write, if there was one."""
        self._writer.raise_failure()

    def _take_inventory(self) -> Inventory:
        inventory = take_inventory(self._model)
        return inventory if self._choice is None else inventory.choose(self._choice)

    def _sampled_entries(self) -> dict[str, torch.Tensor]:
        if isinstance(self._gradients, bool):
            return {}
        return sampled_entries(self._inventory.parameters, self._gradients, self._seed)

    def _gathering(self) -> GradientGathering:
        sampled = not isinstance(self._gradients, bool)
        return GradientGathering(self._inventory.parameters, self._indices, sampled=sampled)

    def _estimate(self, stop: int | None) -> Estimate:
        tensors = self._inventory.tensors().values()
        snapshot_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        snapshot_bytes += moment_bytes(self._optimizers) if self._moments else 0
        return estimate(
            snapshot_bytes, self._segments.row_bytes, self._when, self._gradients_when, self.next_step, stop
        )

    def _submit_checkpoint(self, step: int, state: Mapping[str, torch.Tensor]) -> None:
        folder = self._directory / checkpoint_folder(step)
        frozen = {name for name, parameter in self._inventory.parameters.items() if not parameter.requires_grad}
        self._frozen &= frozen
        frozen = frozen if set(state) - frozen else set()
        optimizers = copy_moments(self._optimizers, self._inventory.parameters) if self._moments else None
        self._writer.submit(partial(write_checkpoint, folder, state, frozen, self._frozen_shards, optimizers))

    def _adapt(self, step: int) -> None:
        """Record the parameters that the model has now, where its structure has changed."""
        before, self._inventory = self._inventory, self._take_inventory()
        for name, parameter in self._inventory.parameters.items():
            shape = self._facts["shapes"].get(name)
            if shape is not None and shape != list(parameter.shape):
                raise BadSetting(
                    f"cannot record {name}: its shape changed from {shape} to {list(parameter.shape)}; record the "
                    "steps after the change as a run of their own"
                )
        check_recordable(self._model, self._inventory.tensors(), gradients=self._gradients is not False)
        self._metrics.flush()
        self._segments.close()
        names, earlier = list(self._inventory.parameters), list(before.parameters)
        if names != earlier:
            added = [name for name in names if name not in earlier]
            removed = [name for name in earlier if name not in names]
            changes = [f"{first_of(some)} {verb}" for some, verb in ((added, "began"), (removed, "ended")) if some]
            say(f"{self._directory}: parameters of the model changed before step {step}: {', '.join(changes)}")
            self._write_structure()
        self._segments.begin(self._inventory.parameters, self._indices, self._gathering())

    def _write_structure(self) -> None:
        """Add the parameters of the model to run.json and to the sampled entries."""
        recorded = self._facts["parameters"]
        new = run_facts(self._inventory, gradients=None, probe=None, describe=None)
        lists = {
            key: [*new[key], *(name for name in self._facts[key] if name not in new[key])]
            for key in ("parameters", "buffers", "not_recorded")
        }
        mappings = {key: self._facts[key] | new[key] for key in ("tied", "modules", "shapes", "adapters")}
        self._facts = self._facts | lists | mappings
        self._frozen |= set(new["frozen"]) - set(recorded)
        self._indices = self._sampled_entries() | self._indices
        if self._indices:
            counts = {name: len(positions) for name, positions in self._indices.items()}
            self._facts["gradients"] = self._facts["gradients"] | {"sampled": counts}
            path = self._directory / GRADIENTS_FOLDER / INDICES_FILE
            self._writer.submit(partial(write_tensors, path, dict(self._indices), {}), small=True)
        self._writer.submit(partial(write_json, self._directory / RUN_FILE, self._facts), small=True)


def _finish(segments: GradientSegments, writer: Writer, metrics: MetricsLog, lock: FolderLock, process: int) -> None:
    if os.getpid() != process:
        return
    try:
        metrics.flush()
        segments.close()
    finally:
        writer.stop(metrics.close)
        lock.release()
