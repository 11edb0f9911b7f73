"""Segments of gradients: gathered one row a step, written one file at a time."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from trajlab import sizes
from trajlab.errors import BadSetting
from trajlab.record.gathering import GradientGathering, is_sharded
from trajlab.record.writer import Writer, naming_failures, write_tensors
from trajlab.runs.disk.manifest import note_files
from trajlab.schema import segment_file


class GradientSegments:
    """The segment being filled, in memory on the device of the gradients.

    Parameters
    ----------
    folder
        Folder of the segments.
    writer
        The thread that writes them.
    rows
        Most rows of a segment; one of 16 MiB is closed earlier.
    """

    def __init__(self, folder: Path, writer: Writer, *, rows: int) -> None:
        self._folder = folder
        self._writer = writer
        self._most_rows = rows

    def begin(
        self,
        parameters: Mapping[str, nn.Parameter],
        indices: Mapping[str, torch.Tensor],
        gathering: GradientGathering,
    ) -> None:
        """Begin a segment of these parameters.

        Parameters
        ----------
        parameters
            Parameters by name, in network order.
        indices
            Flat indices by name, of each parameter whose gradient is sampled.
        gathering
            Gathers the gradients of those that are sharded.
        """
        self._parameters = dict(parameters)
        self._indices = dict(indices)
        self._gathering = gathering
        self._memory: dict[str, tuple[tuple[int, ...], torch.Tensor]] = {}
        self._start()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the parameters that are trained now."""
        return sum(
            math.prod(self._row_shape(name, parameter)) * parameter.element_size()
            for name, parameter in self._parameters.items()
            if parameter.requires_grad
        )

    @property
    def full(self) -> bool:
        """Whether the segment has to be closed."""
        return len(self._steps) >= self._capacity

    @torch.no_grad()
    def append(self, step: int, scales: Mapping[str, float]) -> None:
        """Copy the current gradients of the parameters.

        Parameters
        ----------
        step
            Their step.
        scales
            Factors to divide by, by name.
        """
        self._gathering.collect()
        gradients = {
            name: parameter.grad
            for name, parameter in self._parameters.items()
            if parameter.requires_grad and parameter.grad is not None  # that of a frozen one stays behind
        }
        if not gradients:
            raise BadSetting(
                f"cannot record gradients at step {step}: none of the {len(self._parameters)} parameters has one; call "
                "step() after backward() and before zero_grad(), or record with gradients=False"
            )
        if any(self._buffers[name].dtype is not gradients[name].dtype for name in self._buffers if name in gradients):
            self.close()
        row = len(self._steps)
        targets = {name: self._buffer(name, gradient)[row] for name, gradient in gradients.items()}
        for name, gradient in gradients.items():
            target = targets[name]
            if is_sharded(gradient):
                target.copy_(self._gathering.read(name, gradient).reshape(target.shape))
                continue
            if gradient.layout is not torch.strided:
                gradient = gradient.to_dense()
            if name in self._indices:
                torch.index_select(_memory_of(gradient), 0, self._positions(name, gradient), out=target)
            else:
                target.copy_(gradient)
        for name in scales.keys() & targets.keys():
            targets[name].mul_(1 / scales[name])
        for name in self._parameters:
            if name not in gradients:
                self._absent[name].append(step)
        self._steps.append(step)

    def close(self) -> None:
        """Pass the rows gathered so far to the writer and start the next segment."""
        if not self._steps:
            return
        tensors = {name: self._present_rows(name).cpu() for name in self._buffers}
        absent = {
            name: steps
            for name, steps in self._absent.items()
            if name in tensors or self._parameters[name].requires_grad
        }
        metadata = {"rows": json.dumps({"steps": self._steps, "absent": absent})}
        path = self._folder / segment_file(self._steps[0], self._steps[-1])
        self._writer.submit(partial(_write_segment, path, tensors, metadata))
        self._start()

    def _start(self) -> None:
        self._capacity = max(1, min(self._most_rows, sizes.SEGMENT_BYTES // max(1, self.row_bytes)))
        self._steps: list[int] = []
        self._absent: defaultdict[str, list[int]] = defaultdict(list)
        self._buffers: dict[str, torch.Tensor] = {}

    def _row_shape(self, name: str, parameter: torch.Tensor) -> tuple[int, ...]:
        return tuple(self._indices[name].shape if name in self._indices else parameter.shape)

    def _buffer(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        buffer = self._buffers.get(name)
        if buffer is None:
            shape = (self._capacity, *self._row_shape(name, gradient))
            buffer = self._buffers[name] = torch.empty(shape, dtype=gradient.dtype, device=gradient.device)
            if name in self._indices:
                self._indices[name] = self._indices[name].to(gradient.device)
                self._memory.pop(name, None)
        return buffer

    def _positions(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """Return where in memory the sampled entries are, which is another order than the flat one in channels-last."""
        if name not in self._memory or self._memory[name][0] != gradient.stride():
            axes = torch.unravel_index(self._indices[name], gradient.shape)
            positions = sum(axis * stride for axis, stride in zip(axes, gradient.stride(), strict=True))
            self._memory[name] = gradient.stride(), torch.as_tensor(positions)
        return self._memory[name][1]

    def _present_rows(self, name: str) -> torch.Tensor:
        buffer = self._buffers[name][: len(self._steps)]
        if name not in self._absent:
            return buffer
        absent = set(self._absent[name])
        return buffer[[step not in absent for step in self._steps]]


def _memory_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return the memory from the first to the last entry of a tensor as a vector."""
    span = 1 + sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((span,), (1,))


def _write_segment(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    checksum = write_tensors(path, tensors, metadata)
    with naming_failures(path):
        note_files(path.parent.parent, written={path: checksum})
