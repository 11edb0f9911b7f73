"""Permuting one run's hidden units to match another's: its function stays the same, its weights change places.

In a chain of linear and convolution layers the units of a hidden layer can be permuted, if all that leads into them
and out of them is permuted alike. Weight matching (Ainsworth et al. 2022, Git Re-Basin, arXiv:2209.04836) looks for
the order in which the weights of two runs agree best, a layer after the other, by the Hungarian algorithm.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from trajlab.runs.tensors import module_of
from trajlab.scan.graph import delayed

ROUNDS = 100
"""Rounds over all layers after which weight matching ends in any case."""

State = Mapping[str, np.ndarray]
Permutation = np.ndarray


class Hidden(NamedTuple):
    """The units of a hidden layer.

    Attributes
    ----------
    units
        Their number.
    rows
        Parameters with a row for each unit.
    buffers
        Buffers with a row for each unit.
    columns
        The parameter that the units lead into: its second axis runs over them, each with as many neighbors as the
        layer has positions where it was flattened.
    """

    units: int
    rows: tuple[str, ...]
    buffers: tuple[str, ...]
    columns: str


class Chain(NamedTuple):
    """Hidden layers in the order of the pass, or the reason why there is no chain of them."""

    hidden: tuple[Hidden, ...]
    reason: str = ""


def chain_of(weights: Mapping[str, tuple[int, ...]], buffers: Mapping[str, tuple[int, ...]]) -> Chain:
    """Derive the chain of hidden layers from the shapes of parameters and buffers, in network order.

    Examples
    --------
    >>> chain_of({"0.weight": (8, 2), "0.bias": (8,), "2.weight": (1, 8)}, {}).hidden
    (Hidden(units=8, rows=('0.weight', '0.bias'), buffers=(), columns='2.weight'),)
    >>> chain_of({"a.weight": (8, 2), "b.weight": (4, 2)}, {}).reason
    'b.weight takes 2 inputs, and a.weight before it has 8 units'
    """
    matrices = [name for name, shape in weights.items() if len(shape) > 1]
    rows: dict[str, list[str]] = {name: [name] for name in matrices}
    homes: dict[str, str] = {}
    last = ""
    for name, shape in weights.items():
        last = name if len(shape) > 1 else last
        if len(shape) == 1 and last:
            if shape[0] != weights[last][0]:
                return Chain((), f"{name} has {shape[0]} entries, and {last} before it has {weights[last][0]} units")
            rows[last].append(name)
        homes[module_of(name)] = last
    stored: dict[str, list[str]] = {name: [] for name in matrices}
    for name, shape in buffers.items():
        home = homes.get(module_of(name), "")
        if shape and home:
            if shape != weights[home][:1]:
                return Chain((), f"the buffer {name} has not one entry for each unit of {home}")
            stored[home].append(name)
        elif shape:
            return Chain((), f"the buffer {name} belongs to no layer")
    for before, after in zip(matrices, matrices[1:], strict=False):
        inputs, units = weights[after][1], weights[before][0]
        if not units or inputs % units or not inputs or (len(weights[after]) > 2 and inputs != units):
            return Chain((), f"{after} takes {inputs} inputs, and {before} before it has {units} units")
    if len(matrices) < 2:
        return Chain((), "there is no hidden layer")
    return Chain(
        tuple(
            Hidden(weights[name][0], tuple(rows[name]), tuple(stored[name]), after)
            for name, after in zip(matrices, matrices[1:], strict=False)
        )
    )


def align(chain: Chain, ours: State, theirs: State) -> list[Permutation]:
    """Return for each hidden layer the unit of the second run that matches each unit of the first.

    Parameters
    ----------
    chain
        The hidden layers.
    ours, theirs
        Parameters of both runs by name.
    """
    ours = {name: np.nan_to_num(value.astype(np.float64)) for name, value in ours.items()}
    moved = {name: np.nan_to_num(value.astype(np.float64)) for name, value in theirs.items()}
    orders = [np.arange(layer.units) for layer in chain.hidden]
    for number in range(ROUNDS):
        settled = True
        for position, layer in enumerate(chain.hidden):
            agreement = sum(_by_unit(ours[name]) @ _by_unit(moved[name]).T for name in layer.rows)
            if number:  # in the first round, what follows is not in order yet
                agreement = agreement + _leaving(ours, layer) @ _leaving(moved, layer).T
            order = linear_sum_assignment(agreement, maximize=True)[1]
            gain = agreement[np.arange(layer.units), order].sum() - np.trace(agreement)
            if gain > 1e-12 * abs(agreement).sum():
                settled = False
                orders[position] = orders[position][order]
                for name in (*layer.rows, layer.columns):
                    moved[name] = _permuted_by(layer, name, moved[name], order)
        if number and settled:
            break
    return orders


def permuted(chain: Chain, orders: Sequence[Permutation], name: str, values: np.ndarray) -> np.ndarray:
    """Permute one parameter or buffer of the second run into the order of the first."""
    for layer, order in zip(chain.hidden, orders, strict=True):
        values = _permuted_by(layer, name, values, order)
    return values


def aligned_squares(chain: Chain, orders: Sequence[Permutation], ours: State, theirs: State) -> np.ndarray:
    """Return the squared distance of each parameter to that of the aligned run, (parameter); NaN if none is finite."""
    squares = []
    for name, value in ours.items():
        difference = value.astype(np.float64) - permuted(chain, orders, name, theirs[name])
        finite = np.isfinite(difference)
        squares.append((difference[finite] ** 2).sum() if finite.any() else np.nan)
    return np.array(squares)


def chain_in(tensors: Mapping[str, xr.DataArray], chain: Chain | None) -> Chain:
    """Return the known chain, or that derived from shapes, if all entries of its parameters are recorded."""
    if any("index" in array.coords for array in tensors.values()):
        return Chain((), "only samples of the entries are there")
    chain = chain or chain_of({name: tuple(array.shape[1:]) for name, array in tensors.items()}, {})
    missing = [name for layer in chain.hidden for name in (*layer.rows, layer.columns) if name not in tensors]
    return Chain((), f"{missing[0]} is not there") if missing else chain


def aligned_table(
    chain: Chain, ours: Mapping[str, xr.DataArray], theirs: Mapping[str, xr.DataArray], steps: Sequence[int]
) -> xr.DataArray:
    """Return squared distances between aligned runs, (step, parameter); lazily."""
    squares = [
        delayed(aligned_squares)(
            chain, orders_at(chain, ours, theirs, step, step), state_at(ours, step), state_at(theirs, step)
        )
        for step in steps
    ]
    values = da.stack([da.from_delayed(square, (len(ours),), float) for square in squares]).rechunk(-1)
    labels = {"step": steps, "parameter": np.array(list(ours), dtype=object)}
    return xr.DataArray(values, labels, ("step", "parameter"), "squares")


def orders_at(
    chain: Chain, ours: Mapping[str, xr.DataArray], theirs: Mapping[str, xr.DataArray], step: int, their_step: int
) -> Any:
    """Align two runs, each at a step of its own, lazily; the same call returns the same task."""
    return delayed(align)(chain, state_at(ours, step), state_at(theirs, their_step))


def state_at(tensors: Mapping[str, xr.DataArray], step: int) -> dict[str, Any]:
    """Return the values of all tensors at a step, which need not be known yet."""
    return {name: array.sel(step=step).data for name, array in tensors.items()}


def _by_unit(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _leaving(state: State, layer: Hidden) -> np.ndarray:
    """Return the weights that lead out of each unit, (unit, …)."""
    values = state[layer.columns]
    return np.moveaxis(values.reshape(len(values), layer.units, -1), 1, 0).reshape(layer.units, -1)


def _permuted_by(layer: Hidden, name: str, values: np.ndarray, order: Permutation) -> np.ndarray:
    if name in layer.rows or name in layer.buffers:
        values = values[order]
    if name == layer.columns:
        values = values.reshape(len(values), layer.units, -1)[:, order].reshape(values.shape)
    return values
