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
from trajlab.record.writer import Writer, naming_failures, write_tensors
from trajlab.runs.disk.manifest import note_files
from trajlab.schema import segment_file


class GradientSegments:
    """The segment being filled, in memory on the device of the gradients.

    Parameters
    ----------
    parameters
        Parameters by name, in network order.
    indices
        Flat indices by name, of each parameter whose gradient is sampled.
    folder
        Folder of the segments.
    writer
        The thread that writes them.
    rows
        Most rows of a segment; one of 16 MiB is closed earlier.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        indices: Mapping[str, torch.Tensor],
        folder: Path,
        writer: Writer,
        *,
        rows: int,
    ) -> None:
        self._parameters = dict(parameters)
        self._indices = dict(indices)
        self._folder = folder
        self._writer = writer
        row_bytes = sum(
            math.prod(self._row_shape(name, parameter)) * parameter.element_size()
            for name, parameter in self._parameters.items()
            if parameter.requires_grad
        )
        self._capacity = max(1, min(rows, sizes.SEGMENT_BYTES // max(1, row_bytes)))
        self._start()

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
        row = len(self._steps)
        absent = []
        for name, parameter in self._parameters.items():
            gradient = parameter.grad if parameter.requires_grad else None  # of a frozen one it stays behind
            if gradient is None:
                absent.append(name)
                continue
            target = self._buffer(name, gradient)[row]
            if gradient.layout is not torch.strided:
                gradient = gradient.to_dense()
            if name in self._indices:
                torch.index_select(gradient.reshape(-1), 0, self._indices[name], out=target)
            else:
                target.copy_(gradient)
            if name in scales:
                target.mul_(1 / scales[name])
        if len(absent) == len(self._parameters):
            raise BadSetting(
                f"cannot record gradients at step {step}: none of the {len(absent)} parameters has one; call step() "
                "after backward() and before zero_grad(), or record with gradients=False"
            )
        for name in absent:
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
        if buffer.dtype is not gradient.dtype:
            raise BadSetting(
                f"cannot record the gradient of {name}: it is {gradient.dtype}, in the rows before it was "
                f"{buffer.dtype}; call flush() on the Recorder when the dtype of the model changes"
            )
        return buffer

    def _present_rows(self, name: str) -> torch.Tensor:
        buffer = self._buffers[name][: len(self._steps)]
        if name not in self._absent:
            return buffer
        absent = set(self._absent[name])
        return buffer[[step not in absent for step in self._steps]]


def _write_segment(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    write_tensors(path, tensors, metadata)
    with naming_failures(path):
        note_files(path.parent.parent, path)
