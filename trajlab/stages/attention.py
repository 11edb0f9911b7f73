"""Attention of each head over training."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observe import layers_in, observe
from trajlab.replays.observers.attention import COLUMNS, HeadAttention
from trajlab.replays.observers.observer import Layer
from trajlab.scan.as_one_task import as_one_task
from trajlab.statistics.result import Meaning, annotate, stride
from trajlab.statistics.units import on_one_probe, side_by_side

_QUERIES = "mean over the queries that see two keys or more"
MEANINGS = {
    "entropy": Meaning("entropy of attention", "nat", f"−Σ p ln p over the keys; {_QUERIES}"),
    "relative_entropy": Meaning(
        "relative entropy of attention", "1", f"−Σ p ln p / ln n over the n keys seen; {_QUERIES}", share=True
    ),
    "largest": Meaning("largest share of a key", "1", f"max p over the keys; {_QUERIES}", share=True),
    "distance": Meaning("distance attended to", "positions", f"Σ p |query − key|; {_QUERIES}"),
    "first": Meaning("share of the first token", "1", f"p of the first key seen; {_QUERIES}", share=True),
    "uniform": Meaning(
        "share of a key under uniform attention", "1", f"1 / n of the n keys seen; {_QUERIES}", share=True
    ),
    "queries": Meaning("queries that see two keys or more", "queries", "count over samples and positions"),
    "nonfinite": Meaning("shares that are NaN or Inf", "shares", "count; their queries are excluded"),
}
MEANS = ("entropy", "relative_entropy", "largest", "distance", "first", "uniform")


def attention(replay: Callable[..., Mapping[str, xr.DataArray]], *, layers: Sequence[str] = ()) -> xr.Dataset:
    """Attention of each head: how sharp it is, how far it reaches, and how much goes to the first token.

    Answers: which heads attend sharply or evenly, near or far, and which put their attention on the first token?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    layers
        Names or patterns of layers of attention, (head, query, key), such as ``model.layers.0.self_attn[2]``; by
        default the attention of all heads.

    Returns
    -------
    entropy, relative_entropy : (step, layer, head)
        Entropy of a query's shares, mean over the queries; relative to that of uniform attention on the keys that the
        query sees, 0 for one key and 1 for uniform.
    largest : (step, layer, head)
        Largest share that a query gives to a key, mean over the queries.
    distance : (step, layer, head)
        Distance from query to key in positions, weighted by the shares; NaN where queries are not the keys, as in
        cross-attention.
    first, uniform : (step, layer, head)
        Share of the first key that a query sees, the attention sink; and what uniform attention would give to it.
    queries, nonfinite : (step, layer, head)
        Number of queries, and of shares that are NaN or Inf.
    total_… : (step)
        The same over all heads, each query counted once a head.

    Queries that see a single key have no choice and never count, such as the first under a causal mask; nor do masked
    keys and the queries of padding. Rows of layers with fewer heads end in NaN.

    Raises
    ------
    MissingData
        The run names no model or has no probe, or the network has no attention that can be observed.
    BadSetting
        A pattern names no layer, or one that is no attention.

    References
    ----------
    Entropy and distance of heads: Clark et al. 2019, What does BERT look at?, arXiv:1906.04341. Attention sinks: Xiao
    et al. 2023, arXiv:2309.17453.
    """
    replayed = replay(layers=list(layers)) if layers else replay(of="attention")
    observed = layers_in(replayed)
    if not observed:
        raise MissingData(
            "cannot find attention: the network calls no scaled_dot_product_attention, MultiheadAttention or softmax "
            "of an attention module; name layers with --layers (layers= in Python)"
        )
    strange = [layer.name for layer in observed if layer.dims[-2:] != ("query", "key")]
    if strange:
        raise BadSetting(
            f"cannot use {', '.join(strange)} as attention: the outputs are not (head, query, key); name layers such "
            "as self_attn[1]"
        )
    tables = observe(replayed, HeadAttention())
    result = as_one_task(partial(_result, layers=observed), *tables.values())
    return annotate(result, MEANINGS, **on_one_probe(tables.values()))


def _result(*tables: xr.DataArray, layers: tuple[Layer, ...]) -> xr.Dataset:
    values = side_by_side([table.values for table in tables], layers, tables[0].sizes["step"])
    columns = xr.DataArray(values, dims=("step", "layer", "head", "column"), coords={"column": list(COLUMNS)})
    sums = columns.to_dataset("column")
    result: dict[str, xr.DataArray] = {}
    for prefix, over in (("", []), ("total_", ["layer", "head"])):
        queries = sums["queries"].sum(over) if over else sums["queries"]
        for name in MEANS:
            is_known = sums[name].notnull()
            whole = sums["queries"].where(is_known).sum(over) if over else queries
            result[prefix + name] = (sums[name].sum(over) if over else sums[name]) / whole.where(whole > 0)
        result[f"{prefix}queries"] = queries
        result[f"{prefix}nonfinite"] = sums["nonfinite"].sum(over) if over else sums["nonfinite"]
    labels = {
        "step": tables[0]["step"],
        "layer": np.array([layer.name for layer in layers], dtype=object),
        "head": ("head", np.arange(values.shape[2]), {"long_name": "head", "units": "1"}),
        "heads": ("layer", [layer.units for layer in layers]),
    }
    return stride(xr.Dataset(result, labels))
