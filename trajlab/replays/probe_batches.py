"""Probes passed as arrays, tensors or batches of transformers instead of recorded ones."""

import hashlib
from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.record.probe import probe_facts, probe_tensors
from trajlab.replays.dtypes import widened
from trajlab.replays.keywords import DECODER_INPUTS, KEYWORDS
from trajlab.replays.padding import DECODER_PADDING, MASKS, PADDING
from trajlab.replays.probe_kinds import MASK
from trajlab.runs.disk.element_types import widen
from trajlab.statistics.next_tokens import IGNORED

OBJECT_MASKS = {"mask": f"{MASK}_inputs", "masks": f"{MASK}_inputs"}
"""Names that masks of objects may have in a file, and their name in a probe."""

NAMES = {"input_ids": "inputs", "pixel_values": "inputs", "labels": "targets"}
"""Names of tensors in batches of transformers, and in a probe."""


def as_probe(probe: Any) -> xr.Dataset:
    """Return a probe as a Dataset with `inputs` and perhaps `targets`, and its `sha256` in attrs.

    Parameters
    ----------
    probe
        A Dataset, which is left as it is; inputs, (sample, ...), as an array, a tensor or a DataArray; a pair of inputs
        and targets; a mapping of kinds, such as "valid" and "train", to these; or a batch of transformers, a mapping
        with `input_ids` or `pixel_values`, perhaps `labels`, and other arguments of the network by name, `KEYWORDS`.
        The hash of a dask array is unknown.

    Raises
    ------
    BadSetting
        It is none of these, inputs and targets differ in number, or a mask has another shape than what it masks.

    Examples
    --------
    >>> as_probe(np.ones((4, 3), np.float32)).inputs.sizes
    Frozen({'sample': 4, 'inputs_0': 3})
    """
    if isinstance(probe, xr.Dataset):
        return probe
    if isinstance(probe, Mapping) and {"input_ids", "pixel_values"} & set(probe):
        try:
            return named_probe(probe)
        except BadSetting as error:
            raise BadSetting(f"cannot use the batch as a probe: {error}") from error
    if isinstance(probe, Mapping):
        return _dataset(*_recorded({kind: _tensors(parts) for kind, parts in probe.items()}))
    parts = probe if isinstance(probe, tuple | list) else (probe,)
    plain = [part.data if isinstance(part, xr.DataArray) else part for part in parts]
    if any(isinstance(part, da.Array) for part in plain):
        return _labeled(dict(zip(("inputs", "targets"), plain, strict=False)), {"sha256": ""})
    return _dataset(*_recorded(_tensors(probe)))


def named_probe(tensors: Mapping[Any, Any]) -> xr.Dataset:
    """Return a probe of tensors by name.

    Parameters
    ----------
    tensors
        Arrays or tensors, (sample, …): `inputs`, `targets`, those of further kinds, such as `train_inputs`, and
        `KEYWORDS`; or under the names that transformers gives them.

    Raises
    ------
    BadSetting
        A name is unknown, two tensors have the same meaning, or a mask has another shape than what it masks.
    """
    names = ", ".join(map(str, tensors)) or "nothing"
    both = {"input_ids", "pixel_values"} <= set(tensors)  # as CLIP takes them: tokens are the inputs
    terms = [_term(str(name), keep=both and name == "pixel_values") for name in tensors]
    if len(set(terms)) < len(terms):
        repeated = next(term for term in terms if terms.count(term) > 1)
        raise BadSetting(f"it holds {names}; several are {repeated}. Keep one of them.")
    by_term = {term: _tensor(values) for term, values in zip(terms, tensors.values(), strict=True)}
    keywords = {name: _plain(by_term.pop(name)) for name in KEYWORDS if name in by_term}
    kinds = [name.removesuffix("inputs") for name in by_term if name.endswith("inputs")]
    recognized = {f"{kind}{part}" for kind in kinds for part in ("inputs", "targets")}
    if "" not in kinds or not recognized.issuperset(by_term):
        raise BadSetting(
            f"it holds {names}. Name its tensors inputs and targets, those of further kinds train_inputs and "
            f"train_targets, and what the network takes beside its inputs {', '.join(KEYWORDS)}."
        )
    for kind in kinds:
        parts: Any = tuple(by_term[name] for name in (f"{kind}inputs", f"{kind}targets") if name in by_term)
        probe_tensors(parts)
    return _with_keywords(by_term, keywords)


def _term(name: str, *, keep: bool) -> str:
    return name if keep else OBJECT_MASKS.get(name, NAMES.get(name, name))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor as numpy can hold it: without its history, and bfloat16 as float32."""
    return tensor.detach().to(widened(tensor.dtype))


def _with_keywords(tensors: dict[str, torch.Tensor], keywords: dict[str, torch.Tensor]) -> xr.Dataset:
    """Return a probe with other arguments of the network; labels at padding become `IGNORED`."""
    inputs, targets = tensors["inputs"], tensors.get("targets")
    masked = {PADDING: ("inputs", inputs), DECODER_PADDING: (DECODER_INPUTS, keywords.get(DECODER_INPUTS))}
    for name, (what, values) in masked.items():
        if name in keywords and values is not None:
            keywords[name] = _token_mask(name, keywords[name], what, values)
    for name, values in keywords.items():
        if not values.ndim or len(values) != len(inputs):
            samples = f"{len(values)} samples" if values.ndim else "no axis of samples"
            raise BadSetting(f"its {name} has {samples}, its inputs have {len(inputs)}. Give each sample one.")
    keep = keywords.get(PADDING)
    is_encoder_decoder = DECODER_INPUTS in keywords or DECODER_PADDING in keywords
    if keep is not None and targets is not None and targets.shape == keep.shape and not is_encoder_decoder:
        tensors["targets"] = targets if targets.is_floating_point() else torch.where(keep, targets.long(), IGNORED)
    probe = _dataset(tensors, probe_facts(tensors) or {})
    if not keywords:
        return probe
    digest = hashlib.sha256(probe.attrs["sha256"].encode())
    for name, values in keywords.items():
        digest.update((b"" if name == PADDING else name.encode()) + values.contiguous().numpy().tobytes())
    arrays = {name: values.long() if name in MASKS else values for name, values in keywords.items()}
    more: dict[str, tuple[tuple[Any, ...], np.ndarray]] = {
        name: (("sample", *(f"{name}_{axis}" for axis in range(values.ndim - 1))), values.numpy())
        for name, values in arrays.items()
    }
    if keep is not None:
        more[PADDING] = (probe["inputs"].dims[:2], more[PADDING][1])
    return probe.assign(more).assign_attrs(sha256=digest.hexdigest())


def _token_mask(name: str, mask: torch.Tensor, what: str, values: torch.Tensor) -> torch.Tensor:
    """Return which positions hold tokens, (sample, position) bool; each sample must have one."""
    if mask.ndim != 2 or mask.shape != values.shape[:2]:
        raise BadSetting(
            f"its {name} has shape {list(mask.shape)}, its {what} {list(values.shape)}. Give it an entry for each "
            f"position of the {what}."
        )
    empty = torch.nonzero((mask == 0).all(1)).flatten().tolist()
    if empty and mask.shape[1]:
        raise BadSetting(f"its {name} is 0 at all positions of sample {empty[0]}. Leave such samples out.")
    return mask != 0


def _recorded(probe: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors = probe_tensors(probe)
    return tensors, probe_facts(tensors) or {}


def _tensors(probe: Any) -> Any:
    """Return a probe's parts as tensors."""
    if isinstance(probe, tuple | list):
        return tuple(_tensor(part) for part in probe)
    return _tensor(probe)


def _tensor(part: Any) -> torch.Tensor:
    part = part.values if isinstance(part, xr.DataArray) else part
    try:
        return torch.as_tensor(widen(part) if isinstance(part, np.ndarray) else part).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadSetting(
            f"cannot use {type(part).__name__} as a probe: {error}; pass inputs, or a pair of inputs and targets, as "
            "arrays or tensors"
        ) from error


def _dataset(tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> xr.Dataset:
    arrays = {name: _plain(tensor).numpy() for name, tensor in tensors.items()}
    hashes = {"sha256": facts["sha256"], **{f"{kind}_sha256": sha for kind, sha in facts.get("kinds", {}).items()}}
    return _labeled(arrays, hashes)


def _labeled(arrays: Mapping[str, Any], attrs: Mapping[str, str]) -> xr.Dataset:
    variables = {}
    for name, array in arrays.items():
        prefix = name.removesuffix("inputs").removesuffix("targets")
        variables[name] = ((f"{prefix}sample", *(f"{name}_{i}" for i in range(array.ndim - 1))), array)
    return xr.Dataset(variables, attrs=attrs)
