"""Padding: the positions of a probe without a token, and the axes of layers that run over positions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trajlab.replays.observers.observer import INPUT, Batch, Layer

PADDING = "attention_mask"
"""Name in a probe of the mask that is 0 at padding, (sample, position), as transformers takes it."""

DECODER_PADDING = "decoder_attention_mask"
"""Name of the same mask for the inputs of a decoder."""

MASKS = (PADDING, DECODER_PADDING)
"""Names of all masks."""


def with_padding(layers: Sequence[Layer], masks: Mapping[str, np.ndarray]) -> tuple[Layer, ...]:
    """Return layers with the name of their mask, and the axes that run over its positions.

    Attention has two such axes, queries and keys. In other layers it is the first axis that is as long as the mask and
    does not run over the units. If two masks have the same length, modules of the decoder take the decoder's. The attr
    `padding` is the number of positions that are left out. The attr `padding_included` is true if no axis is as long as
    the mask, so that padding cannot be left out.

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
    """Return attrs of results: the number of positions of padding left out, and the layers that include padding."""
    left_out = [layer.attrs["padding"] for layer in layers if "padding" in layer.attrs]
    included = [layer.name or "output" for layer in layers if layer.attrs.get("padding_included")]
    attrs: dict[str, Any] = {"padding": max(left_out)} if left_out else {}
    return attrs | ({"padding_included": ", ".join(included)} if included else {})


def without_padding(batch: Batch, layer: Layer, is_token: np.ndarray) -> Iterator[Batch]:
    """Yield parts of a batch without padding; a part holds consecutive samples with the same padding.

    Parameters
    ----------
    batch
        The output of a layer.
    layer
        The layer, with the axes that run over positions.
    is_token
        Which positions of its samples hold tokens, (sample, position).
    """
    changes = np.flatnonzero((is_token[1:] != is_token[:-1]).any(1)) + 1
    bounds = [0, *changes.tolist(), len(is_token)]
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        kept = np.flatnonzero(is_token[low])
        parts: dict[str, Any] = {"targets": None if batch.targets is None else batch.targets[low:high]}
        for name in ("values", "gradient"):
            part = getattr(batch, name)
            part = part if part is None or not len(part) else part[low:high]
            for axis in layer.positions if part is not None and len(part) else ():
                part = np.take(part, kept, axis=1 + axis) if len(kept) < is_token.shape[1] else part
            parts[name] = part
        yield batch._replace(first=batch.first + low, kept=kept, **parts)


def with_padding_as_nan(values: np.ndarray, layer: Layer, kept: np.ndarray | None) -> np.ndarray:
    """Return the output of a layer, (sample, *shape), from one without padding; padding becomes NaN.

    Parameters
    ----------
    values
        The output, with `kept` positions only.
    layer
        The layer.
    kept
        Positions that hold tokens; None if `values` is whole.
    """
    if kept is None:
        return values
    full = np.full((len(values), *layer.shape), np.nan, np.result_type(values, np.float32))
    index: list[Any] = [slice(None)] * full.ndim
    for axis in layer.positions[:1]:
        index[1 + axis] = kept
    if len(layer.positions) < 2:
        full[tuple(index)] = values
        return full
    query, key = layer.positions
    full[(*index[: 1 + query], *np.ix_(kept, kept))] = values
    return full
