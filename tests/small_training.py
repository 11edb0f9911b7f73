"""Train small networks on handwritten digits, and keep their weights, gradients and losses in memory."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import trajlab
from trajlab.replays.probe_batches import as_probe
from trajlab.runs.trajectory import Trajectory

BATCH, VALIDATED = 64, 40


@cache
def digits() -> tuple[torch.Tensor, ...]:
    """Return inputs and targets to train on, and those held out."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    inputs, targets = torch.tensor(images[order] / 16, dtype=torch.float32), torch.tensor(labels[order])
    return inputs[:1400], targets[:1400], inputs[1400:], targets[1400:]


class Moment:
    """What may be tampered with at a step, before the forward pass and between backward() and step()."""

    def __init__(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer):
        self.step, self.model, self.optimizer = step, model, optimizer
        self.inputs = self.targets = torch.empty(0)


def untouched(moment: Moment) -> None:
    """Change nothing."""


def train(
    build: Callable[[], nn.Module],
    optimizer_of: Callable[..., torch.optim.Optimizer],
    *,
    seed: int,
    steps: int = 200,
    every: int = 1,
    before: Callable[[Moment], Any] = untouched,
    after: Callable[[Moment], Any] = untouched,
) -> Trajectory:
    """Train a run of `steps` updates, with weights at every `every`th step, and all gradients and losses.

    `before` is called before the forward pass of each step, `after` between its backward pass and its update.
    """
    inputs, targets, held_out, held_out_targets = digits()
    torch.manual_seed(seed)
    model = build()
    optimizer = optimizer_of(model.parameters())
    weights: dict[str, list] = {name: [] for name, _ in model.named_parameters()}
    buffers: dict[str, list] = {name: [] for name, _ in model.named_buffers()}
    gradients: dict[str, list] = {}
    losses, validation = [], np.full(steps, np.nan)
    loss_of = nn.CrossEntropyLoss()
    for step in range(steps):
        moment = Moment(step, model, optimizer)
        batch = torch.randint(len(inputs), (BATCH,))
        moment.inputs, moment.targets = inputs[batch], targets[batch]
        before(moment)
        if step % every == 0:
            for series, tensors in ((weights, model.named_parameters()), (buffers, model.named_buffers())):
                for name, tensor in tensors:
                    series[name].append(tensor.detach().numpy().copy())
        optimizer.zero_grad()
        loss = loss_of(model(moment.inputs), moment.targets)
        loss.backward()
        after(moment)
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                gradients.setdefault(name, []).append(parameter.grad.numpy().copy())
        losses.append(loss.item())
        optimizer.step()
        if step % VALIDATED == VALIDATED - 1:
            model.eval()
            with torch.no_grad():
                validation[step] = loss_of(model(held_out), held_out_targets).item()
            model.train()
    snapshots = trajlab.from_arrays(
        {name: np.stack(rows) for name, rows in weights.items()},
        buffers={name: np.stack(rows) for name, rows in buffers.items()},
        steps=np.arange(0, steps, every),
    )
    signals = trajlab.from_arrays(
        {}, {name: np.stack(rows) for name, rows in gradients.items()},
        metrics={"loss": np.array(losses), "validation_loss": validation},
    )  # fmt: skip
    run = Trajectory(snapshots.weights, signals.gradients, snapshots.buffers, metrics=signals.metrics)
    return run.with_model(build, probe=as_probe((held_out[:128], held_out_targets[:128])))
