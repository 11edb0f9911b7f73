"""Names of tensors in a trajectory: without the parts that wrappers add, with the keys of several networks."""

import re
from collections.abc import Collection, Iterable, Sequence

from trajlab.errors import BadSetting
from trajlab.runs.readers.formats import Header

WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Components that data parallelism, torch.compile, FSDP and activation checkpointing add to names."""


def without_wrappers(name: str) -> str:
    """Return the name of a tensor without the components that wrappers add, wherever they stand.

    >>> without_wrappers("model._orig_mod.encoder.module.fc.weight")
    'model.encoder.fc.weight'
    """
    return WRAPPERS.sub("", name)


class Names:
    """The names that tensors get in a trajectory.

    Where every checkpoint holds one network, its key is left out, whatever it is. Otherwise names begin with the keys
    of their networks, without what all keys begin with. Wrappers are left out unless two tensors then had one name.

    Parameters
    ----------
    layouts
        The headers of the files of a checkpoint, of each kind of checkpoint.
    key
        Key of the networks to read; None reads all.
    literal
        Names that are kept as they are.

    Raises
    ------
    BadSetting
        No network has the key.
    """

    def __init__(self, layouts: Sequence[Sequence[Header]], key: str | None = None, literal: Collection[str] = ()):
        keys = list(dict.fromkeys(network for headers in layouts for header in headers for network in header.networks))
        chosen = keys if key is None else [network for network in keys if _is_chosen(network, key)]
        if not chosen and keys:
            named = ", ".join(network for network in keys if network) or "no keys, as each file is one network"
            raise BadSetting(f"cannot find the network {key!r} in the checkpoints: they hold {named}; choose one")
        counts = [len({n for header in headers for n in header.networks if n in chosen}) for headers in layouts]
        several = any(count > 1 for count in counts)
        paths = [network.split(".") for network in chosen]
        common = 0
        while several and len({tuple(path[: common + 1]) for path in paths}) == 1 < min(map(len, paths)) - common:
            common += 1
        self._prefixes = {
            network: ".".join(path[common:]) + "." if several and path[common:] != [""] else ""
            for network, path in zip(chosen, paths, strict=True)
        }
        self.networks = [prefix[:-1] for prefix in self._prefixes.values() if prefix]
        self._literal = frozenset(literal)
        self._reads_all = key is None
        self._wrapped = self._ambiguous(layouts)

    def of(self, header: Header, name: str) -> str | None:
        """Return the name in the trajectory of a tensor of a file; None if its network was not chosen."""
        full = self._with_key(header, name)
        return full if full is None or full in self._literal or full in self._wrapped else without_wrappers(full)

    def _with_key(self, header: Header, name: str) -> str | None:
        network = max((key for key in header.networks if not key or name.startswith(key + ".")), key=len, default=None)
        if network is None:  # it lies beside the networks of its file
            return name if self._reads_all else None
        if network not in self._prefixes:
            return None
        return self._prefixes[network] + (name.removeprefix(network + ".") if network else name)

    def _ambiguous(self, layouts: Sequence[Sequence[Header]]) -> set[str]:
        """Return the names that two tensors of a checkpoint would share without their wrappers."""
        ambiguous = set()
        for headers in layouts:
            first: dict[str, str] = {}
            for header in headers:
                for name in (*header.entries, *header.left_out):
                    full = self._with_key(header, name)
                    if full is not None and first.setdefault(without_wrappers(full), full) != full:
                        ambiguous |= {full, first[without_wrappers(full)]}
        return ambiguous


def has_network(headers: Iterable[Header], key: str) -> bool:
    """Return whether files hold a network of a key."""
    return any(_is_chosen(network, key) for header in headers for network in header.networks)


def _is_chosen(network: str, key: str) -> bool:
    """Return whether the key of a network is a key, lies below it, or ends with it.

    >>> [_is_chosen("agent.actor", key) for key in ("agent", "actor", "agent.actor", "agent.act")]
    [True, True, True, False]
    """
    return f".{key}." in f".{network}."
