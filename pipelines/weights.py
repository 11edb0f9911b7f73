"""Weights from a file as the start of a network, also those of a network for other images and classes."""

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
        Whether first and last layer may differ, for other images and classes. They keep their values if the file lacks
        them or has them in another shape. Layers that only the file has are ignored.

    Raises
    ------
    MissingData
        There is no such file.
    BadSetting
        It holds no state dict, or one that does not fit.
    """
    if not file.is_file():
        raise MissingData(f"cannot read weights from {file}: there is no such file; put it there")
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
    """Return the state without layers that the network lacks, and with its own first and last layer if they differ."""
    current = model.state_dict()
    loaded = {name: state[name] for name in current if name in state}
    weights = [name for name, parameter in model.named_parameters() if parameter.ndim >= 2]
    for layer in (weights[position].rpartition(".")[0] for position in (0, -1)):
        end = {name: value for name, value in current.items() if name.rpartition(".")[0] == layer}
        if any(name not in loaded or loaded[name].shape != value.shape for name, value in end.items()):
            loaded |= end
    return loaded
