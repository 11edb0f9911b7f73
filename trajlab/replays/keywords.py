"""Keyword arguments of a network beside its inputs: masks of padding, inputs of a decoder, a second input."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.padding import MASKS

if TYPE_CHECKING:
    from torch import nn

DECODER_INPUTS = "decoder_input_ids"
"""Name of the tokens that enter the decoder of an encoder–decoder."""

KEYWORDS = (
    *MASKS, DECODER_INPUTS, "token_type_ids", "position_ids", "pixel_values", "pixel_mask", "bbox", "langs",
)  # fmt: skip
"""Names of these arguments in a probe and in `forward` of a network; each is (sample, …)."""


def keywords_of(probe: xr.Dataset, model: "nn.Module") -> dict[str, np.ndarray]:
    """Return the keyword arguments of a network that a probe holds, by name.

    If a probe has no inputs for the decoder of an encoder–decoder, they are the targets, shifted as the network's own
    loss does it.

    Raises
    ------
    BadSetting
        The network takes no argument of that name.
    """
    arrays = {name: np.asarray(probe[name].values) for name in KEYWORDS if name in probe}
    parameters = inspect.signature(model.forward).parameters.values()
    for name in arrays:
        if not any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters):
            article = "an" if name[0] in "aeiou" else "a"
            raise BadSetting(
                f"cannot call {type(model).__name__} with {article} {name}: it takes none; leave it out of the probe, "
                "or pass a model that does"
            )
    shift = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    is_encoder_decoder = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    if is_encoder_decoder and shift is not None and DECODER_INPUTS not in arrays and "targets" in probe:
        import torch

        with torch.no_grad():
            arrays[DECODER_INPUTS] = shift(torch.from_numpy(np.array(probe["targets"].values))).numpy()
    return arrays


def for_trial(arrays: Mapping[str, np.ndarray], samples: int) -> dict[str, np.ndarray]:
    """Return arguments of n samples for a trial: zeros, and masks of ones, which hide nothing."""
    make: dict[bool, Any] = {True: np.ones, False: np.zeros}
    return {
        name: make[name in MASKS]((samples, *values.shape[1:]), values.dtype)
        for name, values in arrays.items()
    }  # fmt: skip


def masks_in(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return those masks among the arguments that mark padding: the ones with a 0."""
    return {name: arrays[name] for name in MASKS if name in arrays and not np.all(arrays[name])}
