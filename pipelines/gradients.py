"""Which gradients a run records. Training uses the gradient of the batch in any case, to the bit."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

DECAY = 0.9
"""Decay of the moving average."""


class BatchGradient:
    """The gradient of the batch, which the update uses."""

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
        self.model = model

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Put the gradients to record into ``.grad`` of the parameters for the duration of the context."""
        of_batch = [parameter.grad for parameter in self.model.parameters()]
        for parameter, gradient in zip(self.model.parameters(), self.gradients(), strict=True):
            parameter.grad = gradient
        yield
        for parameter, gradient in zip(self.model.parameters(), of_batch, strict=True):
            parameter.grad = gradient

    def gradients(self) -> list[torch.Tensor | None]:
        """Return the gradients to record, in the order of the parameters."""
        return [parameter.grad for parameter in self.model.parameters()]

    def state(self) -> list[torch.Tensor | None]:
        """Return what resuming needs."""
        return []

    def load(self, state: list[torch.Tensor | None]) -> None:
        """Resume from a state."""


class AverageGradient(BatchGradient):
    """The moving average 0.9 a + 0.1 g of the gradients of the batches, which starts at zero."""

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
        super().__init__(model, inputs, targets)
        self.average = [torch.zeros_like(parameter) for parameter in model.parameters()]

    def gradients(self) -> list[torch.Tensor | None]:
        """Update the average by the gradients of this batch, and return it."""
        for average, parameter in zip(self.average, self.model.parameters(), strict=True):
            if parameter.grad is not None:
                average.mul_(DECAY).add_(parameter.grad, alpha=1 - DECAY)
        return list(self.average)

    def state(self) -> list[torch.Tensor | None]:
        """Return the average."""
        return list(self.average)

    def load(self, state: list[torch.Tensor | None]) -> None:
        """Resume from an average."""
        self.average = [average.clone() for average in state if average is not None]


class ProbeGradient(BatchGradient):
    """The gradient of the loss on one fixed batch, in training mode.

    It changes neither running statistics nor the state of the random number generator.
    """

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
        super().__init__(model, inputs, targets)
        self.inputs, self.targets = inputs, targets

    def gradients(self) -> list[torch.Tensor | None]:
        """Return the gradients on the fixed batch."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        with torch.random.fork_rng():
            logits = torch.func.functional_call(self.model, buffers, (self.inputs,))
        loss = nn.functional.cross_entropy(logits, self.targets)
        return list(torch.autograd.grad(loss, list(self.model.parameters()), allow_unused=True))


KINDS: dict[str, type[BatchGradient]] = {"batch": BatchGradient, "average": AverageGradient, "probe": ProbeGradient}
"""Kinds of gradients by name, as the settings of a study name them."""
