"""What every reader gives: the life of each tensor, with its place in the network."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import MissingData
from trajlab.runs.disk.lazy import lazy
from trajlab.runs.disk.rows import Rows

SPATIAL = {0: (), 1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}


@dataclass(eq=False)
class Series:
    """One tensor at each of the steps at which it was recorded.

    Parameters
    ----------
    steps
        Optimizer steps, rising, (step).
    values
        The values, (step, ...): a table of rows on disk, or any array.
    shape
        Shape of the whole tensor; differs from the values' where only a sample of the entries was recorded.
    index
        Positions of the recorded entries in the flat tensor, (sample); None if all are there.
    origin
        Element type that training stored, where a packed store had to widen it.
    """

    steps: np.ndarray
    values: Rows | np.ndarray | da.Array
    shape: tuple[int, ...]
    index: np.ndarray | None = None
    origin: np.dtype | None = None

    @property
    def stored(self) -> np.dtype:
        """Element type that training stored."""
        if self.origin is not None:
            return self.origin
        return self.values.stored if isinstance(self.values, Rows) else self.values.dtype


class Tensors(Mapping[str, xr.DataArray]):
    """Tensors by name in network order; each becomes a lazy array when it is asked for.

    Parameters
    ----------
    lives
        The tensors, in network order.
    attributes
        Gives what stands in the attrs of a tensor besides its shape and stored type.
    unusable
        Tensors that were found but can not be given, with the reason.
    """

    def __init__(
        self,
        lives: Mapping[str, Series],
        attributes: Callable[[str], dict[str, Any]] = lambda name: {},
        unusable: Mapping[str, str] | None = None,
    ):
        self.lives = dict(lives)
        self.unusable = dict(unusable or {})
        self._attributes = attributes
        self._built: dict[str, xr.DataArray] = {}

    def __getitem__(self, name: str) -> xr.DataArray:
        if name not in self.lives:
            if name in self.unusable:
                raise MissingData(self.unusable[name])
            raise KeyError(name)
        if name not in self._built:
            life = self.lives[name]
            values = lazy(life.values) if isinstance(life.values, Rows) else life.values
            coords: dict[str, Any] = {"step": ("step", life.steps, {"long_name": "optimizer step", "units": "1"})}
            if life.index is not None:
                coords["index"] = ("sample", life.index, {"long_name": "position in the flat parameter"})
            attrs = {"shape": list(life.shape), "stored_dtype": life.stored.name} | self._attributes(name)
            self._built[name] = xr.DataArray(values, coords, dims_of(life), name, attrs)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.lives)

    def __len__(self) -> int:
        return len(self.lives)

    def __repr__(self) -> str:
        return "\n".join([f"{len(self)} tensors"] + [f"  {name} {life.shape}" for name, life in self.lives.items()])


def dims_of(life: Series) -> tuple[str, ...]:
    """Names of a tensor's dims: (step, sample) if it was sampled, else (step, out, in, y, x) as far as it has them."""
    if life.index is not None:
        return "step", "sample"
    dims = len(life.shape)
    if dims > 5:
        return ("step", *(f"dim_{i}" for i in range(dims)))
    return ("step", *("out", "in")[:dims], *SPATIAL[max(dims - 2, 0)])


def module_of(name: str) -> str:
    """Path of the module that holds a parameter.

    >>> module_of("layer1.0.conv1.weight")
    'layer1.0.conv1'
    """
    return name.rpartition(".")[0]


def kind_of(name: str, shape: tuple[int, ...], module_class: str = "") -> str:
    """Kind of a parameter: bias, conv, linear, norm, embedding or other; guessed from its shape without a class.

    >>> kind_of("conv1.weight", (6, 1, 5, 5)), kind_of("conv1.bias", (6,)), kind_of("bn.weight", (6,), "BatchNorm2d")
    ('conv', 'bias', 'norm')
    """
    if name.rpartition(".")[2].startswith("bias"):
        return "bias"
    for word, kind in (("Norm", "norm"), ("Embedding", "embedding"), ("Conv", "conv"), ("Linear", "linear")):
        if word in module_class:
            return kind
    return {0: "other", 1: "norm", 2: "linear"}.get(len(shape), "conv")


def natural(name: str) -> list[tuple[int, Any]]:
    """Sort key that puts layers.2 before layers.10.

    >>> sorted(["layers.10", "layers.2"], key=natural)
    ['layers.2', 'layers.10']
    """
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


@dataclass(eq=False)
class Recording:
    """All that a reader found: tensors, facts of the run, metrics and probe."""

    weights: Tensors
    gradients: Tensors
    buffers: Tensors
    facts: dict[str, Any] = field(default_factory=dict)
    metrics: xr.Dataset = field(default_factory=xr.Dataset)
    probe: xr.Dataset = field(default_factory=xr.Dataset)


def attributes_of(facts: Mapping[str, Any], lives: Mapping[str, Series]) -> Callable[[str], dict[str, Any]]:
    """Tell a parameter's module and kind, from the classes that run.json names if it does."""
    classes = facts.get("modules", {})

    def attributes(name: str) -> dict[str, Any]:
        module = module_of(name)
        return {"module": module, "kind": kind_of(name, lives[name].shape, classes.get(module, ""))}

    return attributes
