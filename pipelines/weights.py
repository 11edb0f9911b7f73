"""Weights from a file as the start of a network: all of them, or those of a network that learned something else."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from trajlab.errors import BadSetting, MissingData


def load_weights(model: nn.Module, file: Path, *, other_ends: bool = False) -> None:
    """Load a state dict that torch or safetensors wrote, in place.

    Parameters
    ----------
    model
        The network.
    file
        The state dict.
    other_ends
        Whether the network may have a first and a last layer of its own, for other images and other classes. They keep
        what they have where the file lacks them or has them in another shape, and layers that only the file has are
        left aside.

    Raises
    ------
    MissingData
        There is no such file.
    BadSetting
        It holds no state dict, or one that does not fit.
    """
    if not file.is_file():
        raise MissingData(f"weights to start from were to be read from {file}; there is no such file. Put it there.")
    try:
        state = _read(file)
        if other_ends:
            state = _without_ends(model, state)
        model.load_state_dict(state)
    except (RuntimeError, UnpicklingError, SafetensorError) as error:
        raise BadSetting(f"the weights in {file} do not fit the network: {error}") from error


def _read(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".safetensors":
        return load_file(file)
    return torch.load(file, weights_only=True, map_location="cpu")


def _without_ends(model: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave aside what the network lacks, and let its first and its last layer stay as they are if they do not fit."""
    own = model.state_dict()
    found = {name: state[name] for name in own if name in state}
    weights = [name for name, parameter in model.named_parameters() if parameter.ndim >= 2]
    for layer in (weights[place].rpartition(".")[0] for place in (0, -1)):
        mine = {name: value for name, value in own.items() if name.rpartition(".")[0] == layer}
        if any(name not in found or found[name].shape != value.shape for name, value in mine.items()):
            found |= mine
    return found
