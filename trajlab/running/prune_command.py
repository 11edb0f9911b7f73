"""Write a pruned snapshot of a run, and its mask, as a run folder."""

from pathlib import Path
from typing import Any

import numpy as np

from trajlab.runs.disk.atomic import atomic, check_free
from trajlab.runs.import_checkpoints import write_snapshots
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import PROBE_FILE
from trajlab.statistics.wording import count, listed, number, share

MASK_FILE = "mask.safetensors"
"""File of a pruned run with a boolean tensor for each parameter: False where pruning set an entry to zero."""


def write_pruned(trajectory: Trajectory, out: Path, **settings: Any) -> str:
    """Prune a snapshot of a run, write it as a run folder with its mask, and return what was pruned, in words.

    Parameters
    ----------
    trajectory
        The run.
    out
        The run folder, which holds the probe, too.
    settings
        Those of `trajlab.prune`.

    Raises
    ------
    OutputExists
        `out` exists.
    """
    import torch
    from safetensors.torch import save_file

    from trajlab.record.probe import probe_facts
    from trajlab.replays.pruning import mask_of, prune

    check_free(out)
    pruned = prune(trajectory, **settings)
    mask = {name: torch.from_numpy(kept) for name, kept in mask_of(trajectory, pruned).items()}
    probe = {str(name): torch.from_numpy(np.array(array.values)) for name, array in pruned.probe.items()}
    names = ("describe", "modules", "tied", "not_recorded", "pruned")
    kept = {name: pruned.facts[name] for name in names if name in pruned.facts}
    with atomic(out) as folder:
        write_snapshots(pruned, folder, **kept | {"probe": probe_facts(probe)})
        save_file(mask, folder / MASK_FILE)
        if probe:
            save_file(probe, folder / PROBE_FILE)
    return _words(pruned)


def _words(pruned: Trajectory) -> str:
    facts = pruned.facts["pruned"]
    zeroed, entries = sum(facts["zeroed"].values()), sum(array.size for array in pruned.weights.values())
    parts = [f"set {count(zeroed, 'entry')} of {entries:,} to zero ({share(zeroed / entries)})"]
    if facts["dead"]:
        units = [f"{len(units)} of {name}" for name, units in facts["removed"].items()]
        parts.append(f"removed dead units: {listed(units)}" if units else "found no dead unit")
    if np.isfinite(facts["output_change"]):
        parts.append(f"outputs on the probe changed by {number(facts['output_change'])} at most")
    return f"step {int(pruned.steps[0]):,}: " + "; ".join(parts)
