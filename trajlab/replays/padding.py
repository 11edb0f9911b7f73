"""Padding: the positions of a probe that hold no token, and the axes of layers along which they lie."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trajlab.replays.observers.observer import INPUT, Batch, Layer

PADDING = "attention_mask"
"""Name in a probe of the mask that is 0 at padding, (sample, position), as transformers takes it."""

DECODER_PADDING = "decoder_attention_mask"
"""The same of what goes into a decoder."""

MASKS = (PADDING, DECODER_PADDING)


def with_padding(layers: Sequence[Layer], masks: Mapping[str, np.ndarray]) -> tuple[Layer, ...]:
    """Return layers with the mask that tells their padding, and the axes along which it lies.

    Those are the axes of queries and keys of attention, and of other layers the first one as long as the mask that is
    not the one over the units. Of two masks of one length, modules of the decoder have the decoder's. The attr
    `padding` is the number of positions that are left out, and `padding_included` is true where they cannot be: no axis
    is as long as the mask.

    Parameters
    ----------
    layers
        The layers.
    masks
        Masks by their name in `MASKS`, (sample, position), 0 at padding.
    """
    return tuple(_masked(layer, masks) for layer in layers) if masks else tuple(layers)


def _masked(layer: Layer, masks: Mapping[str, np.ndarray]) -> Layer:
    in_decoder = "decoder" in layer.name.split(".")
    names = [name for name in (MASKS[::-1] if in_decoder else MASKS) if name in masks]
    attended = "query" in layer.dims
    for name in names:
        length = masks[name].shape[1]
        free = [axis for axis, size in enumerate(layer.shape) if size == length and layer.dims[axis] != "unit"]
        if layer.name == INPUT and not free and layer.shape == (length,):
            free = [0]  # tokens, which are labeled as units
        if free:
            missing = int((masks[name] == 0).sum())
            axes = tuple(free if attended else free[:1])
            return layer._replace(mask=name, positions=axes, attrs=layer.attrs | {"padding": missing})
    included = len(layer.shape) > 1
    return layer._replace(attrs=layer.attrs | ({"padding_included": True} if included else {}))


def padding_attrs(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return what layers say of padding, for attrs of results: how many positions are left out, and where none are."""
    left_out = [layer.attrs["padding"] for layer in layers if "padding" in layer.attrs]
    included = [layer.name or "output" for layer in layers if layer.attrs.get("padding_included")]
    attrs: dict[str, Any] = {"padding": max(left_out)} if left_out else {}
    return attrs | ({"padding_included": ", ".join(included)} if included else {})


def without_padding(batch: Batch, layer: Layer, is_token: np.ndarray) -> Iterator[Batch]:
    """Iterate over parts of a batch whose padding is cut out: samples in a row that are padded alike.

    Parameters
    ----------
    batch
        The output of a layer.
    layer
        The layer, with the axes along which padding lies.
    is_token
        Which positions of its samples hold tokens, (sample, position).
    """
    changes = np.flatnonzero((is_token[1:] != is_token[:-1]).any(1)) + 1
    bounds = [0, *changes.tolist(), len(is_token)]
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        kept = np.flatnonzero(is_token[low])
        parts = {}
        for name in ("values", "gradient"):
            part = getattr(batch, name)
            part = part if part is None or not len(part) else part[low:high]
            for axis in layer.positions if part is not None and len(part) else ():
                part = np.take(part, kept, axis=1 + axis) if len(kept) < is_token.shape[1] else part
            parts[name] = part
        yield batch._replace(first=batch.first + low, kept=kept, **parts)


def with_places(values: np.ndarray, layer: Layer, kept: np.ndarray | None) -> np.ndarray:
    """Return the output of a layer, (sample, *shape), from one without padding, which is NaN."""
    if kept is None:
        return values
    full = np.full((len(values), *layer.shape), np.nan, values.dtype)
    index: list[Any] = [slice(None)] * full.ndim
    for axis in layer.positions[:1]:
        index[1 + axis] = kept
    if len(layer.positions) < 2:
        full[tuple(index)] = values
        return full
    query, key = layer.positions
    full[(*index[: 1 + query], *np.ix_(kept, kept))] = values
    return full
