"""Writing of torch.distributed.checkpoint in one process."""

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp


def save_alone(content: Mapping[str, Any], folder: Path | str) -> None:
    """Write a checkpoint without a process group, which versions that lack `no_dist` take it for by themselves."""
    alone = {"no_dist": True} if "no_dist" in inspect.signature(dcp.save).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(dict(content), checkpoint_id=str(folder), **alone)
