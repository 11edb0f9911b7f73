"""Counters of training that a checkpoint states beside its weights: steps, updates, frames, epochs."""

import argparse
import re
from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any

STEP_COUNTERS = (
    "global_step", "global_steps", "step", "steps", "iteration", "iterations", "iter", "iters", "num_updates",
    "batch_idx_train", "training_step", "training_steps", "train_step", "train_steps", "iter_num", "current_step",
    "cur_step", "current_iter", "cur_iter", "current_iteration", "global_iter", "total_steps", "num_steps",
    "total_iter", "total_iters", "n_iter", "n_iters", "it", "update", "updates", "n_updates", "optimizer_step",
    "num_timesteps", "total_timesteps", "timestep", "timesteps", "frame", "frames", "frame_idx", "num_frames",
    "steps_run", "completed_steps", "batch", "batches", "batch_idx", "ss_steps",
)  # fmt: skip
"""Names of counters of optimizer steps, or of what grows with them, the most telling first."""

EPOCH_COUNTERS = (
    "epoch",
    "current_epoch",
    "cur_epoch",
    "epoch_num",
    "epochs",
    "epochs_run",
    "episode",
    "round",
    "ss_epoch",
)
"""Names of coarser counters, which serve where no other does."""

COUNTERS = frozenset((*STEP_COUNTERS, *EPOCH_COUNTERS))

NOT_TRAINING = re.compile(r"optim(?!izer_history)|sched|scaler|sampler|rng", re.IGNORECASE)
"""Keys of mappings that count for themselves, such as the optimizer's own steps."""

DEEPEST = 3
"""Levels of nested mappings in which counters are looked for."""


def counters_of(content: Any) -> dict[str, str]:
    """Return the counters in the content of a checkpoint by key, those of nested mappings by dotted keys.

    Tensors are never read. Fractions, truth values and texts are no counters.

    >>> counters_of({"epoch": 3, "state": {"num_updates": 700, "lr": 0.1}, "optimizer": {"step": 9}})
    {'epoch': '3', 'state.num_updates': '700'}
    """
    return dict(_counters(content, "", 1)) if isinstance(content, Mapping) else {}


def _counters(content: Mapping, prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if not isinstance(key, str) or NOT_TRAINING.search(key):
            continue
        if key in COUNTERS and (count := as_count(value)) is not None:
            yield prefix + key, str(count)
            continue
        inner = _last(value) if key.endswith("history") else value
        inner = vars(inner) if isinstance(inner, argparse.Namespace) else inner
        if isinstance(inner, Mapping) and depth < DEEPEST:
            yield from _counters(inner, f"{prefix}{key}.", depth + 1)


def _last(value: Any) -> Any:
    """Return the last entry of a history; each entry states the progress of training."""
    return value[-1] if isinstance(value, list) and value else value


def as_count(value: Any) -> int | None:
    """Return a number, or a text of ASCII digits, as a count that fits into 64 bits; None if it is none.

    >>> as_count(3.0), as_count("0070"), as_count(2.5), as_count(True), as_count("x"), as_count(2**64)
    (3, 70, None, None, None, None)
    """
    if isinstance(value, str):
        digits = value.removeprefix("-")
        return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
    if isinstance(value, bool) or not isinstance(value, Integral | float):
        return None
    number = int(value) if isinstance(value, Integral) or value.is_integer() else 10**18
    return number if abs(number) < 10**18 else None
