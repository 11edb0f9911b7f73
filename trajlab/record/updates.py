"""Whether the optimizer made one update between two calls of step()."""

from collections.abc import Iterable

import torch

MANY = 0.25
"""Share of calls without an update that is more than the steps that a GradScaler skips."""


class UpdateCount:
    """Counts calls of step() with and without an update of the weights since the call before.

    Whether there was one is read from torch's version counters, which every operation in place raises. Optimizers that
    write through ``.data`` raise none: if none was ever raised, nothing is said.
    """

    def __init__(self) -> None:
        self._versions: int | None = None
        self._changed = self._unchanged = 0

    def count(self, parameters: Iterable[torch.Tensor]) -> None:
        """Count one call of step()."""
        versions = sum(parameter._version for parameter in parameters)
        if self._versions is not None:
            self._changed += versions != self._versions
            self._unchanged += versions == self._versions
        self._versions = versions

    def problem(self, next_step: int = 0) -> str | None:
        """Return what is wrong in one sentence, None if nothing is.

        Parameters
        ----------
        next_step
            Step that would be recorded next: above 0 without a call of step() where a run was resumed.
        """
        if self._versions is None:
            resumed = f" since it was resumed at step {next_step:,}" if next_step else ""
            return f"no step was recorded{resumed}: call step() between backward() and optimizer.step()"
        calls = self._changed + self._unchanged
        if self._changed and self._unchanged > MANY * calls:
            return (
                f"the weights had not changed at {self._unchanged:,} of {calls:,} steps since the step before: call "
                "step() once for each optimizer.step()"
            )
        return None
