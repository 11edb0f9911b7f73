"""Data to measure on: random walks in the shapes of real networks, in the page cache."""

import os
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

import trajlab
from pipelines import zoo
from pipelines.datasets import load
from trajlab.errors import MissingData


def resnet18(folder: Path, snapshots: int = 60) -> Path:
    """Write a random walk of ResNet-18 as checkpoints, 2.8 GB for 60 of them."""
    torch.manual_seed(0)
    state = torchvision.models.resnet18().state_dict()
    for step in range(snapshots):
        target = folder / f"checkpoint-{10 * step}"
        target.mkdir(parents=True)
        save_file(state, target / "model.safetensors")
        for name, value in state.items():
            if value.is_floating_point():
                state[name] = value + 0.01 * value.abs().mean() * torch.randn_like(value)
    return folder


def repeated(folder: Path, source: Path, snapshots: int) -> Path:
    """Make a longer run of the same files, each linked several times: more steps, no more bytes."""
    files = [target / "model.safetensors" for target in sorted(source.iterdir())]
    for step in range(snapshots):
        directory = folder / f"checkpoint-{step}"
        directory.mkdir(parents=True)
        os.link(files[step % len(files)], directory / "model.safetensors")
    return folder


def embedding(folder: Path, dtype: torch.dtype, entries: int, snapshots: int = 3) -> Path:
    """Write one tensor whose updates are about as small as bf16 resolves, so that some entries do not change."""
    random = torch.Generator().manual_seed(0)
    weight = (0.02 * torch.randn(entries // 8192, 8192, generator=random)).to(dtype)
    for step in range(snapshots):
        target = folder / f"checkpoint-{step}"
        target.mkdir(parents=True)
        save_file({"model.embed_tokens.weight": weight}, target / "model.safetensors")
        for rows in weight.split(2048):
            rows += (3e-5 * torch.randn(rows.shape, generator=random)).to(dtype)
    return folder


def small_net(store: Path, steps: int = 5000) -> Path:
    """Pack weights and gradients of 100,000 parameters in 10 tensors at every step, 4 GB."""
    rng = np.random.default_rng(0)
    weights, gradients = {}, {}
    for layer in range(10):
        gradient = rng.standard_normal((steps, 100, 100), dtype=np.float32)
        gradients[f"l{layer}.weight"] = gradient
        weights[f"l{layer}.weight"] = np.cumsum(-0.01 * gradient, axis=0, dtype=np.float32)
    return trajlab.pack(trajlab.from_arrays(weights, gradients), store)


def cifar_network() -> torch.nn.Module:
    """ResNet-18 for images of 32×32, which the snapshots of `cifar_walk` are put through."""
    return zoo.resnet18(stem="cifar")


def cifar_walk(folder: Path, snapshots: int) -> Path:
    """Write a random walk of `cifar_network` as checkpoints."""
    torch.manual_seed(0)
    state = cifar_network().state_dict()
    for step in range(snapshots):
        target = folder / f"checkpoint-{10 * step}"
        target.mkdir(parents=True)
        save_file(state, target / "model.safetensors")
        for name, value in state.items():
            if value.is_floating_point() and "running" not in name:
                state[name] = value + 0.01 * value.abs().mean() * torch.randn_like(value)
    return folder


def cifar_images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images of CIFAR-10 with their labels if TRAJLAB_DATA holds it, else random ones of their shape."""
    if "TRAJLAB_DATA" in os.environ:
        try:
            test = load("cifar10").test
            return test.inputs[:count], test.targets[:count]
        except MissingData:
            pass
    torch.manual_seed(0)
    return torch.randn(count, 3, 32, 32), torch.randint(10, (count,))
