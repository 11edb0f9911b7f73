"""Kinds of inputs: recorded examples, and inputs derived from them, such as noise of the same range."""

import hashlib
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.keywords import KEYWORDS
from trajlab.replays.padding import MASKS
from trajlab.scan.graph import delayed

RECORDED = "valid"
"""Name of the examples that are looked at usually, which are recorded with the run."""

MASK = "mask"
"""Kind of a probe that is no input: masks of what its examples show."""

MADE = ("uniform", "gaussian", "shuffled")
"""What can be made of any examples: see `probe_of`."""


def kinds_of(probe: xr.Dataset) -> list[str]:
    """Return the kinds of inputs of a probe: recorded ones, and those derived from them."""
    recorded = [str(name).removesuffix("_inputs") for name in probe if str(name).endswith("_inputs")]
    others = [kind for kind in recorded if kind != MASK]
    made = [kind for kind in MADE if kind != "gaussian" or probe["inputs"].dtype.kind == "f"]
    return [RECORDED, *others, *made]


def probe_of(probe: xr.Dataset, kind: str, *, seed: int = 0) -> xr.Dataset:
    """Return a probe of a kind, `inputs` and perhaps `targets`, with the `sha256` and the `kind` in attrs; lazily.

    Parameters
    ----------
    probe
        The probe of a run.
    kind
        ``valid``: its examples; another recorded kind, such as ``train``; ``uniform``: independent uniform noise
        between the least and the greatest value of each channel; ``gaussian``: independent Gaussian noise with the mean
        and standard deviation of each channel; ``shuffled``: the examples after one random permutation of the pixels,
        the same for all examples and channels (Zhang et al. 2017, arXiv:1611.03530). Of inputs with fewer than three
        axes, all values count as one channel. Integers, such as tokens, have uniform noise over the values that occur.
        Positions of padding are the same; ``shuffled`` permutes them with the tokens.
    seed
        Seed of what is made.

    Raises
    ------
    BadSetting
        There is no such kind, or it cannot be made of these inputs.
    MissingData
        The kind was not recorded.
    """
    kinds = kinds_of(probe)
    if kind not in kinds:
        if kind == "train":
            raise MissingData(
                f"cannot use training examples: the probe has {', '.join(kinds)}; record with "
                "Recorder(probe={'valid': (inputs, targets), 'train': (inputs, targets)})"
            )
        why = " (the inputs are integers)" if kind == "gaussian" else ""
        raise BadSetting(f"cannot use inputs of the kind {kind!r}; choose one of {', '.join(kinds)}{why}")
    if kind == RECORDED:
        names = [name for name in ("inputs", "targets", *KEYWORDS) if name in probe]
        return probe[names].assign_attrs(kind=kind)
    if kind not in MADE:
        parts = {name: f"{kind}_{name}" for name in ("inputs", "targets") if f"{kind}_{name}" in probe}
        recorded = {name: (("sample", *map(str, probe[key].dims[1:])), probe[key].data) for name, key in parts.items()}
        return xr.Dataset(recorded, attrs={"sha256": probe.attrs.get(f"{kind}_sha256", ""), "kind": kind})
    inputs = probe["inputs"]
    made = remade(inputs.data, inputs.shape, _MAKERS[kind], seed)
    kept = {"targets": probe["targets"]} if kind == "shuffled" and "targets" in probe else {}
    for name in (name for name in KEYWORDS if name in probe):
        beside = probe[name]
        moves = kind == "shuffled" and name in MASKS and beside.shape == inputs.shape
        kept[name] = beside.copy(data=remade(beside.data, beside.shape, _shuffled, seed)) if moves else beside
    attrs = {"sha256": derived_hash(probe, f"{kind} {seed}"), "kind": kind, "seed": seed}
    return xr.Dataset({"inputs": (inputs.dims, made), **kept}, attrs=attrs)


def remade(values: Any, shape: tuple[int, ...], make: Callable[..., np.ndarray], *settings: Any) -> da.Array:
    """Return what a function makes of inputs, an array of a shape; lazily."""
    whole = values.rechunk(-1) if isinstance(values, da.Array) else values
    return da.from_delayed(delayed(make)(whole, *settings), shape, values.dtype)


def derived_hash(probe: xr.Dataset, recipe: str) -> str:
    """Return the hash of what a recipe makes of a probe; none if the hash of that is unknown."""
    source = probe.attrs.get("sha256", "")
    return hashlib.sha256(f"{recipe} of {source}".encode()).hexdigest() if source else ""


def _channels(values: np.ndarray) -> np.ndarray:
    """Return the values of each channel, (channel, value) float64."""
    values = values if values.ndim > 2 else values.reshape(1, 1, -1)
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).astype(np.float64)


def _spread(of_channels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return one number for each channel such that it goes with inputs."""
    return of_channels.reshape(1, -1, *(1,) * (values.ndim - 2)) if values.ndim > 2 else of_channels[0]


def _uniform(values: np.ndarray, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if values.dtype.kind != "f":
        return random.integers(values.min(), values.max(), values.shape, values.dtype, endpoint=True)
    low, high = (_spread(edge, values) for edge in (_channels(values).min(1), _channels(values).max(1)))
    return random.uniform(low, high, values.shape).astype(values.dtype)


def _gaussian(values: np.ndarray, seed: int) -> np.ndarray:
    mean, std = (_spread(part, values) for part in (_channels(values).mean(1), _channels(values).std(1)))
    return (mean + std * np.random.default_rng(seed).standard_normal(values.shape)).astype(values.dtype)


def _shuffled(values: np.ndarray, seed: int) -> np.ndarray:
    flat = values.reshape(*values.shape[: 2 if values.ndim > 2 else 1], -1)
    order = np.random.default_rng(seed).permutation(flat.shape[-1])
    return flat[..., order].reshape(values.shape)


_MAKERS = {"uniform": _uniform, "gaussian": _gaussian, "shuffled": _shuffled}
