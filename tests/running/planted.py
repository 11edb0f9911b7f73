"""Runs that go wrong at a known step, in a known layer, for a known cause."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from tests.small_training import Moment, train, untouched
from trajlab.running.explain import Explanation
from trajlab.runs.trajectory import Trajectory

STEP = 200
"""Step of the cause, well after the first fast part of training."""

LAYER = "4"
"""The layer that is tampered with, the second hidden one of three."""


def network() -> nn.Sequential:
    sizes = [64, 32, 32, 32]
    body = [part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*body, nn.Linear(32, 10))


def _learning_rate(moment: Moment) -> None:
    for group in moment.optimizer.param_groups:
        group["lr"] = 0.1 * (30.0 if moment.step == STEP else 1.0)


def _bad_batch(moment: Moment) -> None:
    if moment.step == STEP:
        moment.inputs = 20.0 * torch.randn_like(moment.inputs)


def _exploding_layer(moment: Moment) -> None:
    """Let the gradient of a layer be eight times as large, and grow by half at every step."""
    if moment.step >= STEP:
        for parameter in moment.model.get_submodule(LAYER).parameters():
            parameter.grad *= 8.0 * 1.5 ** (moment.step - STEP)


def _dying_layer(moment: Moment) -> None:
    if moment.step == STEP:
        with torch.no_grad():
            moment.model.get_submodule(LAYER).bias -= 30.0


def _noisy_labels(moment: Moment) -> None:
    if moment.step >= STEP:
        moment.targets = torch.randint(10, moment.targets.shape)


def _overflow(moment: Moment) -> None:
    """Let a gradient overflow as in half precision; as with a gradient scaler, the step is then skipped."""
    if moment.step == STEP:
        layer = moment.model.get_submodule(LAYER)
        layer.weight.grad *= float("inf")
        moment.optimizer.zero_grad = partial(_restore, moment.optimizer, moment.optimizer.step)  # type: ignore
        moment.optimizer.step = lambda: None  # type: ignore[assignment]


def _restore(optimizer: torch.optim.Optimizer, step: Callable) -> None:
    del optimizer.zero_grad, optimizer.step
    optimizer.zero_grad()


class Cause(NamedTuple):
    """A cause, by what is tampered with, and what must come out first: the steps, the layer if it is in one."""

    before: Callable[[Moment], None] = untouched
    after: Callable[[Moment], None] = untouched
    steps: tuple[int, int] = (STEP, STEP)
    layer: str = ""

    def is_first(self, explanation: Explanation) -> bool:
        if not explanation.events:
            return False
        lead = explanation.events[0]
        return self.steps[0] <= lead.step <= self.steps[1] and lead.place.startswith(self.layer)


CAUSES = {
    "learning-rate spike": Cause(after=_learning_rate, steps=(STEP, STEP + 1)),
    "corrupted batch": Cause(before=_bad_batch),
    "exploding layer": Cause(after=_exploding_layer, steps=(STEP, STEP + 1), layer=f"{LAYER}."),
    "dying layer": Cause(before=_dying_layer, layer=f"{LAYER}."),
    "label noise": Cause(before=_noisy_labels),
    "overflow": Cause(after=_overflow, layer=f"{LAYER}."),
}


def plant(name: str, seed: int) -> Trajectory:
    """Train a run of 240 steps in which a cause is planted."""
    cause = CAUSES[name]
    return train(
        network, partial(torch.optim.SGD, lr=0.1), seed=seed, steps=240, before=cause.before, after=cause.after
    )
