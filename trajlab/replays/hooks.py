"""Listening to the modules of a network while they are called."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from trajlab.replays.attention import Attention, ask, tells_if_asked


@contextmanager
def listening(modules: Mapping[str, nn.Module], hear: Any, attention: Collection[str] = ()) -> Iterator[None]:
    """Have `hear(path, module, inputs, tensors, maps)` called each time that a module was called.

    Parameters
    ----------
    modules
        The modules by path.
    hear
        Is given what went in, the tensors that came out, and the attention that the module paid on the way.
    attention
        Paths of the modules whose attention is wanted.
    """
    watch = Attention()
    followed = {path for path in attention if not tells_if_asked(modules[path])}

    def enter(path: str) -> Any:
        return lambda module, inputs: watch.stack.append(path)

    def leave(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            maps = watch.left(path) if path in followed else []
            hear(path, module, inputs, list(tensors_in(output)), maps)

        return hook

    handles = [modules[path].register_forward_pre_hook(enter(path)) for path in followed]
    handles += [modules[path].register_forward_pre_hook(ask, with_kwargs=True) for path in set(attention) - followed]
    handles += [module.register_forward_hook(leave(path)) for path, module in modules.items()]
    try:
        with watch if followed else nullcontext():
            yield
    finally:
        for handle in handles:
            handle.remove()


def tensors_in(output: Any) -> Iterator[torch.Tensor]:
    """Go over the tensors in what a module gives, which may be nested."""
    if isinstance(output, torch.Tensor):
        yield output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    for part in parts:
        yield from tensors_in(part)


def first_tensor(output: Any) -> torch.Tensor | None:
    """Give the first tensor in what a module gives, which may be nested; None if there is none."""
    return next(tensors_in(output), None)
