"""Low-rank adapters (LoRA): the update of each adapted weight, ΔW = scale · B A, as a tensor of its own; lazy.

Names are those of peft: ``q_proj.lora_A.weight`` and ``q_proj.lora_B.weight``, with the name of the adapter before
``weight`` in a model. Hu et al. 2021, arXiv:2106.09685.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.runs.tensors import Series, common_steps
from trajlab.runs.trajectory import Trajectory

NAME = re.compile(r"(?P<module>.+)\.lora_A(?:\.(?P<adapter>[^.]+))?\.weight")


def adapter_updates(run: Trajectory) -> dict[str, xr.DataArray]:
    """Return ΔW = scale · B A of each adapter whose scale is known, (step, out, in), named as the adapted weight.

    The scale is what peft's module says, if the run was recorded, else what adapter_config.json says: lora_alpha / r,
    or lora_alpha / √r with use_rslora. Adapters of embeddings and convolutions are no matrices and are left out.

    Parameters
    ----------
    run
        The run.
    """
    updates = {}
    for name, down in run.weights.series.items():
        match = NAME.fullmatch(name)
        up_name = name.replace(".lora_A.", ".lora_B.")
        if match is None or up_name not in run.weights.series or len(down.shape) != 2:
            continue
        scale = scale_of(run.facts, match["module"], match["adapter"] or "default", down.shape[0])
        up = run.weights.series[up_name]
        if scale is None or len(up.shape) != 2 or up.shape[1] != down.shape[0]:
            continue
        updates[f"{match['module']}.weight"] = _update(run, name, up_name, scale)
    return updates


def scale_of(facts: Mapping[str, Any], module: str, adapter: str, rank: int) -> float | None:
    """Return the factor of an adapter; None if it is not known, as where regular expressions name its alpha.

    Examples
    --------
    >>> scale_of({"adapter_config": {"lora_alpha": 16, "r": 8}}, "layers.0.q_proj", "default", 8)
    2.0
    """
    recorded = (facts.get("adapters") or {}).get(module, {})
    if isinstance(recorded.get(adapter), int | float):
        return float(recorded[adapter])
    config = facts.get("adapter_config") or {}
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or not all(re.fullmatch(r"[\w.]+", key) for key in patterns):
        return None
    fitting = [alpha for key, alpha in patterns.items() if module == key or module.endswith(f".{key}")]
    alpha = fitting[0] if fitting else config.get("lora_alpha")
    if not isinstance(alpha, int | float) or rank < 1:
        return None
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _update(run: Trajectory, down_name: str, up_name: str, scale: float) -> xr.DataArray:
    down, up = run.weights.series[down_name], run.weights.series[up_name]
    steps = common_steps([down.steps, up.steps])
    rows = [_rows(run.weights[name], series, steps) for name, series in ((up_name, up), (down_name, down))]
    shape = (len(steps), up.shape[0], down.shape[1])
    product = da.map_blocks(
        _product,
        *rows,
        scale,
        dtype=np.float32,
        chunks=((1,) * shape[0], shape[1:2], shape[2:]),
        meta=np.empty((0, 0, 0)),
    )
    module = down_name.partition(".lora_A")[0]
    attrs = {"shape": list(shape[1:]), "stored_dtype": "float32", "module": module, "kind": "linear", "scale": scale}
    step = ("step", steps, {"long_name": "optimizer step", "units": "1"})
    return xr.DataArray(product, {"step": step}, ("step", "out", "in"), f"{module}.weight", attrs)


def _rows(array: xr.DataArray, series: Series, steps: np.ndarray) -> da.Array:
    data = array.data[np.searchsorted(series.steps, steps)]
    data = data if isinstance(data, da.Array) else da.from_array(data)
    return data.rechunk({0: 1, 1: -1, 2: -1})


def _product(up: np.ndarray, down: np.ndarray, scale: float) -> np.ndarray:
    return (scale * (up.astype(np.float64) @ down.astype(np.float64))).astype(np.float32)
