"""Record under Lightning's Trainer; needs ``trajlab[lightning]``."""

import os
from typing import Any

import lightning.pytorch as pl
from torch import Tensor
from torch.optim import Optimizer

from trajlab.record.recorder import Recorder


class RecorderCallback(pl.Callback):
    """Record the training of Lightning's Trainer.

    Gradients are recorded unscaled and before clipping, with the loss, one row each optimizer step. When the Trainer
    resumes from one of its checkpoints, the recorded run resumes at the same step.

    Parameters
    ----------
    directory
        Folder of the run.
    **settings
        Settings of :class:`trajlab.record.Recorder`.

    Examples
    --------
    >>> callback = RecorderCallback("data/snapshots/digits/sgd-0", gradients=4096)
    >>> trainer = pl.Trainer(callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, directory: str | os.PathLike[str], **settings: Any) -> None:
        self.recorder: Recorder | None = None
        self._directory = directory
        self._settings = settings
        self._loss: Tensor | float = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the run."""
        if trainer.is_global_zero:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            settings: dict[str, Any] = {"clipped": False, "scaler": scaler, "resume": trainer.global_step or False}
            self.recorder = Recorder(pl_module, self._directory, **(settings | self._settings))

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Add up the loss of the batches whose gradients are accumulated."""
        self._loss = self._loss + loss.detach()

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Record a row."""
        if self.recorder is not None:
            self.recorder.step(loss=self._loss)
        self._loss = 0.0

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Complete the run on disk, so that it can be resumed from this checkpoint."""
        if self.recorder is not None:
            self.recorder.flush()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the weights after the last update."""
        if self.recorder is not None:
            self.recorder.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save the recorded steps, and leave the run unfinished."""
        if self.recorder is not None:
            self.recorder.__exit__(type(exception), exception, exception.__traceback__)
