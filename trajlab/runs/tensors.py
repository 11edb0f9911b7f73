"""Series of tensors over the steps, by name, and what names and shapes say of their place in the network."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import MissingData, MissingTensor, first_of
from trajlab.runs.disk.element_types import widened
from trajlab.runs.disk.lazy import lazy
from trajlab.runs.disk.rows import Rows
from trajlab.runs.tensor_kinds import SPATIAL, architecture_of, layout_of


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
        Positions of the recorded entries in the flat tensor, (sample); None if all were recorded.
    origin
        Element type that training stored, where it differs from that of the values; the widest of several.
    types
        Element types that training stored at each step, (step), where they differ; None if there is one.
    """

    steps: np.ndarray
    values: Rows | np.ndarray | da.Array
    shape: tuple[int, ...]
    index: np.ndarray | None = None
    origin: np.dtype | None = None
    types: np.ndarray | None = None

    @property
    def stored(self) -> np.dtype:
        """Element type that training stored, the widest of several."""
        if self.origin is not None:
            return self.origin
        return self.values.stored if isinstance(self.values, Rows) else self.values.dtype

    def stored_at(self, position: int) -> np.dtype:
        """Return the element type that training stored at one of the steps."""
        return self.stored if self.types is None else self.types[position]

    @property
    def type_names(self) -> str:
        """Names of the element types that training stored, in the order of the steps."""
        types = [self.stored] if self.types is None else self.types
        return ", ".join(dict.fromkeys(dtype.name for dtype in dict.fromkeys(types)))  # names are slow to make


class Tensors(Mapping[str, xr.DataArray]):
    """Tensors by name in network order; each becomes a lazy array on access.

    Parameters
    ----------
    series
        The tensors, in network order.
    attributes
        Function of a name that returns attrs of the tensor besides its shape and stored type.
    unusable
        Tensors that are on disk but cannot be one array, as their shape changes, with the reason.
    left_out
        Tensors that are on disk and cannot be analyzed, such as complex ones, with the reason.
    """

    def __init__(
        self,
        series: Mapping[str, Series],
        attributes: Callable[[str], dict[str, Any]] = lambda name: {},
        unusable: Mapping[str, str] | None = None,
        left_out: Mapping[str, str] | None = None,
    ):
        self.series = dict(series)
        self.unusable = dict(unusable or {})
        self.left_out = dict(left_out or {})
        self._attributes = attributes
        self._built: dict[str, xr.DataArray] = {}

    @property
    def steps(self) -> np.ndarray:
        """Steps at which any of the tensors was recorded, (step)."""
        return np.unique(np.concatenate([series.steps for series in self.series.values()] or [np.empty(0, np.int64)]))

    @property
    def omitted(self) -> dict[str, str]:
        """All tensors that are on disk but not here, with the reason."""
        return self.unusable | self.left_out

    def without(self, reasons: Mapping[str, str]) -> "Tensors":
        """Return the tensors without some, which are left out for a reason each."""
        series = {name: tensor for name, tensor in self.series.items() if name not in reasons}
        return Tensors(series, self._attributes, self.unusable, self.left_out | dict(reasons))

    def __getitem__(self, name: str) -> xr.DataArray:
        if name not in self.series:
            if name in self.omitted:
                raise MissingData(f"cannot open {name} as one array: {self.omitted[name]}; name another tensor")
            near = ", ".join(get_close_matches(name, self.series)) or first_of(self.series, 3)
            there = f"name one of {len(self)}, such as {near}" if near else "there are none"
            raise MissingTensor(f"cannot find the tensor {name!r}: {there}")
        if name not in self._built:
            series = self.series[name]
            values = lazy(series.values) if isinstance(series.values, Rows) else series.values
            coords: dict[str, Any] = {"step": ("step", series.steps, {"long_name": "optimizer step", "units": "1"})}
            if series.index is not None:
                coords["index"] = ("sample", series.index, {"long_name": "position in the flat parameter"})
            attrs = {"shape": list(series.shape), "stored_dtype": series.type_names} | self._attributes(name)
            dims = dims_of(series, attrs.pop("dims", ()))
            self._built[name] = xr.DataArray(values, coords, dims, name, attrs)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)

    def __repr__(self) -> str:
        return "\n".join(
            [f"{len(self)} tensors"] + [f"  {name} {series.shape}" for name, series in self.series.items()]
        )


def dims_of(series: Series, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return a tensor's dims: (step, sample) if it was sampled, else (step, out, in, y, x) as far as it has them.

    Parameters
    ----------
    series
        The tensor.
    names
        Names of its axes, where its module tells others, such as (in, out).
    """
    if series.index is not None:
        return "step", "sample"
    if names:
        return "step", *names
    dims = len(series.shape)
    if dims > 5:
        return ("step", *(f"dim_{i}" for i in range(dims)))
    return ("step", *("out", "in")[:dims], *SPATIAL[max(dims - 2, 0)])


def module_of(name: str) -> str:
    """Return the path of the module that holds a parameter.

    >>> module_of("layer1.0.conv1.weight")
    'layer1.0.conv1'
    """
    return name.rpartition(".")[0]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts layers.2 before layers.10.

    >>> sorted(["layers.10", "layers.2"], key=natural)
    ['layers.2', 'layers.10']
    """
    parts = [(at, part) for at, part in enumerate(re.split("([0-9]+)", name)) if part]
    return [(0, *number_key(part)) if at % 2 else (1, 0, part) for at, part in parts]


def number_key(digits: str) -> tuple[int, str]:
    """Return a sort key of a number of any length; int() refuses more than 4,300 digits.

    >>> number_key("10") > number_key("9") > number_key("") == number_key("0")
    True
    """
    significant = digits.lstrip("0")
    return len(significant), significant


def common_type(types: Sequence[np.dtype]) -> np.dtype | None:
    """Return the element type that values of several stored types are read as, all exactly; None if there is none.

    >>> common_type([np.dtype("float16"), np.dtype("float64")]), common_type([np.dtype("float32"), np.dtype("int8")])
    (dtype('float64'), None)
    """
    read = {widened(stored) for stored in types}
    if len({dtype.kind for dtype in read}) > 1:
        return None
    return reduce(np.promote_types, read)


def widest(types: Iterable[np.dtype]) -> np.dtype:
    """Return the element type with the most bytes; of several, the first."""
    return max(types, key=lambda stored: stored.itemsize)


def common_steps(steps: Iterable[np.ndarray]) -> np.ndarray:
    """Return the steps that are in all of several arrays of rising steps; none for no array.

    >>> common_steps([np.array([0, 5, 9]), np.array([5, 7, 9])])
    array([5, 9])
    """
    arrays = list(steps)
    return reduce(np.intersect1d, arrays) if arrays else np.empty(0, np.int64)


def attributes_of(
    facts: Mapping[str, Any], series: Mapping[str, Series], weights: Mapping[str, Series] | None = None
) -> Callable[[str], dict[str, Any]]:
    """Return a function that returns a parameter's module, kind, dims and unit axes, and whether training froze it.

    Parameters
    ----------
    facts
        What made the run.
    series
        The tensors.
    weights
        Of gradients, all parameters, which may be more.
    """
    classes, model_type, frozen = facts.get("modules", {}), architecture_of(facts), set(facts.get("frozen") or ())
    shapes = {name: tensor.shape for name, tensor in {**(weights or {}), **series}.items()}

    def attributes(name: str) -> dict[str, Any]:
        module = module_of(name)
        layout = layout_of(name, shapes, classes.get(module, ""), model_type)
        axes = {"dims": layout.dims, "unit_axes": list(layout.unit_axes)} if layout.dims else {}
        still = {"frozen": True} if name in frozen else {}
        return {"module": module, "kind": layout.kind} | axes | still

    return attributes
