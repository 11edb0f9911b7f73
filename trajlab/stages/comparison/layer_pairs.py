"""Which layer of one network is compared with which of another."""

from collections.abc import Mapping, Sequence

import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.observe import layers_in, select

LAST = "last activation"
"""Name of the pair of the last layers of two networks that share no name of a layer."""


def paired_layers(
    ours: Mapping[str, xr.DataArray], theirs: Mapping[str, xr.DataArray], layers: Sequence[str] = ()
) -> dict[str, tuple[str, str]]:
    """Return which layer of one network is compared with which of another, by the name of the pair.

    Parameters
    ----------
    ours, theirs
        Activations of both.
    layers
        Names or patterns of layers of one name, and "A=B" for a layer A of one network and B of the other. By default
        all of one name, and where there is none, the last of each. Two networks without such layers have no pair.

    Raises
    ------
    BadSetting
        No layer of either network fits.
    """
    pairs: dict[str, tuple[str, str]] = {}
    for text in layers:
        first, equals, second = text.partition("=")
        if not equals:
            here, there = (_names(select(run, [text])) for run in (ours, theirs))
            pairs |= {name: (name, name) for name in here if name in there}
            continue
        here, there = ([_one(run, name) for name in (first, second)] for run in (ours, theirs))
        if not any((*here, *there)):
            raise BadSetting(
                f"cannot compare the layers {text!r}: one network has {', '.join(_names(ours))}, the other "
                f"{', '.join(_names(theirs))}; name a layer of each"
            )
        if here[0] and there[1]:
            pairs[text] = here[0], there[1]
        elif here[1] and there[0]:
            pairs[text] = here[1], there[0]
    if not layers:
        here, there = _names(ours), _names(theirs)
        pairs = {name: (name, name) for name in here if name in there}
        pairs = pairs or ({LAST: (here[-1], there[-1])} if here and there else {})
    return pairs


def _names(activations: Mapping[str, xr.DataArray]) -> list[str]:
    return [layer.name for layer in layers_in(activations)]


def _one(activations: Mapping[str, xr.DataArray], name: str) -> str:
    """Return the layer of a name; empty if there is none, or a pattern fits several."""
    try:
        names = _names(select(activations, [name]))
    except BadSetting:
        return ""
    return names[0] if len(names) == 1 else ""
