"""Offline analysis of neural-network training trajectories.

Training emits safetensors snapshots; here they become labeled lazy arrays over the steps, and stages turn these into
quantities: how far each layer moved, which units died and when, how gradients vanish and flip.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Recorder": "record",
    "every": "record",
    "at": "record",
    "doubling": "record",
    "bursts": "record",
    "Trajectory": "runs.trajectory",
    "open": "runs.open",
    "from_arrays": "runs.from_arrays",
    "runs_in": "runs.open",
    "pack": "runs.pack",
    "run": "running.run",
    "explain": "running.explain",
    "replay": "replays.replay",
    "read_probe": "replays.probe_files",
    "Observer": "replays.observers.observer",
    "Output": "replays.observers.observer",
    "figure": "figures",
    "report": "reports.page",
    "explore": "explorer.explore",
    "example": "runs.example",
    "between": "replays.interpolation",
    "prune": "replays.pruning",
}
"""Where each public name lives. It is imported when first used, so that `trajlab --help` imports next to nothing."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trajlab' has no attribute {name!r}")
    value = getattr(import_module(f"trajlab.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
