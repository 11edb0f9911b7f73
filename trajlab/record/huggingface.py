"""Record under the Trainer of Hugging Face's transformers; needs ``trajlab[huggingface]``."""

import os
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trajlab.record.recorder import Recorder

DEFAULTS = {"gradients": 4096, "on_error": "warn"}
"""Settings that are safe for large models and trainings that cost money."""

USUAL_NAMES = {"optim": "optimizer", "learning_rate": "lr", "per_device_train_batch_size": "batch_size"}
"""Names of facts of a run by those of TrainingArguments."""

OF_OUTPUT = ("output_dir", "logging_dir", "run_name")
"""Arguments that say where results go, not what is trained."""


class RecorderCallback(TrainerCallback):
    """Record the training of the Trainer of transformers.

    Gradients are recorded unscaled and after clipping, one row each optimizer step, with the learning rate and what the
    Trainer logs: the loss (the mean of the steps since the last log; of each step with ``logging_steps=1``), the norm
    of the gradient before clipping, the epoch. Metrics of an evaluation stand at the weights that were evaluated.
    run.json describes the run by the TrainingArguments.

    When the Trainer resumes from one of its checkpoints, the recorded run resumes at the same step. The Trainer does
    not inform callbacks of an exception: the run is then saved, unfinished, when the program ends.

    Parameters
    ----------
    directory
        Folder of the run; another folder than the Trainer's ``output_dir``, whose checkpoints have the same names.
    **settings
        Settings of :class:`trajlab.record.Recorder`. Other than there, at most 4,096 entries of each gradient are
        recorded by default, and an error of recording does not end the training (``on_error="warn"``).

    Examples
    --------
    >>> from trajlab import every
    >>> callback = RecorderCallback("data/snapshots/bert/adamw-0", when=every(500))
    >>> trainer = Trainer(model, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, directory: str | os.PathLike[str], **settings: Any) -> None:
        self.recorder: Recorder | None = None
        self._directory = directory
        self._settings = settings
        self._evaluated: dict[str, float] = {}

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: Any,
    ) -> None:
        """Open the run."""
        model, optimizer = others["model"], others["optimizer"]
        settings: dict[str, Any] = DEFAULTS | {
            "clipped": args.max_grad_norm or False,
            "scaler": getattr(optimizer, "scaler", None),
            "resume": state.global_step or False,
            "steps": state.max_steps,
            "describe": described(args),
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
            self.recorder.step(lr=others["optimizer"].param_groups[0]["lr"], **self._evaluated)
            self._evaluated = {}

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Add what the Trainer logs to the step that it is of: the last one, or the next for those of an evaluation."""
        logs = {name: value for name, value in others["logs"].items() if isinstance(value, int | float)}
        if self.recorder is None or "train_runtime" in logs:
            return
        if any(name.startswith("eval_") for name in logs):
            self._evaluated = {name: value for name, value in logs.items() if name.startswith("eval_")}
        elif state.global_step == self.recorder.next_step:
            self.recorder.add_metrics(**{name: value for name, value in logs.items() if name != "learning_rate"})

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Complete the run on disk, so that it can be resumed from this checkpoint."""
        if self.recorder is not None:
            self.recorder.flush()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Record the weights after the last update."""
        if self.recorder is not None:
            self.recorder.close(**self._evaluated)


def described(args: TrainingArguments) -> dict[str, Any]:
    """Return the arguments of a Trainer that may distinguish runs, for run.json; some under their usual names."""
    return {
        USUAL_NAMES.get(name, name): value
        for name, value in args.to_sanitized_dict().items()
        if isinstance(value, str | int | float) and name not in OF_OUTPUT
    }
