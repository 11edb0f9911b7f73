"""Record under Lightning's Trainer; needs ``trajlab[lightning]``."""

import math
import os
from collections.abc import Collection, Mapping
from typing import Any

import lightning.pytorch as pl
from torch import Tensor, nn
from torch.optim import Optimizer

from trajlab.record.gathering import is_sharded
from trajlab.record.recorder import Recorder

DEFAULTS = {"gradients": 4096, "on_error": "warn"}
"""Settings that are safe for large models and trainings that cost money."""


class RecorderCallback(pl.Callback):
    """Record the training of Lightning's Trainer.

    Gradients are recorded unscaled and before clipping, one row each optimizer step, with the loss, the learning rate,
    the norm of the gradient, the epoch and what the module logs at each step. Metrics of a validation stand at the
    weights that were validated; run.json describes the run by the optimizer and the module's hyperparameters. When the
    Trainer resumes from one of its checkpoints, the recorded run resumes at the same step.

    Parameters
    ----------
    directory
        Folder of the run.
    **settings
        Settings of :class:`trajlab.record.Recorder`. Other than there, at most 4,096 entries of each gradient are
        recorded by default, and an error of recording does not end the training (``on_error="warn"``).

    Examples
    --------
    >>> from trajlab import every
    >>> callback = RecorderCallback("data/snapshots/digits/sgd-0", when=every(100))
    >>> trainer = pl.Trainer(callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, directory: str | os.PathLike[str], **settings: Any) -> None:
        self.recorder: Recorder | None = None
        self._directory = directory
        self._settings = settings
        self._loss: Tensor | float = 0.0
        self._validated: dict[str, float] = {}
        self._first_step = 0
        self._training_names: set[str] = set()
        self._validation_names: set[str] = set()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the run."""
        settings: dict[str, Any] = DEFAULTS | {
            "clipped": False,
            "scaler": getattr(trainer.precision_plugin, "scaler", None),
            "resume": trainer.global_step or False,
            "steps": _steps(trainer),
            "describe": described(trainer, pl_module),
        }
        self.recorder = Recorder(pl_module, self._directory, **(settings | self._settings))
        self._first_step = self.recorder.next_step

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Add up the loss of the batches whose gradients are accumulated."""
        self._loss = self._loss + loss.detach()

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Record a row."""
        if self.recorder is not None:
            gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
            norm = {} if any(map(is_sharded, gradients)) else {"grad_norm": nn.utils.get_total_norm(gradients)}
            metrics = {"loss": self._loss, "lr": optimizer.param_groups[0]["lr"], "epoch": trainer.current_epoch}
            self.recorder.step(**(metrics | norm | self._validated))
            self._validated = {}
        self._loss = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add what the module has logged to the step that was recorded last."""
        if self.recorder is not None and trainer.global_step == self.recorder.next_step > self._first_step:
            logged = _numbers(trainer.callback_metrics, without=self._validation_names)
            self._training_names |= logged.keys()
            self.recorder.add_metrics(**logged)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep metrics of a validation for the next step, whose weights were validated."""
        if self.recorder is not None and not trainer.sanity_checking:
            self._validated = _numbers(trainer.callback_metrics, without=self._training_names)
            self._validation_names |= self._validated.keys()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Complete the run on disk, so that it can be resumed from this checkpoint."""
        if self.recorder is not None:
            self.recorder.flush()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the weights after the last update."""
        if self.recorder is not None:
            self.recorder.close(**self._validated)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save the recorded steps, and leave the run unfinished."""
        if self.recorder is not None:
            self.recorder.__exit__(type(exception), exception, exception.__traceback__)


def described(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """Return what may distinguish runs, for run.json: the optimizer, its learning rate, and hyperparameters."""
    facts: dict[str, Any] = {}
    if len(trainer.optimizers) == 1:
        optimizer = trainer.optimizers[0]
        facts = {"optimizer": type(optimizer).__name__, "lr": optimizer.param_groups[0]["lr"]}
    hyperparameters = {
        str(name): value for name, value in module.hparams.items() if isinstance(value, str | int | float)
    }
    return facts | hyperparameters


def _steps(trainer: pl.Trainer) -> int | None:
    steps = trainer.estimated_stepping_batches
    return int(steps) if math.isfinite(steps) else None


def _numbers(metrics: Mapping[str, Tensor], *, without: Collection[str]) -> dict[str, float]:
    """Return metrics that are one number, but those of some names, and the step, which the Recorder counts."""
    return {
        name: float(value) for name, value in metrics.items() if name not in (*without, "step") and value.numel() == 1
    }
