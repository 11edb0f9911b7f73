"""The content of run.json: the facts of a run."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from trajlab.errors import BadSetting
from trajlab.record.inventory import Inventory
from trajlab.schema import SNAPSHOTS_VERSION


def run_facts(
    inventory: Inventory,
    *,
    gradients: Mapping[str, Any] | None,
    probe: Mapping[str, Any] | None,
    describe: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the content of run.json as it will be read back.

    Parameters
    ----------
    inventory
        Parameters, buffers and modules of the model.
    gradients
        The entry of `gradient_facts`, None if no gradients are recorded.
    probe
        Hash and shapes of the probe, None if there is none.
    describe
        The user's description of the run.
    """
    facts = {
        "format": SNAPSHOTS_VERSION,
        "versions": {
            "trajlab": version("trajlab"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "parameters": list(inventory.parameters),
        "buffers": inventory.buffers,
        "tied": inventory.tied,
        "frozen": [name for name, tensor in inventory.parameters.items() if not tensor.requires_grad],
        "modules": inventory.modules,
        "adapters": inventory.adapters,
        "not_recorded": inventory.left_out,
        "shapes": {name: list(tensor.shape) for name, tensor in inventory.parameters.items()},
        "gradients": gradients,
        "probe": probe,
        "closed": None,
        "describe": dict(describe or {}),
    }
    try:
        return json.loads(json.dumps(facts))
    except (TypeError, ValueError) as error:
        raise BadSetting(
            f"cannot write describe to run.json: {error}; use dicts, lists, strings, numbers and None only"
        ) from error


def gradient_facts(
    gradients: bool | int, indices: Mapping[str, torch.Tensor], seed: int, clipped: bool | float | None
) -> dict[str, Any] | None:
    """Return the entry of run.json on gradients, None if none are recorded."""
    if gradients is False:
        return None
    return {
        "entries": "all" if gradients is True else gradients,
        "seed": seed,
        "sampled": {name: len(positions) for name, positions in indices.items()},
        "clipped": clipped,
        "unscaled": True,
    }
