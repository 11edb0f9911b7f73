"""How much of each layer is saturated."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observe import layers_in, observe
from trajlab.replays.observers.observer import Layer
from trajlab.replays.observers.saturation import Rule, Saturation
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.saturation import SATURATION
from trajlab.statistics.result import Meaning, annotate, stride
from trajlab.statistics.units import on_one_probe, side_by_side

_RULE = "the coord `rule` says which count"
MEANINGS = {
    "saturated": Meaning(
        "share of positions where saturated", "1", f"saturated values / finite values; {_RULE}", share=True
    ),
    "fraction_saturated": Meaning(
        "share of saturated values", "1", f"saturated values / finite values; {_RULE}", share=True
    ),
    "fraction_low": Meaning(
        "share of values saturated below", "1", f"values on the lower side / finite values; {_RULE}", share=True
    ),
    "fraction_high": Meaning(
        "share of values saturated above", "1", f"values on the upper side / finite values; {_RULE}", share=True
    ),
    "fraction_units_saturated": Meaning(
        "share of units saturated almost everywhere",
        "1",
        "mean of saturated ≥ min_share, over the units",
        share=True,
    ),
    "nonfinite": Meaning("activations that are NaN or Inf", "activations", "count over positions and units"),
}


def saturation(
    replay: Callable[..., Mapping[str, xr.DataArray]],
    *,
    layers: Sequence[str] = (),
    tanh: float = 0.99,
    sigmoid: float = 0.01,
    softmax: float = 0.99,
    tolerance: float = 1e-3,
    min_share: float = 0.99,
) -> xr.Dataset:
    """How much of each layer is saturated: in the flat part of its activation, which passes hardly any gradient.

    Answers: which layers are saturated, on which side, and since when?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    layers
        Names or patterns of layers; by default all activations and softmaxes, modules and functions such as
        `torch.tanh`, and the attention weights of each head of torch's MultiheadAttention. Attention weights cost a
        pass of their own.
    tanh
        A tanh or softsign is saturated where |a| exceeds this.
    sigmoid
        A sigmoid is saturated below this and above 1 − this; other smooth activations this close to their bound.
    softmax
        A softmax is saturated where its largest probability exceeds this.
    tolerance
        A GELU, SiLU or Mish is saturated where −tolerance ≤ a ≤ 0.
    min_share
        Units saturated at this share of positions or more count as saturated almost everywhere.

    Returns
    -------
    saturated : (step, layer, unit)
        Share of the probe's positions at which a unit is saturated. Rows of layers with fewer units end in NaN. The
        units of attention weights are heads. NaN for a softmax over the units, and for a layer whose axis over the
        units is unknown (`--unit-axis` names it).
    fraction_saturated : (step, layer)
        The same over all values of a layer; of a softmax, over the groups that sum to 1.
    fraction_low, fraction_high : (step, layer)
        Saturated values on the lower side, such as below −0.99 or at 0, and on the upper side; NaN for a side that is
        not flat.
    fraction_units_saturated : (step, layer)
        Share of units saturated almost everywhere.
    nonfinite : (step, layer)
        Values that are NaN or Inf. All else excludes them, and all values of the same softmax.
    total_… : (step)
        The same over all layers with a rule.

    Raises
    ------
    MissingData
        The run names no model or has no probe, or the network has no activations.
    BadSetting
        A setting is out of range, or no layer has a name.

    Notes
    -----
    The rule depends on the class of the module, or that which computes the same as the function; the coord `rule` names
    it. ReLU, Hardswish, Softshrink and Hardshrink: a = 0. Threshold: a at its value. Hardtanh, ReLU6 and Hardsigmoid: a
    at one of the bounds. Tanh and Softsign: |a| > tanh. Sigmoid: a < sigmoid or a > 1 − sigmoid. ELU, CELU and SELU:
    below 1 − sigmoid times their limit. Softplus and LogSigmoid: where their slope is below sigmoid. GELU, SiLU and
    Mish tend to 0 from below: −tolerance ≤ a ≤ 0, which includes the few values of inputs between −2 tolerance and 0.
    LeakyReLU, PReLU and RReLU are flat nowhere: 0. Others have no rule, NaN.

    A layer named in `layers` that is no activation has no rule, NaN. Activations that cannot be observed, in torch.jit
    or fused functions, are named in the attr `unobserved`.

    References
    ----------
    Saturation as layers' activations at the ends of tanh and sigmoid: Glorot and Bengio 2010, AISTATS.
    """
    shares = {"tanh": tanh, "softmax": softmax, "min_share": min_share}
    if not all(0 < value <= 1 for value in shares.values()) or not 0 <= sigmoid < 0.5 or tolerance < 0:
        raise BadSetting(
            f"cannot use tanh={tanh}, sigmoid={sigmoid}, softmax={softmax}, tolerance={tolerance} and "
            f"min_share={min_share}: choose sigmoid from 0 to 0.5, tolerance ≥ 0 and the others above 0, up to 1"
        )
    observer = Saturation(float(tanh), float(sigmoid), float(softmax), float(tolerance))
    activations = replay(layers=list(layers)) if layers else replay(of="nonlinearities")
    observed_layers = layers_in(activations)
    if not observed_layers:
        raise MissingData(
            "cannot find layers that saturate: the network calls no activation that can be observed; name layers with "
            "--layers (layers= in Python)"
        )
    tables = observe(activations, observer)
    rules = tuple(observer.rule(layer) for layer in observed_layers)
    result = as_one_task(
        partial(_result, layers=tuple(observed_layers), rules=rules, min_share=float(min_share)), *tables.values()
    )
    return annotate(
        result,
        MEANINGS,
        tanh=tanh,
        sigmoid=sigmoid,
        softmax=softmax,
        tolerance=tolerance,
        min_share=min_share,
        **on_one_probe(tables.values()),
    )


def _result(*tables: xr.DataArray, layers: tuple[Layer, ...], rules: tuple[Rule, ...], min_share: float) -> xr.Dataset:
    values = side_by_side([table.values for table in tables], layers, tables[0].sizes["step"])
    columns = xr.DataArray(values, dims=("step", "layer", "unit", "column"), coords={"column": list(SATURATION)})
    sums = columns.to_dataset("column")
    low, high, has_rule = (
        xr.DataArray([getattr(rule, side) for rule in rules], dims="layer") for side in ("low", "high", "words")
    )
    has_rule = has_rule != ""
    counts = sums.low + sums.high
    apart = [
        rule.softmax != layer.unit_axis and not layer.attrs.get("unknown_units")
        for rule, layer in zip(rules, layers, strict=True)
    ]
    of_layer = (counts / sums.valid).where(has_rule & xr.DataArray(apart, dims="layer"))
    result: dict[str, xr.DataArray] = {"saturated": of_layer}
    for prefix, over in (("", ["unit"]), ("total_", ["layer", "unit"])):
        for name, part, has in (("saturated", counts, has_rule), ("low", sums.low, low), ("high", sums.high, high)):
            whole = sums.valid.where(has).sum(over)
            result[f"{prefix}fraction_{name}"] = part.where(has).sum(over) / whole
        result[f"{prefix}fraction_units_saturated"] = (of_layer >= min_share).sum(over) / of_layer.count(over)
        result[f"{prefix}nonfinite"] = sums.nonfinite.sum(over)
    labels = {
        "step": tables[0]["step"],
        "layer": np.array([layer.name for layer in layers], dtype=object),
        "source": ("layer", np.array([str(layer.attrs.get("source", "")) for layer in layers], dtype=object)),
        "rule": ("layer", np.array([rule.words or "none" for rule in rules], dtype=object)),
        "units": ("layer", [layer.units for layer in layers]),
    }
    return stride(xr.Dataset(result, labels))
