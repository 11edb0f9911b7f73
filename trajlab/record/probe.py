"""The probe of a run: the examples on which its snapshots are replayed."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from trajlab.errors import BadSetting

Batch = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
Probe = Batch | Mapping[str, Batch]
"""Inputs, or inputs and targets; or several kinds of these by name, the main one first."""


def probe_tensors(probe: Probe | None) -> dict[str, torch.Tensor]:
    """Copy inputs and targets under their names on disk, in which further kinds are a prefix."""
    if probe is None:
        return {}
    if not isinstance(probe, Mapping):
        return _batch(probe, "")
    tensors: dict[str, torch.Tensor] = {}
    for number, (kind, batch) in enumerate(probe.items()):
        if not str(kind).isidentifier():
            raise BadSetting(f"cannot name a kind of probe {kind!r}: use names such as valid and train")
        tensors |= _batch(batch, f"{kind}_" if number else "")
    return tensors


def _batch(probe: Batch, prefix: str) -> dict[str, torch.Tensor]:
    parts = (probe,) if isinstance(probe, torch.Tensor) else tuple(probe)
    if len(parts) not in (1, 2) or not all(isinstance(part, torch.Tensor) and part.ndim for part in parts):
        raise BadSetting(
            f"cannot use a probe of {', '.join(type(part).__name__ for part in parts)}: pass a tensor of inputs or a "
            "pair of tensors (inputs, targets), each with examples along the first dim"
        )
    if len({len(part) for part in parts}) > 1:
        raise BadSetting(
            f"cannot use a probe of {len(parts[0])} inputs and {len(parts[1])} targets: pass one target for each input"
        )
    return {
        prefix + name: torch.empty(part.shape, dtype=part.dtype).copy_(part.detach())
        for name, part in zip(("inputs", "targets"), parts, strict=False)
    }


def probe_facts(tensors: dict[str, torch.Tensor]) -> dict[str, Any] | None:
    """Return the facts that identify a probe: a hash of its bytes, its shapes, and the hashes of further kinds."""
    if not tensors:
        return None
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    facts = {"sha256": _hash(tensors, ""), "inputs": shapes["inputs"], "targets": shapes.get("targets")}
    kinds = [name.removesuffix("_inputs") for name in tensors if name.endswith("_inputs")]
    return facts | ({"kinds": {kind: _hash(tensors, f"{kind}_") for kind in kinds}} if kinds else {})


def _hash(tensors: dict[str, torch.Tensor], prefix: str) -> str:
    digest = hashlib.sha256()
    for name in ("inputs", "targets"):
        if prefix + name in tensors:
            tensor = tensors[prefix + name]
            digest.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}\n".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
