"""Calls of nonlinear functions between modules, such as `F.relu` in the forward pass of a block."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from trajlab.replays.nonlinearities import (
    ZEROS,
    Nonlinearity,
    Signs,
    function_name,
    nonlinearity_of,
    product_of,
    selection_of,
    signs_of,
)

ACTIVATION_HOMES = ("torch.nn.modules.activation", "transformers.activations")
NOT_ACTIVATIONS = ("MultiheadAttention",)

HearFunction = Callable[[str, int, Nonlinearity, torch.Tensor, torch.Tensor], None]
"""Is given the path of the module that calls a function, the number of the call, the function, input and output."""


def is_activation_module(module: Any) -> bool:
    """Return whether a module is an activation or a softmax, so that it is the layer, not the function in it."""
    return any(
        kind.__module__ in ACTIVATION_HOMES and kind.__name__ not in NOT_ACTIVATIONS for kind in type(module).__mro__
    )


def activation_class(module: Any) -> str:
    """Return the class of torch.nn that an activation module computes, or its own class."""
    kinds = [kind for kind in type(module).__mro__ if kind.__module__ == "torch.nn.modules.activation"]
    return (kinds[0] if kinds else type(module)).__name__


class FunctionCalls(TorchFunctionMode):
    """While it is on, hears each call of a nonlinear function outside of activation modules; changes no result.

    A function belongs to the innermost module in whose forward pass it is called. Its layer is named after both,
    ``layer1.0.relu``, with brackets after it where a module has that name, ``layer1.0.relu()``. The product of an
    activation and another tensor of its shape, as in gated MLPs, is a function, too: ``mlp.gated``.

    Parameters
    ----------
    modules
        All modules of the network, by path.
    hear
        Is told of each call.

    Attributes
    ----------
    inside
        How many activation modules and known functions are being called: what these call is no place of its own.
    """

    def __init__(self, modules: Mapping[str, nn.Module], hear: HearFunction):
        super().__init__()
        self.modules = modules
        self.inside = 0
        self._hear = hear
        self._stack: list[str] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._zeros = WeakTensorKeyDictionary()
        self._signs = WeakTensorKeyDictionary()
        self._activated = WeakTensorKeyDictionary()

    @property
    def path(self) -> str:
        """Path of the module whose forward pass is under way."""
        return self._stack[-1] if self._stack else ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, OpOverload):  # torch.jit and modes of dispatch call these; they are below functions
            return func(*args, **kwargs)
        function = None if self.inside else nonlinearity_of(func, args, kwargs, self._is_zeros)
        if function is None and not self.inside:
            function, is_activation = selection_of(func, args, self._is_zeros, self._signs_of)
            if is_activation and function is None:
                self.miss(function_name(func))
            if not is_activation:
                function = product_of(func, args, self._activated_by)
        self.inside += function is not None
        try:
            output = self.call(func, args, kwargs)
        finally:
            self.inside -= function is not None
        if function_name(func) in ZEROS and isinstance(output, torch.Tensor):
            self._zeros[output] = True
        if isinstance(output, torch.Tensor) and (signs := signs_of(func, args, self._is_zeros, self._signs_of)):
            self._signs[output] = signs
        changed = args[0] if function is not None and output is None else output  # x[x < 0] = 0 returns nothing
        if function is not None and isinstance(changed, torch.Tensor) and changed.is_floating_point():
            self._tell(function, args[0] if args else kwargs.get("input"), changed)
        return output

    def miss(self, name: str) -> None:
        """Take note of a function that computes an activation of an unknown kind; here nothing is to be done."""

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call a function."""
        return function(*args, **kwargs)

    def _activated_by(self, tensor: torch.Tensor) -> str:
        return self._activated.get(tensor, "")

    def _tell(self, function: Nonlinearity, arguments: Any, output: torch.Tensor) -> None:
        if not function.is_product:
            self._activated[output] = function.kind
        path = self.path
        name = f"{path}.{function.name}" if path else function.name
        label = f"{function.name}()" if name in self.modules else function.name
        number = self._counts[path, label]
        self._counts[path, label] += 1
        self._hear(path, number, function._replace(name=label), arguments, output)

    def _signs_of(self, tensor: Any) -> Signs | None:
        return self._signs.get(tensor) if isinstance(tensor, torch.Tensor) else None

    def _is_zeros(self, tensor: Any) -> bool:
        if not isinstance(tensor, torch.Tensor):
            return False
        return tensor in self._zeros or (tensor.ndim == 0 and not tensor.is_meta and float(tensor) == 0.0)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Listen, and know which module is being called."""
        handles = []
        for path, module in self.modules.items():
            handles.append(module.register_forward_pre_hook(self._enter(path, is_activation_module(module))))
            handles.append(
                module.register_forward_hook(self._leave(path, is_activation_module(module)), always_call=True)
            )
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, path: str, activation: bool) -> Any:
        def hook(module: nn.Module, arguments: Any) -> None:
            self._stack.append(path)
            self.inside += activation

        return hook

    def _leave(self, path: str, activation: bool) -> Any:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            self._stack.pop()
            self.inside -= activation
            if activation and isinstance(output, torch.Tensor):
                self._activated[output] = activation_class(module)

        return hook
