"""Forward hooks on the modules of a network."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from trajlab.replays.attention import Attention, mark_masked, request_attention, returns_attention


@contextmanager
def hooked(modules: Mapping[str, nn.Module], hear: Any, attention: Collection[str] = ()) -> Iterator[None]:
    """Call `hear(path, module, inputs, tensors, maps)` after each call of a module.

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
    followed = {path for path in attention if not returns_attention(modules[path])}

    def enter(path: str) -> Any:
        return lambda module, inputs: watch.stack.append(path)

    def leave(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            maps = watch.left(path) if path in followed else []
            hear(path, module, inputs, list(tensors_in(output)), maps)

        return hook

    handles = [modules[path].register_forward_pre_hook(enter(path)) for path in followed]
    handles += [
        modules[path].register_forward_pre_hook(request_attention, with_kwargs=True)
        for path in set(attention) - followed
    ]
    handles += [
        modules[path].register_forward_hook(mark_masked, with_kwargs=True)
        for path in set(attention) - followed
        if isinstance(modules[path], nn.MultiheadAttention)
    ]
    handles += [module.register_forward_hook(leave(path)) for path, module in modules.items()]
    try:
        with watch if followed else nullcontext():
            yield
    finally:
        for handle in handles:
            handle.remove()


def tensors_in(output: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in the output of a module, which may be nested; scalars of a mapping come last.

    Networks of transformers return an auxiliary loss before the logits.
    """
    if isinstance(output, torch.Tensor):
        yield output
    if isinstance(output, Mapping):
        parts: Any = sorted(output.values(), key=lambda part: isinstance(part, torch.Tensor) and not part.ndim)
    else:
        parts = output if isinstance(output, list | tuple) else ()
    for part in parts:
        yield from tensors_in(part)


def first_tensor(output: Any) -> torch.Tensor | None:
    """Return the first tensor in what a module gives, which may be nested; None if there is none."""
    return next(tensors_in(output), None)
