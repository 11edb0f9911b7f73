"""Inputs of every stage, so that laws can be tested on all of them: another run, a network and a probe."""

import numpy as np
import torch
import xarray as xr
from torch import nn

import trajlab
from trajlab.running.inputs import needs_of
from trajlab.runs.trajectory import Trajectory
from trajlab.stages import stage

IMAGES = ("augmentation",)
"""Stages that need images as inputs."""


class Block(nn.Module):
    """A block of a residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.within = nn.Identity()

    def forward(self, values):
        return 2 * self.within(values)


class Mixture(nn.Module):
    """A mixture of experts whose router scores two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Identity(), nn.Identity()

    def forward(self, values):
        return self.experts(self.gate(torch.cat([values, -values], -1)))


class AnyNetwork(nn.Module):
    """Network of given parameters: one activation; the outputs depend on the inputs and the sum of all entries.

    Weights with four axes are those of convolutions, which the inputs go through, too. With the part
    "attention", the values of an input attend to each other, in one causal head; with "blocks" they are hidden states
    of two blocks; with "experts" a router scores two experts for each.
    """

    def __init__(self, shapes: dict[str, list[int]], buffers: dict[str, list[int]] | None = None, part: str = ""):
        super().__init__()
        self.part = part
        if part in ("blocks", "experts"):
            self.transformer = nn.Sequential(Block(), Block()) if part == "blocks" else Mixture()
        for name, shape in (buffers or {}).items():
            self.register_buffer(name, torch.zeros(shape))
        self.squash = nn.Tanh()
        for name, shape in shapes.items():
            *path, leaf = name.split(".")
            home = self
            for part in path:
                if not hasattr(home, part):
                    filters = leaf == "weight" and len(shape) == 4
                    home.add_module(
                        part, nn.Conv2d(shape[1], shape[0], shape[2:], bias=False) if filters else nn.Module()
                    )
                home = getattr(home, part)
            if not isinstance(getattr(home, leaf, None), nn.Parameter):
                home.register_parameter(leaf, nn.Parameter(torch.zeros(shape)))

    def forward(self, inputs):
        outputs = inputs * sum(parameter.sum() for parameter in self.parameters())
        for convolution in (module for module in self.modules() if isinstance(module, nn.Conv2d)):
            size = (len(inputs), convolution.in_channels, *convolution.kernel_size)
            maps = inputs.flatten(1).sum(1).reshape(-1, 1, 1, 1).expand(size)
            actual = convolution(maps).square().sum(1)
            outputs = outputs + actual.reshape(-1, *(1,) * (inputs.ndim - 1)) * inputs
        self.squash(outputs)
        values = torch.tanh(outputs).reshape(len(outputs), 1, -1, 1)
        if self.part == "attention":
            nn.functional.scaled_dot_product_attention(values, values, values, is_causal=True)
        elif self.part:
            self.transformer(values[:, 0])
        return outputs


PARTS = {"attention": "attention", "residual_stream": "blocks", "routing": "experts"}
"""What of a transformer some stages need."""


def serve(name: str, run: Trajectory) -> Trajectory | dict[str, Trajectory]:
    """Return a run with all inputs of a stage: its reverse as the other run, a network and a probe."""
    needs = needs_of(stage(name))
    if any(need.startswith("other_") for need in needs):
        backwards = {
            group: {key: array.data[::-1] for key, array in getattr(run, group).items()}
            for group in ("weights", "gradients")
        }
        return {"forth": _equipped(run), "back": _equipped(trajlab.from_arrays(**backwards, steps=run.steps))}
    if "moments" in needs:
        return with_moments(run)
    if next(iter(needs)) == "metrics" and needs["metrics"].default is needs["metrics"].empty and not run.metrics:
        run = run.with_model()
        run.metrics = xr.Dataset({"loss": ("step", 1.0 / (1.0 + run.steps))}, {"step": run.steps})
        return run
    shape = (3, 6, 5) if name in IMAGES else (3,)
    equipped = _equipped(run, shape, part=PARTS.get(name, ""))
    return equipped if "replay" in needs and needs["replay"].default is needs["replay"].empty else run


def with_moments(run: Trajectory) -> Trajectory:
    """Return a run with the moments of an Adam optimizer whose gradients were the weights."""
    tensors = {name: array.data for name, array in run.weights.items()}
    steps = run.steps
    return trajlab.from_arrays(
        tensors, {name: array.data for name, array in run.gradients.items()}, steps=steps, metrics=run.metrics,
        moments={"exp_avg": tensors, "exp_avg_sq": {name: array * array for name, array in tensors.items()}},
        hyperparameters={
            "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "amsgrad": 0, "updates": steps.astype(float) + 1
        },
    )  # fmt: skip


def _equipped(run: Trajectory, shape: tuple[int, ...] = (3,), *, part: str = "") -> Trajectory:
    shapes = {name: list(array.shape[1:]) for name, array in run.weights.items()}
    run = run.with_model()
    run.trusted = True
    run.facts = run.facts | {
        "describe": {"model": {"factory": "tests.serving:AnyNetwork", "arguments": {"shapes": shapes, "part": part}}}
    }
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((12, *shape)).astype(np.float32), rng.integers(3, size=12)
    dims = ("sample", "feature", "y", "x")[: inputs.ndim]
    run.probe = xr.Dataset({"inputs": (dims, inputs), "targets": ("sample", targets)}, attrs={"sha256": "0"})
    return run
