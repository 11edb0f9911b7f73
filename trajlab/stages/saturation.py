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

_RULE = "what counts is said by the coord `rule`"
MEANINGS = {
    "saturated": Meaning(
        "share of positions where saturated", "1", f"saturated values / finite values; {_RULE}", share=True
    ),
    "fraction_saturated": Meaning(
        "share of saturated values", "1", f"saturated values / finite values; {_RULE}", share=True
    ),
    "fraction_low": Meaning(
        "share of values saturated below", "1", f"on the lower side / finite values; {_RULE}", share=True
    ),
    "fraction_high": Meaning(
        "share of values saturated above", "1", f"on the upper side / finite values; {_RULE}", share=True
    ),
    "fraction_units_saturated": Meaning(
        "share of units that are saturated almost everywhere",
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
    """How much of each layer is saturated: lies where its activation is flat and passes hardly any gradient.

    Answers: which layers are stuck at the ends of their activations, on which side, and since when?

    Parameters
    ----------
    replay
        Puts the snapshots through the network, as `trajlab.replay` does.
    layers
        Names of layers, or patterns; by default all activations, softmaxes, and the attention of each head of torch's
        MultiheadAttention. Attention costs a pass of its own, as a network gives it only if it is asked.
    tanh
        A tanh is saturated above this in size, and so is a softsign.
    sigmoid
        A sigmoid is saturated below this and above 1 less this; smooth tails of others this close to their bound.
    softmax
        A softmax is saturated where its largest share is above this.
    tolerance
        A GELU, SiLU or Mish is saturated where it is 0, or below 0 by no more than this.
    min_share
        Units that are saturated at this share of the positions or more are saturated almost everywhere.

    Returns
    -------
    saturated : (step, layer, unit)
        Share of the positions of the probe at which a unit is saturated. A layer with fewer units ends in NaN. The
        units of an attention are its heads; those of a softmax over the units are unknown, NaN.
    fraction_saturated : (step, layer)
        The same over all values of a layer; of a softmax, over what it sums to 1: samples, or samples and positions.
    fraction_low, fraction_high : (step, layer)
        Those on the lower side, such as below −0.99 or at 0, and on the upper side; NaN for a side that is not flat.
    fraction_units_saturated : (step, layer)
        Share of the units that are saturated almost everywhere.
    nonfinite : (step, layer)
        Values that are NaN or Inf. They are left out of all else; of a softmax with all that they share it with.
    total_… : (step)
        The same over all layers that have a rule.

    Raises
    ------
    MissingData
        The run names no model or has no probe, or the network has no activations.
    BadSetting
        A setting is out of range, or there is no layer of a name.

    Notes
    -----
    The rule goes by the class of the module and stands in the coord `rule`. ReLU, Hardswish and the shrinking ones:
    a = 0. Hardtanh, ReLU6 and Hardsigmoid: a at one of the bounds. Tanh and Softsign: |a| > tanh. Sigmoid: a < sigmoid
    or a > 1 − sigmoid. ELU, CELU and SELU: below 1 − sigmoid of the value that they tend to. Softplus and LogSigmoid:
    where their slope is below sigmoid. GELU, SiLU and Mish have no end but tend to 0 from below: −tolerance ≤ a ≤ 0,
    which takes in the few values of inputs between −2 tolerance and 0. LeakyReLU, PReLU and RReLU are flat nowhere: 0.
    For others there is no rule, NaN.

    Where no activation is a module, the outputs of linear and convolution modules stand for what is made of them:
    values ≤ 0 count, as a ReLU would pass 0. So do those of any layer that is named and is no activation.

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
    seen = layers_in(activations)
    if not seen:
        raise MissingData(
            "activations that may saturate were asked for; the network has none. Name layers, with --layers or layers=."
        )
    tables = observe(activations, observer)
    rules = tuple(observer.rule(layer) for layer in seen)
    result = as_one_task(
        partial(_result, layers=tuple(seen), rules=rules, min_share=float(min_share)), *tables.values()
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
    low, high, known = (
        xr.DataArray([getattr(rule, side) for rule in rules], dims="layer") for side in ("low", "high", "words")
    )
    known = known != ""
    counts = sums.low + sums.high
    apart = [rule.softmax != layer.unit_axis for rule, layer in zip(rules, layers, strict=True)]
    own = (counts / sums.valid).where(known & xr.DataArray(apart, dims="layer"))
    result: dict[str, xr.DataArray] = {"saturated": own}
    for prefix, over in (("", ["unit"]), ("total_", ["layer", "unit"])):
        for name, part, has in (("saturated", counts, known), ("low", sums.low, low), ("high", sums.high, high)):
            whole = sums.valid.where(has).sum(over)
            result[f"{prefix}fraction_{name}"] = part.where(has).sum(over) / whole
        result[f"{prefix}fraction_units_saturated"] = (own >= min_share).sum(over) / own.count(over)
        result[f"{prefix}nonfinite"] = sums.nonfinite.sum(over)
    labels = {
        "step": tables[0]["step"],
        "layer": np.array([layer.name for layer in layers], dtype=object),
        "source": ("layer", np.array([str(layer.attrs.get("source", "")) for layer in layers], dtype=object)),
        "rule": ("layer", np.array([rule.words or "none" for rule in rules], dtype=object)),
        "units": ("layer", [layer.units for layer in layers]),
    }
    return stride(xr.Dataset(result, labels))
