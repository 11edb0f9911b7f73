"""Which gradients a run shows to the recorder; the training goes on with those of the batch, to the bit the same."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trajlab.errors import BadSetting

DECAY = 0.9
"""The moving average keeps so much of itself at each step, and takes the rest from the gradient of the batch."""


class BatchGradient:
    """The gradient that the update takes."""

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
        self.model = model

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let ``.grad`` of the parameters hold the gradients that are to be recorded."""
        own = [parameter.grad for parameter in self.model.parameters()]
        shown = self.gradients()
        for parameter, gradient in zip(self.model.parameters(), shown, strict=True):
            parameter.grad = gradient
        yield
        for parameter, gradient in zip(self.model.parameters(), own, strict=True):
            parameter.grad = gradient

    def gradients(self) -> list[torch.Tensor | None]:
        """Give the gradients that are to be recorded, in the order of the parameters."""
        return [parameter.grad for parameter in self.model.parameters()]

    def state(self) -> list[torch.Tensor | None]:
        """Give what resuming needs."""
        return []

    def load(self, state: list[torch.Tensor | None]) -> None:
        """Go on from a state."""


class AverageGradient(BatchGradient):
    """The moving average 0.9 a + 0.1 g of the gradients of the batches, from zero on."""

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
        super().__init__(model, inputs, targets)
        self.average = [torch.zeros_like(parameter) for parameter in model.parameters()]

    def gradients(self) -> list[torch.Tensor | None]:
        """Take the gradients of this batch in, and give the average."""
        for average, parameter in zip(self.average, self.model.parameters(), strict=True):
            if parameter.grad is not None:
                average.mul_(DECAY).add_(parameter.grad, alpha=1 - DECAY)
        return list(self.average)

    def state(self) -> list[torch.Tensor | None]:
        """Give the average."""
        return list(self.average)

    def load(self, state: list[torch.Tensor | None]) -> None:
        """Go on from an average."""
        self.average = [average.clone() for average in state if average is not None]


class ProbeGradient(BatchGradient):
    """The gradient of the loss on one fixed batch, in training mode.

    Running statistics and the generator of random numbers are left as they are.
    """

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
        super().__init__(model, inputs, targets)
        self.inputs, self.targets = inputs, targets

    def gradients(self) -> list[torch.Tensor | None]:
        """Give the gradients on the fixed batch."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        with torch.random.fork_rng():
            logits = torch.func.functional_call(self.model, buffers, (self.inputs,))
        loss = nn.functional.cross_entropy(logits, self.targets)
        return list(torch.autograd.grad(loss, list(self.model.parameters()), allow_unused=True))


KINDS: dict[str, type[BatchGradient]] = {"batch": BatchGradient, "average": AverageGradient, "probe": ProbeGradient}


def gradient_kind(kind: str) -> type[BatchGradient]:
    """Give a kind of gradients by name."""
    if kind not in KINDS:
        raise BadSetting(f"no kind of gradient is called {kind!r}; there are {', '.join(KINDS)}")
    return KINDS[kind]
