"""A network without weights of its own, that the snapshots of any step are put through."""

import copy
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.replaying.layers import Layer, call_name, listening
from trajlab.snapshots.rows import Rows, widen

BATCH = 256
"""Samples that go through the network at once."""


@dataclass(eq=False)
class Network:
    """A network to replay: its structure, and the layers that are wanted of it.

    Parameters
    ----------
    model
        The network; its parameters and stored buffers are on the device "meta" and have no values.
    names
        Names of the parameters and buffers that each task is given.
    layers
        What is kept of a pass.
    device
        Where it runs.
    """

    model: nn.Module
    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    device: str

    def forward(self, inputs: np.ndarray, tables: Sequence[Any], rows: Sequence[int]) -> list[np.ndarray]:
        """Give the output of each layer for all inputs, with the weights of one step.

        Torch works on one thread here: steps run side by side instead, and how many threads there are never changes
        the last bits of a number.

        Parameters
        ----------
        inputs
            The probe, (sample, ...).
        tables, rows
            For each name a table of rows or an array, and which row of it to take.

        Raises
        ------
        BadSetting
            The network gave an output of another shape than in the trial.
        """
        model = copy.deepcopy(self.model)
        types = {name: value.dtype for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
        state = {
            name: _tensor(table, row).to(self.device, types[name])
            for name, table, row in zip(self.names, tables, rows, strict=True)
        }
        kept = [np.empty((len(inputs), *layer.shape), array_type(layer.dtype)) for layer in self.layers]
        place = {layer.name: position for position, layer in enumerate(self.layers)}
        paths = dict.fromkeys(layer.path for layer in self.layers)
        calls: Counter[str] = Counter()
        filled: Counter[str] = Counter()

        def hear(path: str, module: nn.Module, output: Any) -> None:
            name = call_name(path, calls[path])
            calls[path] += 1
            if name in place:
                target = kept[place[name]][start : start + BATCH]
                rows_of_sample = 1 if output.ndim == target.ndim else target.shape[1]
                if output.numel() != target.size or len(output) != len(target) * rows_of_sample:
                    raise _unsteady(name, list(output.shape), target.shape)
                target[...] = output.to("cpu", widened(output.dtype)).numpy().reshape(target.shape)
                filled[name] += len(target)

        with _one_thread, torch.no_grad(), listening({path: model.get_submodule(path) for path in paths}, hear):
            for start in range(0, len(inputs), BATCH):
                calls.clear()
                batch = torch.from_numpy(np.array(inputs[start : start + BATCH])).to(self.device)
                torch.func.functional_call(model, state, (as_input(batch, types.values()),), tie_weights=False)
        for name, position in place.items():
            if filled[name] != len(inputs):
                raise _unsteady(name, f"{filled[name]} samples", kept[position].shape)
        return kept


def _unsteady(name: str, found: Any, expected: tuple[int, ...]) -> BadSetting:
    return BadSetting(
        f"{name} was to give an output of shape {list(expected)}; it gave {found}. "
        "Its shape depends on more than the number of samples: leave it out of layers."
    )


def hollow(model: nn.Module) -> nn.Module:
    """Take the values out of a network's parameters and stored buffers, in place; others keep theirs."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            setattr(module, name, nn.Parameter(parameter.detach().to("meta"), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False, remove_duplicate=False)):
            if name not in module._non_persistent_buffers_set:
                setattr(module, name, buffer.to("meta"))
    return model


def as_input(values: torch.Tensor, types: Any) -> torch.Tensor:
    """Give inputs that are floats the element type of the network's first float tensor."""
    floats = [dtype for dtype in types if dtype.is_floating_point]
    return values.to(floats[0]) if values.is_floating_point() and floats else values


def widened(dtype: torch.dtype) -> torch.dtype:
    """Element type that numpy can hold: float32 for every float of fewer bits."""
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype


def array_type(dtype: torch.dtype) -> np.dtype:
    """Element type of an output as numpy has it."""
    return torch.empty(0, dtype=widened(dtype)).numpy().dtype


def _tensor(table: Rows | np.ndarray, row: int) -> torch.Tensor:
    values = (table.load() if isinstance(table, Rows) else np.asarray(table))[row]
    return torch.from_numpy(np.array(widen(np.asarray(values))))


class _OneThread:
    """Keep torch to one thread in the threads that are inside; the last one out leaves the setting as it was."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.usual = 1

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.usual = torch.get_num_threads()
            self.inside += 1
            torch.set_num_threads(1)

    def __exit__(self, *failure: Any) -> None:
        with self.lock:
            self.inside -= 1
            torch.set_num_threads(self.usual)


_one_thread = _OneThread()
