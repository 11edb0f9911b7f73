"""Attention weights of each head, also of networks that do not return them."""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def with_masked_zeros(shares: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
    """Return shares with −0.0 for masked keys, which a softmax never returns and no sum or mean sees.

    Observers thereby tell keys that a query does not see from those that it hardly looks at. Of a query that sees no
    key all are −0.0, whatever the softmax made of it.
    """
    return torch.where(masked, torch.full_like(shares, -0.0), shares)


def masked_scores(scores: torch.Tensor) -> torch.Tensor:
    """Return which scores are masked: −∞, or nearly the smallest number of their type, as transformers adds it."""
    return scores <= torch.finfo(scores.dtype).min / 2


def with_unseen_marked(shares: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the softmax of scores with −0.0 for the masked ones, see `with_masked_zeros`."""
    if not scores.is_floating_point() or scores.shape != shares.shape:
        return shares
    masked = masked_scores(scores)
    return with_masked_zeros(shares, masked) if bool(masked.any()) else shares


class Attention(TorchFunctionMode):
    """While it is on, writes down the attention of each call of `scaled_dot_product_attention`; changes no result.

    Attributes
    ----------
    stack
        Paths of the modules that are being called, the innermost last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self._maps: defaultdict[str, list[torch.Tensor]] = defaultdict(list)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention and self.stack:
            self._maps[self.stack[-1]].append(attention_of(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))

    def left(self, path: str) -> list[torch.Tensor]:
        """Return what a module wrote that is left now, (sample, head, query, key) each."""
        self.stack.pop()
        return self._maps.pop(path, [])


def attention_of(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Return the weights that `scaled_dot_product_attention` multiplies values with, (…, query, key).

    Those of masked keys are −0.0, see `with_masked_zeros`.
    """
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -math.inf)
    if attn_mask is not None:
        is_boolean = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if is_boolean else scores + attn_mask
    return with_unseen_marked(scores.softmax(-1), scores)


def returns_attention(module: nn.Module) -> bool:
    """Return whether a module gives the attention of each head beside its output, if it is asked."""
    return isinstance(module, nn.MultiheadAttention)


def request_attention(module: nn.Module, inputs: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Make such a module return the attention of each head; a hook before its call."""
    return inputs, settings | {"need_weights": True, "average_attn_weights": False}


def mark_masked(module: nn.MultiheadAttention, inputs: Any, settings: dict[str, Any], output: Any) -> Any:
    """Make the attention that such a module returned tell masked keys; a hook after its call."""
    named = dict(zip(("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask"), inputs, strict=False))
    named |= settings
    shares = output[1]
    if shares is None or shares.ndim != 4:
        return output
    masked = torch.zeros_like(shares, dtype=torch.bool)
    for name in ("key_padding_mask", "attn_mask"):
        mask = named.get(name)
        if mask is None:
            continue
        mask = mask if mask.dtype == torch.bool else masked_scores(mask)
        if name == "key_padding_mask":
            mask = mask.reshape(-1, 1, 1, shares.shape[-1])
        masked = masked | (mask if mask.ndim != 3 else mask.reshape(-1, module.num_heads, *mask.shape[-2:]))
    return output[0], with_masked_zeros(shares, masked)
