"""What run.json says about a run."""

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
    """Gather the content of run.json, as it will be read back.

    Parameters
    ----------
    inventory
        What the model is made of.
    gradients
        What is recorded of the gradients, None if nothing.
    probe
        Hash and shapes of the probe, None if there is none.
    describe
        What the user says about the run.
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
            f"describe must be made of what JSON knows (dicts, lists, strings, numbers, None); {error}"
        ) from error
