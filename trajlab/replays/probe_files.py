"""Probes read from files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.replays.probe_batches import as_probe, named_probe
from trajlab.replays.token_probe import holds_tokens, read_tokens
from trajlab.runs.disk.paths import as_path
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.readers.torch_loading import load_weights_only

SUFFIXES = (".safetensors", ".npz", ".npy", ".pt", ".pth")


def read_probe(path: str | Path, *, run: str | Path | None = None, trust: bool = False) -> xr.Dataset:
    """Read a probe from a file.

    Parameters
    ----------
    path
        A .safetensors or .npz file with `inputs` and perhaps `targets`, and for other kinds `train_inputs`,
        `train_targets` and so on, as a run's own probe.safetensors, or `input_ids`, `labels`, `attention_mask` and the
        like, as transformers calls them; `mask`, `masks` or `mask_inputs` are masks of what the examples show,
        (sample, y, x). Or an .npy file of inputs, or a PyTorch file of a tensor, a pair of tensors, or a dict of these
        names. Or a text (.txt), or a folder that `save_to_disk` of datasets wrote, with `input_ids` or `text`. A path
        or a URL.
    run
        The run that it is for, whose tokenizer.json reads texts.
    trust
        Follow symbolic links that leave a folder of datasets or the run.

    Raises
    ------
    MissingData
        There is no such file.
    DamagedData
        The file cannot be read, holds no inputs, inputs that are NaN or Inf, or another number of targets.
    UntrustedCode
        A symbolic link leaves a folder of datasets or the run.
    """
    file = as_path(path)
    remedy = f"name a file of type {', '.join(SUFFIXES)} that holds inputs, and perhaps targets"
    with reading(file, remedy, form="a probe"):
        if holds_tokens(file):
            return as_probe(read_tokens(file, None if run is None else as_path(run), trust=trust))
        if not file.is_file():
            reason = "it is a folder" if file.is_dir() else "there is no such file"
            raise MissingData(f"cannot read a probe from {file}: {reason}; name a file of inputs")
        content = _parsed(file, read_bytes(file, None))
        try:
            probe = named_probe(content) if isinstance(content, Mapping) else as_probe(content)
            _check_finite(probe)
        except BadSetting as error:
            raise DamagedData(f"cannot read a probe from {file}: {error}") from error
    return probe


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
