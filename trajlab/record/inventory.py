"""What a model is made of, under the names of its state_dict."""

from dataclasses import dataclass, field

import torch
from torch import nn

from trajlab.errors import BadSetting

COMPILED = "_orig_mod"


@dataclass
class Inventory:
    """The tensors of a model that are recorded, in network order.

    Parameters
    ----------
    model
        The model inside the wrappers that torch.compile and data parallelism put around it.
    parameters
        Name to parameter; tied ones stand once, under their first name.
    buffers
        Names of the buffers that the state_dict holds.
    tied
        Further name of a shared tensor to its first name.
    modules
        Path of each module to the name of its class.
    """

    model: nn.Module
    parameters: dict[str, nn.Parameter]
    buffers: list[str]
    tied: dict[str, str]
    modules: dict[str, str]
    _stored: set[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._stored = {*self.parameters, *self.buffers}

    def copy_state(self) -> dict[str, torch.Tensor]:
        """Copy weights and buffers to memory that training does not touch."""
        copies = {}
        for key, value in self.model.state_dict(keep_vars=True).items():
            name = _plain(key)
            if name not in self._stored:
                continue
            if name in self.parameters and value is not self.parameters[name]:
                raise BadSetting(
                    f"{name} is another parameter than when the Recorder was made; "
                    "make the Recorder after the last change to the structure of the model"
                )
            copies[name] = torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())
        return copies


def take_inventory(model: nn.Module) -> Inventory:
    """List the parameters, buffers, ties and modules of a model.

    Entries of the state_dict that are neither (``_extra_state``, whatever its type) are left out.

    Parameters
    ----------
    model
        Any module; wrappers of torch.compile, DataParallel and DistributedDataParallel are looked through.
    """
    model = _unwrapped(model)
    keys = {_plain(key) for key in model.state_dict(keep_vars=True)}
    first_names: dict[int, str] = {}
    parameters, buffers, tied = {}, [], {}
    for key, parameter in model.named_parameters(remove_duplicate=False):
        name = _plain(key)
        if isinstance(parameter, nn.UninitializedParameter):
            raise BadSetting(f"{name} has no shape yet; run the model once before making the Recorder")
        if name not in keys:
            raise BadSetting(f"the state_dict of the model lacks its parameter {name}; it cannot be recorded")
        first = first_names.setdefault(id(parameter), name)
        if first == name:
            parameters[name] = parameter
        else:
            tied[name] = first
    for key, buffer in model.named_buffers(remove_duplicate=False):
        name = _plain(key)
        if name not in keys:
            continue
        first = first_names.setdefault(id(buffer), name)
        if first == name:
            buffers.append(name)
        else:
            tied[name] = first
    modules = {
        _plain(path): type(module).__name__ for path, module in model.named_modules() if not hasattr(module, COMPILED)
    }
    return Inventory(model, parameters, buffers, tied, modules)


def _unwrapped(model: nn.Module) -> nn.Module:
    while True:
        if hasattr(model, COMPILED):
            model = getattr(model, COMPILED)
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != COMPILED)
