"""The examples that a run is looked at with later, kept beside it."""

import hashlib
from typing import Any

import torch

from trajlab.errors import BadSetting

Probe = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


def probe_tensors(probe: Probe | None) -> dict[str, torch.Tensor]:
    """Copy the inputs, and the targets if there are any, under the names that they have on disk."""
    if probe is None:
        return {}
    parts = (probe,) if isinstance(probe, torch.Tensor) else tuple(probe)
    if len(parts) not in (1, 2) or not all(isinstance(part, torch.Tensor) and part.ndim for part in parts):
        raise BadSetting(
            "probe takes a tensor of inputs or a pair of tensors (inputs, targets), examples first; "
            f"found {', '.join(type(part).__name__ for part in parts)}"
        )
    if len({len(part) for part in parts}) > 1:
        raise BadSetting(f"the probe has {len(parts[0])} inputs and {len(parts[1])} targets; it takes as many of both")
    return {
        name: torch.empty(part.shape, dtype=part.dtype).copy_(part.detach())
        for name, part in zip(("inputs", "targets"), parts, strict=False)
    }


def probe_facts(tensors: dict[str, torch.Tensor]) -> dict[str, Any] | None:
    """Describe a probe so that two can be told apart: a hash of its bytes, and the shapes."""
    if not tensors:
        return None
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    return {"sha256": digest.hexdigest(), "inputs": shapes["inputs"], "targets": shapes.get("targets")}
