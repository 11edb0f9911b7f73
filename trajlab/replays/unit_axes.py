"""Which axis of a tensor runs over units: followed from the module that made them through all that moves axes."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from trajlab.replays.hooks import tensors_in
from trajlab.replays.nonlinearities import function_name

MOVES = frozenset(
    "reshape view view_as reshape_as unsafe_view flatten unflatten permute transpose swapaxes swapdims movedim "
    "moveaxis t adjoint get squeeze unsqueeze expand expand_as repeat tile roll flip chunk split tensor_split "
    "split_with_sizes unbind select narrow index_select getitem contiguous mean sum amax amin max min logsumexp "
    "unfold".split()
)
"""Functions that move axes, or reduce some: of an index along the units they tell where these go."""

ARITHMETIC = frozenset(
    "add sub mul div radd rsub rmul iadd isub imul truediv rtruediv itruediv true_divide where maximum minimum".split()
)
RESIZES = ("glu", "pixel_shuffle", "pixel_unshuffle", "pad")
"""Functions that change how many units there are, not where they are."""

LAST = ("linear", "bilinear", "embedding", "embedding_bag", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh",
        "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")  # fmt: skip
"""Functions that make units along the last axis."""

CONVOLUTIONS = {f"conv{kind}{axes}d": axes for kind in ("", "_transpose") for axes in (1, 2, 3)}
CHANNEL_NORMS = ("batch_norm", "group_norm", "instance_norm")
LAST_NORMS = ("layer_norm", "rms_norm")


class UnitAxis(NamedTuple):
    """Where the units of a tensor are.

    Parameters
    ----------
    axis
        Their axis.
    maker
        Position, among the calls of a trace, of the module that made them; -1 if no module with a weight did.
    """

    axis: int
    maker: int = -1


class UnitAxes:
    """The unit axes of all tensors of a pass; a tensor whose axis cannot be known has none."""

    def __init__(self) -> None:
        self._axes = WeakTensorKeyDictionary()

    def of(self, tensor: Any) -> UnitAxis | None:
        """Return the unit axis of a tensor, None if it is not known."""
        return self._axes.get(tensor) if isinstance(tensor, torch.Tensor) else None

    def set(self, tensor: torch.Tensor, units: UnitAxis | None) -> None:
        """Write down the unit axis of a tensor."""
        if units is None:
            self._axes.pop(tensor, None)
        else:
            self._axes[tensor] = units

    def call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function, and write down the unit axes of what it returns."""
        name = function_name(function)
        units = self.of(args[0]) if args else None
        shape = tuple(args[0].shape) if units is not None else ()  # functions in place change it
        output = function(*args, **kwargs)
        outputs = list(tensors_in(output))
        if name not in MOVES or (name in ("max", "min") and any(isinstance(value, torch.Tensor) for value in args[1:])):
            for tensor in outputs:
                self.set(tensor, self._made(name, args, kwargs, tensor))
        elif outputs:
            moved = [] if units is None else _moved(function, shape, args, kwargs, units)
            for tensor, axis in zip_longest(outputs, moved[: len(outputs)]):
                self.set(tensor, axis)
        return output

    def _made(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], tensor: torch.Tensor) -> UnitAxis | None:
        last = tensor.ndim - 1
        if name in LAST:
            return UnitAxis(last)
        if name in CONVOLUTIONS:
            return UnitAxis(tensor.ndim - CONVOLUTIONS[name] - 1)
        if name in ("matmul", "mm", "bmm", "rmatmul"):
            left, right = (args[1], args[0]) if name == "rmatmul" else (args[0], args[1])
            return self._product(left, right, tensor)
        if name in ("addmm", "baddbmm"):
            return self._product(args[1], args[2], tensor)
        if name == "einsum":
            return self._contracted(args, tensor)
        if name in ("cat", "concat", "concatenate", "stack"):
            return self._joined(name, args, kwargs, tensor)
        units = self._kept(name, [*tensors_in(list(args)), *tensors_in(kwargs)], tensor)
        if units is None and name in CHANNEL_NORMS and tensor.ndim > 1:
            return UnitAxis(1)
        shape = args[1] if len(args) > 1 else kwargs.get("normalized_shape")
        if units is None and name in LAST_NORMS and isinstance(shape, Sequence) and len(shape) == 1:
            return UnitAxis(last)
        return units

    def _kept(self, name: str, inputs: Sequence[torch.Tensor], tensor: torch.Tensor) -> UnitAxis | None:
        """Return the axis that a function leaves where it was, None if its inputs disagree."""
        kept = []
        for value in inputs:
            units = self.of(value)
            added = tensor.ndim - value.ndim
            if units is None or added < 0 or (added and name not in ARITHMETIC):
                continue
            axis = units.axis + added
            if tensor.shape[axis] == value.shape[units.axis] or (name in RESIZES and not added):
                kept.append(UnitAxis(axis, units.maker))
        return _agreed(kept)

    def _joined(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], tensor: torch.Tensor
    ) -> UnitAxis | None:
        parts = args[0] if args else kwargs.get("tensors", ())
        dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        units = _agreed([axis for axis in map(self.of, parts) if axis is not None])
        if units is None or name != "stack" or not isinstance(dim, int):
            return units
        return units._replace(axis=units.axis + (dim % tensor.ndim <= units.axis))

    def _product(self, left: Any, right: Any, tensor: torch.Tensor) -> UnitAxis | None:
        """Return the unit axis of a matrix product; of a matrix without one the free axis makes units."""
        ours, theirs = self.of(left), self.of(right)
        if theirs is None and right.ndim == 2 and (ours is None or ours.axis == left.ndim - 1):
            return UnitAxis(tensor.ndim - 1)
        if theirs is not None and theirs.axis == right.ndim - 1:
            return UnitAxis(tensor.ndim - 1, theirs.maker)
        if ours is not None and left.ndim > 1 and ours.axis == left.ndim - 2:
            return UnitAxis(tensor.ndim - 2, ours.maker)
        if ours is None and left.ndim == 2 and theirs is not None and theirs.axis == right.ndim - 2:
            return UnitAxis(tensor.ndim - 2)
        return None

    def _contracted(self, args: Sequence[Any], tensor: torch.Tensor) -> UnitAxis | None:
        """Return the unit axis of an einsum: a letter of units that stays, or the only new one of a weight."""
        equation, operands = args[0], list(tensors_in(list(args[1:])))
        if not isinstance(equation, str) or "->" not in equation or "." in equation:
            return None
        terms, result = equation.replace(" ", "").split("->")
        letters, new = [], []
        for term, value in zip(terms.split(","), operands, strict=False):
            units = self.of(value)
            if units is None:
                new += [letter for letter in term if letter in result and terms.count(letter) == 1]
            elif term[units.axis] in result:
                letters.append(UnitAxis(result.index(term[units.axis]), units.maker))
        if not letters and len(new) == 1:
            return UnitAxis(result.index(new[0]))
        return _agreed(letters)


def _agreed(units: Sequence[UnitAxis]) -> UnitAxis | None:
    """Return the axis that all name, with the module called last; None if they differ."""
    if len({axis.axis for axis in units}) != 1:
        return None
    return units[0]._replace(maker=max(axis.maker for axis in units))


def _moved(
    function: Any, shape: tuple[int, ...], args: Sequence[Any], kwargs: Mapping[str, Any], units: UnitAxis
) -> list[UnitAxis | None]:
    """Return where the units are in each output, from what the function makes of an index along them."""
    index = torch.arange(shape[units.axis], dtype=torch.float64, device=args[0].device)
    index = index.reshape([size if axis == units.axis else 1 for axis, size in enumerate(shape)])
    try:
        moved = function(index.expand(shape).contiguous(), *args[1:], **kwargs)
        return [_located(tensor, units) for tensor in tensors_in(moved)]
    except Exception:  # whatever a function of anybody's raises on another type: the axis is not known then
        return []


def _located(moved: torch.Tensor, units: UnitAxis) -> UnitAxis | None:
    """Return the only axis along which an index varies, if it has each value once there."""
    if not moved.is_floating_point() or not moved.numel():
        return None
    varying = [axis for axis in range(moved.ndim) if bool((moved != moved.narrow(axis, 0, 1)).any())]
    if len(varying) != 1:
        return None
    values = moved.movedim(varying[0], 0).flatten(1)[:, 0] if moved.ndim > 1 else moved
    return units._replace(axis=varying[0]) if len(values.unique()) == len(values) else None
