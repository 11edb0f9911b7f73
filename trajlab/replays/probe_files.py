"""Probes passed as arrays, tensors or files instead of recorded ones."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.record.probe import probe_facts, probe_tensors
from trajlab.replays.dtypes import widened
from trajlab.replays.probe_kinds import MASK, PADDING
from trajlab.replays.token_probe import holds_tokens, read_tokens
from trajlab.runs.disk.element_types import widen
from trajlab.runs.disk.paths import as_path
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.readers.torch_loading import load_weights_only
from trajlab.statistics.next_tokens import IGNORED

MASKS = {"mask": f"{MASK}_inputs", "masks": f"{MASK}_inputs"}
"""What masks may be called in a file, and what they are called as a kind of the probe."""

NAMES = {"input_ids": "inputs", "pixel_values": "inputs", "labels": "targets"}
"""What the tensors of a batch of transformers are called here."""

SUFFIXES = (".safetensors", ".npz", ".npy", ".pt", ".pth")


def as_probe(probe: Any) -> xr.Dataset:
    """Return a probe as a Dataset with `inputs` and perhaps `targets`, and its `sha256` in attrs.

    Parameters
    ----------
    probe
        A Dataset, which is left as it is; inputs, (sample, ...), as an array, a tensor or a DataArray; a pair of inputs
        and targets; a mapping of kinds, such as "valid" and "train", to these; or a batch of transformers, a mapping of
        `input_ids` or `pixel_values`, `labels` and `attention_mask`. The hash of a dask array is unknown.

    Raises
    ------
    BadSetting
        It is nothing of that, or inputs and targets differ in number.

    Examples
    --------
    >>> as_probe(np.ones((4, 3), np.float32)).inputs.sizes
    Frozen({'sample': 4, 'inputs_0': 3})
    """
    if isinstance(probe, xr.Dataset):
        return probe
    if isinstance(probe, Mapping) and {"input_ids", "pixel_values"} & set(probe):
        try:
            return _named(probe)
        except BadSetting as error:
            raise BadSetting(f"cannot use the batch as a probe: {error}") from error
    if isinstance(probe, Mapping):
        return _dataset(*_recorded({kind: _tensors(parts) for kind, parts in probe.items()}))
    parts = probe if isinstance(probe, tuple | list) else (probe,)
    plain = [part.data if isinstance(part, xr.DataArray) else part for part in parts]
    if any(isinstance(part, da.Array) for part in plain):
        return _labeled(dict(zip(("inputs", "targets"), plain, strict=False)), {"sha256": ""})
    return _dataset(*_recorded(_tensors(probe)))


def read_probe(path: str | Path, *, run: str | Path | None = None) -> xr.Dataset:
    """Read a probe from a file.

    Parameters
    ----------
    path
        A .safetensors or .npz file with `inputs` and perhaps `targets`, and for other kinds `train_inputs`,
        `train_targets` and so on, as a run's own probe.safetensors, or `input_ids`, `labels` and `attention_mask`, as
        transformers calls them; `mask`, `masks` or `mask_inputs` are masks of what the examples show, (sample, y, x).
        Or an .npy file of inputs, or a PyTorch file of a tensor, a pair of tensors, or a dict of these names. Or a text
        (.txt), or a folder that `save_to_disk` of datasets wrote, with `input_ids` or `text`. A path or a URL.
    run
        The run that it is for, whose tokenizer.json reads texts.

    Raises
    ------
    MissingData
        There is no such file.
    DamagedData
        The file can not be read, holds no inputs or ones that are NaN or Inf, or not as many targets.
    """
    file = as_path(path)
    remedy = f"name a file of type {', '.join(SUFFIXES)} that holds inputs, and perhaps targets"
    with reading(file, remedy, form="a probe"):
        if holds_tokens(file):
            return as_probe(read_tokens(file, None if run is None else as_path(run)))
        if not file.is_file():
            reason = "it is a folder" if file.is_dir() else "there is no such file"
            raise MissingData(f"cannot read a probe from {file}: {reason}; name a file of inputs")
        content = _parsed(file, read_bytes(file))
        try:
            probe = _named(content) if isinstance(content, Mapping) else as_probe(content)
            _check_finite(probe)
        except BadSetting as error:
            raise DamagedData(f"cannot read a probe from {file}: {error}") from error
    return probe


def _named(tensors: Mapping[Any, Any]) -> xr.Dataset:
    """Return a probe of tensors by name."""
    names = ", ".join(map(str, tensors)) or "nothing"
    terms = [MASKS.get(str(name), NAMES.get(str(name), str(name))) for name in tensors]
    if len(set(terms)) < len(terms):
        repeated = next(term for term in terms if terms.count(term) > 1)
        raise BadSetting(f"it holds {names}; several are {repeated}. Keep one of them.")
    tensors = dict(zip(terms, tensors.values(), strict=True))
    padding = tensors.pop(PADDING, None)
    kinds = [name.removesuffix("inputs") for name in tensors if name.endswith("inputs")]
    recognized = {f"{kind}{part}" for kind in kinds for part in ("inputs", "targets")}
    if "" not in kinds or not recognized.issuperset(tensors):
        raise BadSetting(
            f"it holds {names}. Name its tensors inputs and targets, and those of further kinds train_inputs and "
            "train_targets."
        )
    tensors = {name: _tensor(values) for name, values in tensors.items()}
    for kind in kinds:
        parts: Any = tuple(tensors[name] for name in (f"{kind}inputs", f"{kind}targets") if name in tensors)
        probe_tensors(parts)
    if padding is None:
        return _dataset(tensors, probe_facts(tensors) or {})
    return _padded(tensors, _tensor(padding))


def _padded(tensors: dict[str, torch.Tensor], mask: torch.Tensor) -> xr.Dataset:
    """Return a probe with its `attention_mask`; labels at padding count nowhere."""
    inputs, targets = tensors["inputs"], tensors.get("targets")
    if mask.ndim != 2 or mask.shape != inputs.shape[:2]:
        raise BadSetting(
            f"its attention_mask has shape {list(mask.shape)}, its inputs {list(inputs.shape)}. Give it an entry for "
            "each position of the inputs."
        )
    keep = mask != 0
    if targets is not None and targets.shape == mask.shape and not targets.is_floating_point():
        tensors["targets"] = torch.where(keep, targets.long(), IGNORED)
    probe = _dataset(tensors, probe_facts(tensors) or {})
    sha256 = hashlib.sha256(probe.attrs["sha256"].encode() + keep.numpy().tobytes()).hexdigest()
    return probe.assign({PADDING: (probe["inputs"].dims[:2], keep.numpy().astype(np.int64))}).assign_attrs(
        sha256=sha256
    )


def _check_finite(probe: xr.Dataset) -> None:
    """Raise BadSetting for inputs that are NaN or Inf: all outputs would be."""
    for name in probe:
        if str(name).endswith("inputs"):
            bad = int((~np.isfinite(probe[name].values)).sum())
            if bad:
                raise BadSetting(f"{bad} of the {probe[name].size} values of its {name} are NaN or Inf. Repair them.")


def _parsed(file: Path, data: bytes) -> Any:
    from io import BytesIO

    suffix = file.suffix.lower()
    if suffix == ".safetensors":
        from safetensors.torch import load

        return load(data)
    if suffix in (".npz", ".npy"):
        loaded = np.load(BytesIO(data), allow_pickle=False)
        return dict(loaded) if suffix == ".npz" else loaded
    if suffix in (".pt", ".pth"):
        return load_weights_only(BytesIO(data), str(file), "cpu")
    raise ValueError(f"its name ends with {suffix or 'nothing'}")


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
    arrays = {name: tensor.to(widened(tensor.dtype)).numpy() for name, tensor in tensors.items()}
    hashes = {"sha256": facts["sha256"], **{f"{kind}_sha256": sha for kind, sha in facts.get("kinds", {}).items()}}
    return _labeled(arrays, hashes)


def _labeled(arrays: Mapping[str, Any], attrs: Mapping[str, str]) -> xr.Dataset:
    variables = {}
    for name, array in arrays.items():
        prefix = name.removesuffix("inputs").removesuffix("targets")
        variables[name] = ((f"{prefix}sample", *(f"{name}_{i}" for i in range(array.ndim - 1))), array)
    return xr.Dataset(variables, attrs=attrs)
