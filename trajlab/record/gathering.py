"""Tensors that are sharded over processes (DTensor): gathered one at a time, or only the entries that are recorded."""

import math
from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from trajlab.errors import BadSetting

AGREEMENT_SECONDS = 60
"""Time within which all processes have to make their Recorder."""

_recorders = count()
"""Number of each Recorder of sharded tensors, the same in all processes."""


def is_sharded(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is a DTensor, which holds a part of the entries in each process."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return all entries of a tensor; of a sharded one all processes have to ask at the same time."""
    sharded: Any = tensor
    return sharded.full_tensor() if is_sharded(tensor) else tensor


def all_succeeded(succeeded: bool) -> bool:
    """Tell all processes whether this one can record, and return whether all can.

    Raises
    ------
    BadSetting
        A process did not make its Recorder in time; gathering would wait for it forever.
    """
    store: Any = dist.distributed_c10d._get_default_store()
    number = next(_recorders)
    keys = [f"trajlab-recorder-{number}-{rank}" for rank in range(dist.get_world_size())]
    store.set(keys[dist.get_rank()], str(int(succeeded)))
    try:
        store.wait(keys, timedelta(seconds=AGREEMENT_SECONDS))
    except RuntimeError as error:
        raise BadSetting(
            f"cannot record sharded parameters: some of the {len(keys)} processes made no Recorder within "
            f"{AGREEMENT_SECONDS} s; make it, and call its methods, in all of them: the first writes"
        ) from error
    return all(store.get(key) == b"1" for key in keys)


class GradientGathering:
    """Gathers the recorded entries of the gradients of sharded parameters.

    If entries are sampled, those of all parameters are gathered in one reduction: each process fills in those that it
    holds, and the bits are added up, so that values stay exact. Otherwise, and where a layout is not one block for each
    process, whole tensors are gathered one at a time.

    Parameters
    ----------
    parameters
        All recorded parameters by name, in the same order in all processes.
    indices
        Flat indices of the sampled entries by name.
    sampled
        Whether entries are sampled; tensors without indices are recorded whole then.
    """

    def __init__(
        self, parameters: Mapping[str, torch.Tensor], indices: Mapping[str, torch.Tensor], *, sampled: bool
    ) -> None:
        self._parameters = {name: value for name, value in parameters.items() if is_sharded(value)}
        self._indices = {name: indices[name].cpu().numpy() for name in self._parameters if name in indices}
        self._sampled = sampled
        self._blocks: dict[tuple[str, Any], tuple[torch.Tensor, torch.Tensor] | None] = {}
        self._entries: dict[str, torch.Tensor] = {}

    def collect(self) -> None:
        """Gather the sampled entries of all gradients; all processes have to call it at the same time."""
        self._entries = {}
        if not self._sampled:
            return
        pieces = {}
        for name, parameter in self._parameters.items():
            gradient: Any = parameter.grad if parameter.requires_grad else None
            if gradient is not None and is_sharded(gradient) and (block := self._block(name, gradient)) is not None:
                positions, local = block
                entries = torch.zeros(self._size(name), dtype=gradient.dtype, device=gradient.device)
                entries[positions] = gradient.to_local().reshape(-1)[local]
                pieces[name] = entries
        if pieces:
            bits = torch.cat([entries.view(torch.uint8) for entries in pieces.values()])
            dist.reduce(bits, 0)
            parts = bits.split([entries.numel() * entries.element_size() for entries in pieces.values()])
            self._entries = {
                name: part.clone().view(entries.dtype)
                for (name, entries), part in zip(pieces.items(), parts, strict=True)
            }

    def read(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """Return the recorded entries of a gradient, flat; after `collect`, and in network order."""
        if name in self._entries:
            return self._entries.pop(name)
        values = whole(gradient).reshape(-1)
        return values[torch.from_numpy(self._indices[name]).to(values.device)] if name in self._indices else values

    def read_all(self) -> None:
        """Take part in gathering in a process that does not write."""
        self.collect()
        for name, parameter in self._parameters.items():
            if parameter.requires_grad and parameter.grad is not None and is_sharded(parameter.grad):
                self.read(name, parameter.grad)

    def _size(self, name: str) -> int:
        return len(self._indices[name]) if name in self._indices else math.prod(self._parameters[name].shape)

    def _block(self, name: str, gradient: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return which recorded entries this process holds, and where in its part; None if its part is no block."""
        key = (name, gradient.placements)
        if key not in self._blocks:
            self._blocks[key] = self._find_block(name, gradient)
        return self._blocks[key]

    def _find_block(self, name: str, gradient: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
        from torch.distributed.tensor import Replicate, Shard
        from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

        mesh, placements, shape = gradient.device_mesh, gradient.placements, tuple(gradient.shape)
        if any(type(placement) not in (Replicate, Shard) for placement in placements) or not shape:
            return None
        indices = self._indices.get(name)
        indices = np.arange(math.prod(shape)) if indices is None else indices
        size, offset = compute_local_shape_and_global_offset(shape, mesh, placements)
        at = [axis - start for axis, start in zip(np.unravel_index(indices, shape), offset, strict=True)]
        here = np.all([(axis >= 0) & (axis < length) for axis, length in zip(at, size, strict=True)], axis=0)
        coordinate = mesh.get_coordinate()
        copies = [at for at, placement in zip(coordinate, placements, strict=True) if isinstance(placement, Replicate)]
        positions = np.flatnonzero(here) if not any(copies) else np.empty(0, np.int64)
        local = (
            np.ravel_multi_index([axis[positions] for axis in at], size) if len(positions) else np.empty(0, np.int64)
        )
        device = gradient.device
        return torch.from_numpy(positions).to(device), torch.from_numpy(local).to(device)
