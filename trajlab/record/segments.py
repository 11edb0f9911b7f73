"""Segments of gradients: gathered one row a step, written one file at a time."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

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
        self._sharded = {name for name, parameter in parameters.items() if is_sharded(parameter)}
        self._positions: dict[str, Positions] = {}
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
        targets = {name: self._rows(name, gradient)[row] for name, gradient in gradients.items()}
        whole = []
        for name, gradient in gradients.items():
            if name in self._sharded:
                targets[name].copy_(self._gathering.read(name, gradient).reshape(targets[name].shape))
            elif name in self._indices:
                self._sample(name, gradient, targets[name])
            else:
                whole.append(name)
        if whole:
            torch._foreach_copy_([targets[name] for name in whole], [_dense(gradients[name]) for name in whole])
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
        self._buffer_rows: dict[str, Sequence[torch.Tensor]] = {}

    def _row_shape(self, name: str, parameter: torch.Tensor) -> tuple[int, ...]:
        return tuple(self._indices[name].shape if name in self._indices else parameter.shape)

    def _rows(self, name: str, gradient: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the rows of the buffer of a parameter; allocate it first if there is none."""
        if name not in self._buffers:
            shape = (self._capacity, *self._row_shape(name, gradient))
            self._buffers[name] = torch.empty(shape, dtype=gradient.dtype, device=gradient.device)
            self._buffer_rows[name] = self._buffers[name].unbind()
            if name in self._indices:
                self._indices[name] = self._indices[name].to(gradient.device)
                self._positions.pop(name, None)
        return self._buffer_rows[name]

    def _sample(self, name: str, gradient: torch.Tensor, target: torch.Tensor) -> None:
        """Copy the sampled entries of a gradient."""
        gradient = _dense(gradient)
        positions = self._positions.get(name)
        if positions is None or positions.stride != gradient.stride():
            positions = self._positions[name] = Positions.of(self._indices[name], gradient)
        memory = gradient.as_strided((positions.span,), (1,))
        torch.index_select(memory, 0, positions.entries, out=target)

    def _present_rows(self, name: str) -> torch.Tensor:
        buffer = self._buffers[name][: len(self._steps)]
        if name not in self._absent:
            return buffer
        absent = set(self._absent[name])
        return buffer[[step not in absent for step in self._steps]]


class Positions(NamedTuple):
    """Positions of the sampled entries of a gradient in memory, whose order differs from the flat one in channels-last.

    Parameters
    ----------
    stride
        Stride of the gradient.
    span
        Number of entries in memory from the first to the last.
    entries
        Positions of the sampled entries, counted from the first entry in memory.
    """

    stride: tuple[int, ...]
    span: int
    entries: torch.Tensor

    @classmethod
    def of(cls, indices: torch.Tensor, gradient: torch.Tensor) -> Self:
        """Return the positions of flat indices of a gradient."""
        span = 1 + sum((length - 1) * stride for length, stride in zip(gradient.shape, gradient.stride(), strict=True))
        axes = torch.unravel_index(indices, gradient.shape)
        entries = sum(axis * stride for axis, stride in zip(axes, gradient.stride(), strict=True))
        return cls(gradient.stride(), span, torch.as_tensor(entries))


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


def _write_segment(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    checksum = write_tensors(path, tensors, metadata)
    with naming_failures(path):
        note_files(path.parent.parent, written={path: checksum})
