"""Which gradients and weights a run records. Training uses those of the batch in any case, to the bit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

DECAY = 0.9
"""Decay of the moving averages."""


class BatchGradient:
    """The gradient of the batch, which the update uses, and the weights."""

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
        self.model = model

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Put what to record into ``.grad`` and ``.data`` of the parameters for the duration of the context."""
        parameters = list(self.model.parameters())
        trained = [(parameter.grad, parameter.data) for parameter in parameters]
        for parameter, gradient, weight in zip(parameters, self.gradients(), self.weights(), strict=True):
            parameter.grad, parameter.data = gradient, weight
        yield
        for parameter, (gradient, weight) in zip(parameters, trained, strict=True):
            parameter.grad, parameter.data = gradient, weight

    @contextmanager
    def closing(self, updated: bool) -> Iterator[None]:
        """Put the weights to record at the end into the parameters; `updated` says whether they are new."""
        yield

    def gradients(self) -> list[torch.Tensor | None]:
        """Return the gradients to record, in the order of the parameters."""
        return [parameter.grad for parameter in self.model.parameters()]

    def weights(self) -> list[torch.Tensor]:
        """Return the weights to record, in the order of the parameters."""
        return [parameter.data for parameter in self.model.parameters()]

    def state(self) -> list[torch.Tensor | None]:
        """Return what resuming needs."""
        return []

    def load(self, state: list[torch.Tensor | None]) -> None:
        """Resume from a state."""


class AverageGradient(BatchGradient):
    """The moving averages 0.9 a + 0.1 x of gradients and weights, corrected for their start at zero.

    An average after n steps is divided by 1 − 0.9ⁿ, as Adam divides its first moment (Kingma and Ba, 2015), so that the
    weights of its terms add up to 1.
    """

    corrected = True

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
        super().__init__(model, inputs, targets)
        self.counts = {"gradient": 0, "weight": 0}
        self.averages = {
            name: [torch.zeros_like(parameter) for parameter in model.parameters()] for name in self.counts
        }

    @contextmanager
    def closing(self, updated: bool) -> Iterator[None]:
        """Put the averages of the weights into the parameters, with the last weights in them if these are new."""
        parameters = list(self.model.parameters())
        trained = [parameter.data for parameter in parameters]
        averages = self.weights() if updated else self._shown("weight")
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.data = average
        yield
        for parameter, weight in zip(parameters, trained, strict=True):
            parameter.data = weight

    def gradients(self) -> list[torch.Tensor | None]:
        """Update the averages by the gradients of this batch, and return them."""
        return list(self._updated("gradient", [parameter.grad for parameter in self.model.parameters()]))

    def weights(self) -> list[torch.Tensor]:
        """Update the averages by the weights, and return them."""
        return self._updated("weight", [parameter.data for parameter in self.model.parameters()])

    def state(self) -> list[torch.Tensor | None]:
        """Return the averages, and the number of terms in them."""
        return [torch.tensor(list(self.counts.values())), *self.averages["gradient"], *self.averages["weight"]]

    def load(self, state: list[torch.Tensor | None]) -> None:
        """Resume from averages."""
        counts, *averages = (part.clone() for part in state if part is not None)
        self.counts = dict(zip(self.counts, counts.tolist(), strict=True))
        half = len(averages) // 2
        self.averages = {"gradient": averages[:half], "weight": averages[half:]}

    def _updated(self, name: str, terms: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
        for average, term in zip(self.averages[name], terms, strict=True):
            if term is not None:
                self._add(average, term, first=self.counts[name] == 0)
        self.counts[name] += 1
        return self._shown(name)

    def _add(self, average: torch.Tensor, term: torch.Tensor, first: bool) -> None:
        average.mul_(DECAY).add_(term, alpha=1 - DECAY)

    def _shown(self, name: str) -> list[torch.Tensor]:
        correction = 1 - DECAY ** self.counts[name] if self.corrected and self.counts[name] else 1.0
        return [average / correction for average in self.averages[name]]


class UncorrectedAverageGradient(AverageGradient):
    """The moving averages of gradients and weights that start at the first of them, as a publication has it."""

    corrected = False

    def _add(self, average: torch.Tensor, term: torch.Tensor, first: bool) -> None:
        if first:
            average.copy_(term)
        else:
            super()._add(average, term, first)


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


KINDS: dict[str, type[BatchGradient]] = {
    "batch": BatchGradient,
    "average": AverageGradient,
    "probe": ProbeGradient,
    "uncorrected_average": UncorrectedAverageGradient,
}
"""What to record in place of the gradients by name, as the settings of a study name it."""
