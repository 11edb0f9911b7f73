"""Element types of torch, as numpy has them."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch


def widened(dtype: torch.dtype) -> torch.dtype:
    """Element type that numpy can hold: float32 for every float of fewer bits."""
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype


def array_type(dtype: torch.dtype) -> np.dtype:
    """Element type of an output as numpy has it."""
    return torch.empty(0, dtype=widened(dtype)).numpy().dtype


def as_input(values: torch.Tensor, types: Iterable[torch.dtype]) -> torch.Tensor:
    """Return inputs that are floats the element type of the network's first float tensor."""
    floats = [dtype for dtype in types if dtype.is_floating_point]
    return values.to(floats[0]) if values.is_floating_point() and floats else values


def as_array(values: torch.Tensor) -> np.ndarray:
    """Return the values of a tensor as numpy has them, without a copy where that can be."""
    return values.detach().to("cpu", widened(values.dtype)).numpy()


class Arrays(Mapping[str, np.ndarray]):
    """Tensors by name, copied from the device when they are read."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]):
        self.tensors = tensors

    def __getitem__(self, name: str) -> np.ndarray:
        return as_array(self.tensors[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)
