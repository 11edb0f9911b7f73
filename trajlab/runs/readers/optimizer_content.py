"""States of optimizers in what a checkpoint holds, as torch's `state_dict` lays them out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

from trajlab.runs.readers.state_dicts import MOMENTS, MOST

if TYPE_CHECKING:
    from torch import Tensor

Key = int | str
"""How a state names a parameter: its position, or its name."""

DEEPEST = 4
"""Levels of nested mappings and lists in which states are looked for."""

MOST_GROUPS, MOST_PARAMETERS = 10_000, 1_000_000
"""Most groups, and most parameters, of a state."""

COUNT = "step"
"""Entry with the number of updates, of a parameter or of a group."""

PARTITIONED = {"base_optimizer_state", "fp32_flat_groups", "single_partition_of_fp32_groups", "fp32_groups_flat"}
"""Entries of states that DeepSpeed parts among processes, so that tensors are none of the network's."""


@dataclass
class StoredState:
    """The state of one optimizer.

    Attributes
    ----------
    keys
        Keys of the parameters by group, in its order.
    settings
        Hyperparameters by group: numbers, or tensors of one.
    names
        Names of the parameters by key, where the optimizer was made with names.
    entries
        Moments by key and name, tensors that may be without values.
    counts
        Number of updates by key, numbers or tensors of one.
    """

    keys: list[list[Key]] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)
    names: dict[Key, str] = field(default_factory=dict)
    entries: "dict[Key, dict[str, Tensor]]" = field(default_factory=dict)
    counts: dict[Key, Any] = field(default_factory=dict)


def find_states(content: Any) -> tuple[list[StoredState], str]:
    """Find the states of optimizers in the content of a checkpoint, and why others cannot be used.

    Parameters
    ----------
    content
        Nested mappings and lists with tensors, as ``torch.load`` returns them.

    Raises
    ------
    ValueError
        A state has too many groups or parameters.
    """
    states, reasons = [], []
    for node in _candidates(content):
        if any(key in node for key in PARTITIONED):
            reasons.append("its optimizer is parted among processes, as DeepSpeed does, and its tensors are flat parts")
            continue
        states.append(_state_of(node))
    return [state for state in states if any(state.keys)], next(iter(reasons), "")


def _candidates(content: Any) -> Iterator[Mapping]:
    """Yield the mappings that are states of optimizers, the outermost first."""
    level, visited = [content], 0
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for node in level:
            if isinstance(node, Mapping) and (_is_state(node) or any(key in node for key in PARTITIONED)):
                yield node
            elif isinstance(node, Mapping | list):
                children = node.values() if isinstance(node, Mapping) else node
                inner += [child for child in children if isinstance(child, Mapping | list)]
                visited += len(children)
        if visited > MOST:
            raise ValueError(f"it holds more than {MOST:,} values")
        level = inner


def _is_state(node: Mapping) -> bool:
    state, groups = node.get("state"), node.get("param_groups")
    if not isinstance(state, Mapping):
        return False
    return isinstance(groups, list | Mapping) or any(
        isinstance(entries, Mapping) and MOMENTS & set(map(str, entries)) for entries in state.values()
    )


def _state_of(node: Mapping) -> StoredState:
    stored = StoredState()
    groups = node.get("param_groups")
    if isinstance(groups, Mapping):  # torch.distributed.checkpoint flattens lists
        groups = [groups[key] for key in sorted(groups, key=lambda key: (len(str(key)), str(key)))]
    groups = [group for group in groups or [] if isinstance(group, Mapping)]
    keyed: list[Any] = [_keys(group.get("params")) for group in groups]
    if not any(keyed):
        groups, keyed = [{}], [_keys([key for key, entries in node["state"].items() if isinstance(entries, Mapping)])]
    if len(groups) > MOST_GROUPS or sum(map(len, keyed)) > MOST_PARAMETERS:
        raise ValueError(f"the state of its optimizer has {len(groups):,} groups, {sum(map(len, keyed)):,} parameters")
    for group, keys in zip(groups, keyed, strict=True):
        stored.keys.append(keys)
        stored.settings.append(dict(_settings(group)))
        names = group.get("param_names")
        if isinstance(names, list) and len(names) == len(keys):
            stored.names |= {key: str(name) for key, name in zip(keys, names, strict=True)}
        if COUNT in group:
            stored.counts |= dict.fromkeys(keys, group[COUNT])
    for key, entries in node["state"].items():
        if isinstance(key, int | str) and isinstance(entries, Mapping):
            moments = {str(name): value for name, value in entries.items() if _is_tensor(value) and name != COUNT}
            stored.entries[key] = moments
            if COUNT in entries:
                stored.counts[key] = entries[COUNT]
    return stored


def _keys(params: Any) -> list[Key]:
    return [key for key in params if isinstance(key, int | str)] if isinstance(params, list) else []


def _settings(group: Mapping) -> Iterator[tuple[str, Any]]:
    """Yield the hyperparameters of a group that are numbers; `betas` as two."""
    for key, value in group.items():
        if key in ("params", "param_names", COUNT) or not isinstance(key, str):
            continue
        if key == "betas" and isinstance(value, tuple | list) and len(value) == 2:
            yield from zip(("beta1", "beta2"), value, strict=True)
        elif isinstance(value, Real) or (_is_tensor(value) and value.dim() == 0):
            yield key, value


def _is_tensor(value: Any) -> bool:
    from torch import Tensor

    return isinstance(value, Tensor)
