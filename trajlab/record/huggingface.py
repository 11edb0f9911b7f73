"""Record under the Trainer of Hugging Face's transformers; needs ``trajlab[huggingface]``."""

import os
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trajlab.record.recorder import Recorder


class RecorderCallback(TrainerCallback):
    """Record the training of the Trainer of transformers.

    Gradients are recorded unscaled and after clipping, with the learning rate, one row each optimizer step. When the
    Trainer resumes from one of its checkpoints, the recorded run resumes at the same step. The Trainer does not inform
    callbacks of an exception: the run is then saved, unfinished, when the program ends.

    Parameters
    ----------
    directory
        Folder of the run; another folder than the Trainer's ``output_dir``, whose checkpoints have the same names.
    **settings
        Settings of :class:`trajlab.record.Recorder`.

    Examples
    --------
    >>> callback = RecorderCallback("data/snapshots/bert/adamw-0", gradients=4096)
    >>> trainer = Trainer(model, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, directory: str | os.PathLike[str], **settings: Any) -> None:
        self.recorder: Recorder | None = None
        self._directory = directory
        self._settings = settings

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: Any,
    ) -> None:
        """Open the run."""
        if state.is_world_process_zero:
            model, optimizer = others["model"], others["optimizer"]
            settings: dict[str, Any] = {
                "clipped": args.max_grad_norm or False,
                "scaler": getattr(optimizer, "scaler", None),
                "resume": state.global_step or False,
            }
            self.recorder = Recorder(model, self._directory, **(settings | self._settings))

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: Any,
    ) -> None:
        """Record a row."""
        if self.recorder is not None:
            self.recorder.step(lr=others["optimizer"].param_groups[0]["lr"])

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Complete the run on disk, so that it can be resumed from this checkpoint."""
        if self.recorder is not None:
            self.recorder.flush()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Record the weights after the last update."""
        if self.recorder is not None:
            self.recorder.close()
