"""The parameters, buffers and modules of a model, under the names of its state_dict."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from trajlab.errors import BadSetting, first_of
from trajlab.record.gathering import is_sharded, whole

COMPILED = "_orig_mod"


@dataclass
class Inventory:
    """The tensors of a model that are recorded, in network order.

    Parameters
    ----------
    model
        The model without the wrappers of torch.compile and data parallelism.
    parameters
        Parameters by name; tied ones once, under their first name.
    buffers
        Names of the buffers in the state_dict.
    tied
        First name of a shared tensor by each further name.
    modules
        Name of the class of each module by its path.
    adapters
        Scale of each low-rank adapter by its name, by the path of its module, as peft's modules hold them.
    left_out
        Names of parameters and buffers that are not recorded, by choice.

    Attributes
    ----------
    is_sharded
        Whether parameters are sharded over processes.
    """

    model: nn.Module
    parameters: dict[str, nn.Parameter]
    buffers: list[str]
    tied: dict[str, str]
    modules: dict[str, str]
    adapters: dict[str, dict[str, float]]
    left_out: list[str] = field(default_factory=list)
    is_sharded: bool = field(init=False)
    _stored: set[str] = field(init=False, repr=False)
    _members: list[dict[str, Any]] = field(init=False, repr=False)
    _structure: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._stored = {*self.parameters, *self.buffers}
        self._members = [
            members for module in self.model.modules() for members in (module._modules, module._parameters)
        ]
        self._structure = self._identities()
        self.is_sharded = any(map(is_sharded, self.parameters.values()))

    @property
    def is_current(self) -> bool:
        """Whether the model still has the modules and parameters that are listed here."""
        return self._identities() == self._structure

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the recorded parameters and buffers by name, as the state_dict holds them."""
        state = self.model.state_dict(keep_vars=True)
        named = {_without_wrapper(key): value for key, value in state.items()}
        return {name: value for name, value in named.items() if name in self._stored}

    def choose(self, patterns: Sequence[str] | str) -> "Inventory":
        """Return the part whose names, or names of modules, match a pattern, or one of several.

        Raises
        ------
        BadSetting
            A pattern matches no parameter or buffer.
        """
        names = [*self.parameters, *self.buffers]
        matching = {
            pattern: {
                name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name.rpartition(".")[0], pattern)
            }
            for pattern in ([patterns] if isinstance(patterns, str) else patterns)
        }
        if missing := [pattern for pattern, fitting in matching.items() if not fitting]:
            raise BadSetting(
                f"cannot record {missing[0]!r}: no parameter or module has that name; choose among {first_of(names)}"
            )
        chosen = set().union(*matching.values())
        return replace(
            self,
            parameters={name: value for name, value in self.parameters.items() if name in chosen},
            buffers=[name for name in self.buffers if name in chosen],
            tied={name: first for name, first in self.tied.items() if first in chosen},
            left_out=[name for name in names if name not in chosen],
        )

    def copy_state(self) -> dict[str, torch.Tensor]:
        """Copy weights and buffers to memory that training does not change; gather sharded tensors one at a time."""
        tensors = {name: value.detach() for name, value in self.tensors().items()}
        copies = {name: torch.empty(value.shape, dtype=value.dtype) for name, value in tensors.items()}
        if self.is_sharded:
            for name, copy in copies.items():
                copy.copy_(whole(tensors[name]))
        elif copies:
            torch._foreach_copy_(list(copies.values()), list(tensors.values()))
        return copies

    def _identities(self) -> list[int]:
        return [id(member) for members in self._members for member in members.values()]


def take_inventory(model: nn.Module) -> Inventory:
    """List the parameters, buffers, ties and modules of a model.

    Other entries of the state_dict, such as ``_extra_state``, are omitted.

    Parameters
    ----------
    model
        Any module, possibly inside wrappers of torch.compile, DataParallel, DistributedDataParallel and DeepSpeed.
    """
    model = _unwrapped(model)
    keys = {_without_wrapper(key) for key in model.state_dict(keep_vars=True)}
    first_names: dict[int, str] = {}
    parameters, buffers, tied = {}, [], {}
    for key, parameter in model.named_parameters(remove_duplicate=False):
        name = _without_wrapper(key)
        if isinstance(parameter, nn.UninitializedParameter):
            raise BadSetting(
                f"cannot record {name}: it has no shape yet; run the model once before making the Recorder"
            )
        if name not in keys:
            raise BadSetting(f"cannot record {name}: the state_dict of the model lacks this parameter; add it there")
        first = first_names.setdefault(id(parameter), name)
        if first == name:
            parameters[name] = parameter
        else:
            tied[name] = first
    for key, buffer in model.named_buffers(remove_duplicate=False):
        name = _without_wrapper(key)
        if name not in keys:
            continue
        first = first_names.setdefault(id(buffer), name)
        if first == name:
            buffers.append(name)
        else:
            tied[name] = first
    modules = {
        _without_wrapper(path): type(module).__name__
        for path, module in model.named_modules()
        if not hasattr(module, COMPILED)
    }
    return Inventory(model, parameters, buffers, tied, modules, _adapters(model))


def has_uninitialized(model: nn.Module) -> bool:
    """Return whether a model has lazy modules, whose parameters have no shape before the first pass."""
    return any(isinstance(parameter, nn.UninitializedParameter) for parameter in model.parameters())


def has_sharded(model: nn.Module) -> bool:
    """Return whether parameters of a model are sharded over processes."""
    return any(map(is_sharded, model.parameters()))


def _adapters(model: nn.Module) -> dict[str, dict[str, float]]:
    scales = {}
    for path, module in model.named_modules():
        scaling = getattr(module, "scaling", None)
        if hasattr(module, "lora_A") and isinstance(scaling, dict):
            scales[_without_wrapper(path)] = {str(name): float(scale) for name, scale in scaling.items()}
    return scales


def _unwrapped(model: Any) -> nn.Module:
    while True:
        if hasattr(model, COMPILED):
            model = getattr(model, COMPILED)
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel) or (
            hasattr(model, "zero_optimization_stage") and isinstance(getattr(model, "module", None), nn.Module)
        ):
            model = model.module
        else:
            return model


def _without_wrapper(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != COMPILED)
