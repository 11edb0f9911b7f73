"""What resuming needs beside the recorded run: saved at the start of each epoch, deleted at the end."""

import os
from pathlib import Path

import torch
from torch import nn

from pipelines.gradients import BatchGradient
from trajlab.errors import MissingData

STATE_FILE = "training-state.pt"
"""Name of the file in the run folder."""


def save_state(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, gradient: BatchGradient
) -> None:
    """Write the state before a step into a run folder."""
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "gradient": gradient.state(),
        "rng": torch.get_rng_state(),
    }
    file = folder / STATE_FILE
    torch.save(state, file.with_suffix(".tmp"))
    os.replace(file.with_suffix(".tmp"), file)


def restore_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, gradient: BatchGradient, device: str
) -> int:
    """Restore a state from a run folder, in place, and return its step.

    Raises
    ------
    MissingData
        The folder holds no state.
    """
    file = folder / STATE_FILE
    if not file.exists():
        raise MissingData(f"cannot resume: {file} is missing; start without --resume")
    state = torch.load(file, map_location=device)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    gradient.load(state["gradient"])
    torch.set_rng_state(state["rng"].cpu())
    return state["step"]
