"""The networks in what a checkpoint holds: mappings of tensors that are no optimizer's state, whatever their keys."""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trajlab.runs.readers.torch_zip import StoredTensor

if TYPE_CHECKING:
    from torch import Tensor

OPTIMIZER_KEY = re.compile(
    r"(^|[._])(optim|optimi[sz]er|(lr_?)?scheduler|(grad_?|loss_?)?scaler|amp|rng)s?([._]|\d*$|_?states?)"
    r"|(^|[._])(opt|random)_states?",
    re.IGNORECASE,
)
"""Keys of the states of optimizers, schedulers, loss scalers and random number generators."""

OPTIMIZER_ENTRIES = {
    "param_groups", "fp32_from_fp16", "fp32_groups_flat", "fp32_flat_groups", "single_partition_of_fp32_groups",
    "base_optimizer_state", "loss_scaler0",
}  # fmt: skip
"""Entries that only the states of optimizers have: PyTorch's, apex's and DeepSpeed's."""

MOMENTS = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "acc_delta", "step"}
"""Entries of the state of one parameter in an optimizer."""

NETWORK_KEYS = {"state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params"}
"""Keys under which even a mapping of scalars is a network."""

DEEPEST, MOST = 32, 1_000_000
"""Levels of nesting, and number of mappings and lists, beyond which a file is refused."""


class Content(NamedTuple):
    """The tensors of a checkpoint.

    Attributes
    ----------
    networks
        The tensors of each network by name, by the key of the network: the path of its mapping, joined by dots.
    lone
        Names of tensors beside networks, such as a loss.
    holds
        What a checkpoint without a network holds, in words.
    """

    networks: dict[str, "dict[str, Tensor]"]
    lone: list[str]
    holds: str


def find_networks(content: Any) -> Content:
    """Find the networks in the content of a checkpoint.

    A mapping, or a list, of tensors is a network unless it is the state of an optimizer, which is known by its entries.
    Tensors beside mappings of tensors, such as a loss, are none.

    Parameters
    ----------
    content
        Nested mappings and lists with tensors, or arrays, as ``torch.load`` returns them.

    Raises
    ------
    ValueError
        The content contains itself, or is nested too deeply.
    """
    search = _Search()
    search.visit(content, ())
    networks = {path: tensors for path, tensors in search.networks.items() if not _are_scalars(tensors)}
    if not networks:
        networks = {
            path: tensors for path, tensors in search.networks.items() if path == () or path[-1] in NETWORK_KEYS
        }
    search.lone += [
        ".".join((*path, name)) for path in search.networks.keys() - networks.keys() for name in search.networks[path]
    ]
    holds = "" if networks else _holds(content, search)
    return Content({".".join(path): tensors for path, tensors in networks.items()}, search.lone, holds)


class _Search:
    """Walk through nested mappings and lists, and keep those that are networks, by path."""

    def __init__(self) -> None:
        self.networks: dict[tuple[str, ...], dict[str, Tensor]] = {}
        self.optimizers: list[str] = []
        self.lone: list[str] = []
        self._visited = 0

    def visit(self, node: Any, path: tuple[str, ...]) -> bool:
        """Visit a mapping or a list, and return whether it is a network or holds one."""
        self._visited += 1
        if len(path) > DEEPEST or self._visited > MOST:
            raise ValueError(f"its mappings are nested more than {DEEPEST} deep, or more than {MOST:,}")
        if path and OPTIMIZER_KEY.search(path[-1]) or _is_optimizer(node):
            self.optimizers.append(".".join(path))
            return False
        children = list(_children(node))
        tensors = {name: _as_tensor(value) for name, value in children if _is_tensor(value)}
        if any("." in name for name in tensors):  # a state dict; mappings in it are states of its modules
            self.networks[path] = {name: tensor for name, tensor in tensors.items() if not _is_moment(name)}
            return True
        inner = [(name, value) for name, value in children if _is_nested(value)]
        nested = any([self.visit(value, (*path, name)) for name, value in inner])
        lone = nested or (bool(inner) and (len(tensors) == 1 or _are_scalars(tensors)))
        if not tensors or lone or not _are_weights(tensors):
            self.lone += [".".join((*path, name)) for name, tensor in tensors.items() if _is_notable(name, tensor)]
            return nested
        self.networks[path] = tensors
        return True


def _is_optimizer(node: Any) -> bool:
    if not isinstance(node, Mapping):
        return False
    if any(key in node for key in OPTIMIZER_ENTRIES):
        return True
    entries = list(node.values())[:1]
    return any(
        isinstance(entry, Mapping) and {"step"} < {*map(str, entry), "step"} <= MOMENTS for entry in (node, *entries)
    )


def _is_moment(name: str) -> bool:
    """Return whether a name in a flat mapping is that of an entry of an optimizer's state."""
    parts = name.split(".")
    return parts[-1] in MOMENTS - {"step"} or parts[0] in ("optimizer", "optim")


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        return ((str(key), value) for key, value in node.items())
    return ((str(position), value) for position, value in enumerate(node)) if _is_nested(node) else iter(())


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) and not isinstance(value, _torch_type("Size"))


def _is_tensor(value: Any) -> bool:
    if isinstance(value, StoredTensor) or isinstance(value, _torch_type("Tensor")):
        return True
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiubc"


def _as_tensor(value: Any) -> "Tensor":
    if not isinstance(value, np.ndarray):
        return value
    import torch

    return torch.from_numpy(np.ascontiguousarray(value))


def _torch_type(name: str) -> Any:
    """Return a type of torch, or no type while torch is not imported, or another thread is importing it.

    No value of this thread can be of that type then.
    """
    return getattr(sys.modules.get("torch"), name, ())


def _are_scalars(tensors: "Mapping[str, Tensor]") -> bool:
    return all(tensor.dim() == 0 for tensor in tensors.values())


def _are_weights(tensors: "Mapping[str, Tensor]") -> bool:
    """Return whether tensors may be those of a network; states of random number generators are bytes."""
    return any(
        tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized or "weight" in name
        for name, tensor in tensors.items()
    )


def _is_notable(name: str, tensor: "Tensor") -> bool:
    """Return whether a tensor beside networks is no counter and no state of a random number generator."""
    return not OPTIMIZER_KEY.search(name) and (tensor.dim() > 0 or tensor.is_floating_point())


def _holds(content: Any, search: _Search) -> str:
    if "" in search.optimizers:
        return "the state of an optimizer"
    if isinstance(content, Mapping):
        return f"the keys {', '.join(map(str, list(content)[:6]))}" if content else "nothing"
    return f"a {type(content).__name__}"
