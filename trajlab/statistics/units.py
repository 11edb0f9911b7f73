"""Units of layers: the parameters that feed them, and small lazy tables of their activity."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.kernels.unit_rows import Units
from trajlab.scan.scan import scan, unit_shape

Arrays = Mapping[str, xr.DataArray]


class UnitLayer(NamedTuple):
    """A layer of units.

    Parameters
    ----------
    name
        Name of the layer.
    source
        Path of the module whose parameters feed the units; empty if unknown.
    units
        Number of units.
    weight, bias
        Names of these parameters, whether or not they exist.
    rectify
        Whether a ReLU follows, so that the values are max(h, 0).
    can_die
        Whether its units can be dead; None if that is not known.
    dead_at
        When a unit is dead, in words.
    has_units
        Whether it is known which axis runs over the units.
    smooth
        Whether the activation only tends to its constant.
    """

    name: str
    source: str
    units: int
    weight: str
    bias: str
    rectify: bool = False
    can_die: bool | None = True
    dead_at: str = ""
    has_units: bool = True
    smooth: bool = False


def layers_of(activations: Arrays, parameters: Arrays) -> list[UnitLayer]:
    """Return the layers that have activations, or a table of units; without activations, those of parameters."""
    if activations:
        return [_of_activations(name, array) for name, array in activations.items()]
    return [_of_parameter(name, array) for name, array in parameters.items() if _leads_into_units(array)]


def _of_activations(name: str, array: xr.DataArray) -> UnitLayer:
    source = array.attrs.get("source", "")
    weight, bias = (f"{source}.weight", f"{source}.bias") if source else ("", "")
    attrs = array.attrs
    rectify = not attrs.get("activation", True) and "nonlinearity" not in attrs
    return UnitLayer(
        name, source, array.sizes["unit"], weight, bias, rectify, attrs.get("can_die", True), attrs.get("dead_at", ""),
        not attrs.get("unknown_units"), bool(attrs.get("smooth")),
    )  # fmt: skip


def _of_parameter(name: str, array: xr.DataArray) -> UnitLayer:
    module, _, leaf = name.rpartition(".")
    bias = ".".join(filter(None, [module, leaf.replace("weight", "bias")])) if "weight" in leaf else ""
    return UnitLayer(module if leaf == "weight" and module else name, module, units_of(array), name, bias)


def _leads_into_units(array: xr.DataArray) -> bool:
    kind = array.attrs.get("kind", "")
    return len(shape_of(array)) > 1 and array.size > 0 and kind not in ("embedding", "norm", "bias")


def shape_of(array: xr.DataArray) -> tuple[int, ...]:
    """Return the shape of a whole parameter, even if only a sample of its entries was recorded."""
    return tuple(array.attrs.get("shape", array.shape[1:]))


def units_of(array: xr.DataArray) -> int:
    """Return the number of units that a parameter leads into; of a bias, its length."""
    return unit_shape(array).units


def units_first(array: xr.DataArray) -> xr.DataArray:
    """Return a parameter with its axes over units first, as those of a matrix (in, out) are not."""
    shape = unit_shape(array)
    if shape.unit_axes == tuple(range(len(shape.unit_axes))):
        return array
    order = (*shape.unit_axes, *(axis for axis in range(len(shape.sizes)) if axis not in shape.unit_axes))
    sizes = [shape.sizes[axis] for axis in order]
    attrs = array.attrs | {"shape": sizes, "unit_axes": list(range(len(shape.unit_axes)))}
    if "index" in array.coords:
        positions = np.unravel_index(array["index"].values, shape.sizes)
        index = np.ravel_multi_index([positions[axis] for axis in order], sizes)
        return array.assign_coords(index=("sample", index)).assign_attrs(attrs)
    return array.transpose("step", *(array.dims[1 + axis] for axis in order)).assign_attrs(attrs)


def on_one_probe(activations: Iterable[Any]) -> dict[str, Any]:
    """Return attrs: the hash of the probe of activations, the padding that they leave out, and unobserved layers.

    Raises
    ------
    BadSetting
        They are on different probes.
    """
    arrays = list(activations)
    hashes = sorted({array.attrs["probe_sha256"] for array in arrays if "probe_sha256" in array.attrs})
    if len(hashes) > 1:
        raise BadSetting(
            f"cannot combine activations on different probes ({', '.join(sha[:12] for sha in hashes)}): replay all "
            "layers on one probe, and compare runs recorded with the same one."
        )
    unobserved = list(dict.fromkeys(array.attrs["unobserved"] for array in arrays if array.attrs.get("unobserved")))
    attrs: dict[str, Any] = {"probe_sha256": hashes[0]} if hashes else {}
    padding = [array.attrs["padding"] for array in arrays if "padding" in array.attrs]
    attrs |= {"padding": max(padding)} if padding else {}
    included = list(dict.fromkeys(text for array in arrays if (text := array.attrs.get("padding_included"))))
    attrs |= {"padding_included": ", ".join(included)} if included else {}
    return attrs | ({"unobserved": "; ".join(unobserved)} if unobserved else {})


def nonzero_table(gradient: xr.DataArray) -> xr.DataArray:
    """Mark units with a non-zero gradient of any incoming weight, (step, unit)."""
    return _marks(gradient, "nonzero")


def changed_table(weight: xr.DataArray) -> xr.DataArray:
    """Mark units whose incoming weights changed since the snapshot before, (step, unit); NaN at the first."""
    return _marks(weight, "changed")


def _marks(array: xr.DataArray, mode: Literal["nonzero", "changed"]) -> xr.DataArray:
    kernel = Units(units_of(array), int(np.prod(shape_of(array))), mode)
    table, _ = scan(kernel, units_first(array))
    return table.drop_vars([name for name in table.coords if name != "step"])


def at_steps(table: xr.DataArray, steps: np.ndarray) -> np.ndarray:
    """Return the rows of a table at given steps, NaN where it has none."""
    recorded = table["step"].values
    is_shown = np.isin(recorded, steps)
    out = np.full((len(steps), *table.shape[1:]), np.nan)
    out[np.searchsorted(steps, recorded[is_shown])] = table.values[is_shown]
    return out


class Wide(Protocol):
    """An object with a number of units."""

    @property
    def units(self) -> int:
        """Number of units."""


def side_by_side(tables: Sequence[np.ndarray | None], layers: Sequence[Wide], steps: int) -> np.ndarray:
    """Stack tables of layers, (step, unit, …) each, as (step, layer, unit, …); NaN where a layer has no unit."""
    columns = next(table.shape[2:] for table in tables if table is not None)
    out = np.full((steps, len(layers), max(layer.units for layer in layers), *columns), np.nan)
    for position, table in enumerate(tables):
        if table is not None:
            out[:, position, : table.shape[1]] = table
    return out
