"""Routing of a mixture of experts over training: load, entropy, dropped choices, and similarity of experts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observe import layers_in, observe
from trajlab.replays.observers.observer import Layer
from trajlab.replays.observers.routing import Routing
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.graph import map_blocks
from trajlab.statistics.experts import experts_together
from trajlab.statistics.result import Meaning, annotate, stride
from trajlab.statistics.units import on_one_probe

_TOKENS = "mean over the tokens of the probe"
MEANINGS = {
    "expert_load": Meaning(
        "load of the expert", "1", "tokens that choose the expert / all choices; even: 1 / experts", share=True
    ),
    "expert_probability": Meaning("probability of the expert", "1", f"softmax of the router, {_TOKENS}", share=True),
    "entropy": Meaning("entropy of the router", "nat", f"−Σ p ln p over the experts, {_TOKENS}"),
    "relative_entropy": Meaning("relative entropy of the router", "1", "entropy / ln E of E experts", share=True),
    "load_entropy": Meaning("evenness of the load", "1", "−Σ f ln f / ln E of the loads f; 1 is even", share=True),
    "balance": Meaning("load-balancing loss", "1", "E Σ f P, f the load and P the mean probability; even: 1"),
    "dropped": Meaning(
        "choices beyond the capacity",
        "1",
        "Σ max(0, n − c N / E) / N, n of N choices, c = `capacity_factor`",
        share=True,
    ),
    "similarity": Meaning("similarity of experts", "1", "mean cosine between weights of two experts, all pairs"),
    "nonfinite": Meaning("scores that are NaN or Inf", "scores", "count; their tokens are excluded"),
}  # fmt: skip


def routing(
    replay: Callable[..., Mapping[str, xr.DataArray]], weights: Mapping[str, xr.DataArray] | None = None, *,
    layers: Sequence[str] = (), top_k: int = 0, capacity_factor: float = 1.25,
) -> xr.Dataset:  # fmt: skip
    """Routers of a mixture of experts: load of each expert, entropy, dropped choices, and similarity of experts.

    Answers: are all experts used, how certain is the router, and do experts specialize or stay copies of each other?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    weights
        Weights by name, for the similarity of experts.
    layers
        Names or patterns of routers, whose outputs are scores before the softmax, (position, expert); by default those
        beside modules called `experts`.
    top_k
        Number of experts that a token chooses; 0 takes the number of the router.
    capacity_factor
        Capacity of an expert as a multiple of the even load. Networks without a limit, such as Mixtral, drop nothing;
        `dropped` then says what this limit would drop.

    Returns
    -------
    expert_load, expert_probability : (step, layer, expert)
        Share of the choices that fall on each expert, and its mean probability.
    entropy, relative_entropy : (step, layer)
        Entropy of the router's softmax, in nat, mean over the tokens; the same relative to even probabilities, 0 to 1.
    load_entropy, balance, dropped : (step, layer)
        Evenness of the load, 0 to 1; the load-balancing loss; and the share of choices beyond the capacity over the
        whole probe. NaN if the number of experts that a token chooses is unknown.
    similarity : (step, layer)
        Cosine between the weights of two experts, mean over all pairs and parameters of the mixture; NaN if none of
        these parameters is recorded at all steps, or if an expert is 0.
    nonfinite : (step, layer)
        Number of scores that are NaN or Inf; all other variables but `similarity` exclude their tokens.

    Padding is left out. Rows of layers with fewer experts end in NaN.

    Raises
    ------
    MissingData
        The run names no model or has no probe, or the network has no router.
    BadSetting
        A setting is out of range.

    References
    ----------
    Load-balancing loss and capacity: Fedus et al. 2021, Switch transformers, arXiv:2101.03961, eqs. 3 and 4.
    """
    if top_k < 0 or not capacity_factor > 0:
        raise BadSetting(
            f"cannot use top_k={top_k} and capacity_factor={capacity_factor}: choose top_k ≥ 0 and a factor above 0"
        )
    scores = replay(layers=list(layers)) if layers else replay(of="routers")
    routers = layers_in(scores)
    if not routers:
        raise MissingData(
            "cannot find routers: no module called gate or router lies beside experts; name layers with --layers "
            "(layers= in Python)"
        )
    tables = observe(scores, Routing(top_k))
    similarity = _similarities(routers, weights or {}, tables["table"]["step"].values)
    work = partial(_result, capacity_factor=capacity_factor, experts=tuple(layer.shape[-1] for layer in routers))
    result = as_one_task(work, *tables.values(), similarity)
    attrs = {"top_k": top_k, "capacity_factor": capacity_factor, **on_one_probe(tables.values())}
    return annotate(result, MEANINGS, **attrs)


def _similarities(routers: Sequence[Layer], weights: Mapping[str, xr.DataArray], steps: np.ndarray) -> xr.DataArray:
    """Return the mean cosine between the experts beside each router, (step, layer); NaN without recorded experts."""
    rows, mixtures = [], experts_together(weights)
    for router in routers:
        mixture = router.attrs["module"].rpartition(".")[0] if "module" in router.attrs else ""
        of_layer = [
            _mean_cosine(array.sel(step=steps).data)
            for array in mixtures.get(mixture, {}).values()
            if np.isin(steps, array["step"]).all()
        ]
        rows.append(sum(of_layer) / len(of_layer) if of_layer else da.full(len(steps), np.nan, chunks=1))
    table = da.stack(rows, axis=1).rechunk({1: -1})
    return xr.DataArray(table, {"step": steps}, ("step", "layer"), "similarity")


def _mean_cosine(values: da.Array) -> da.Array:
    """Return the mean cosine between two experts over all pairs, (step), of (step, expert, …); lazily."""
    array = values if isinstance(values, da.Array) else da.from_array(values, chunks=(1, *values.shape[1:]))
    array = array.rechunk({0: 1} | dict.fromkeys(range(1, array.ndim), -1))
    return map_blocks(mean_cosine, array, drop_axis=list(range(1, array.ndim)), dtype=float, meta=np.empty(0))


def mean_cosine(values: np.ndarray) -> np.ndarray:
    """Return the mean cosine between two experts over all pairs, (step), of (step, expert, …); NaN for one expert.

    >>> mean_cosine(np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [2.0, 2.0]]])).round(6).tolist()
    [0.0, 1.0]
    """
    out = np.full(len(values), np.nan)
    for row, experts in enumerate(values):
        flat = experts.reshape(len(experts), -1).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
            cosines = unit @ unit.T
        if len(flat) > 1:
            out[row] = cosines[np.triu_indices(len(flat), 1)].mean()
    return out


def _result(
    table: xr.DataArray, load: xr.DataArray, probability: xr.DataArray, similarity: xr.DataArray, *,
    capacity_factor: float, experts: tuple[int, ...],
) -> xr.Dataset:  # fmt: skip
    sums = table.to_dataset("column")
    tokens, count = sums["tokens"].where(sums["tokens"] > 0), xr.DataArray(list(experts), dims="layer")
    choices = load.sum("expert").where(load.sum("expert") > 0)
    share, mean = load / choices, probability / tokens
    is_known, log_experts = choices.notnull(), np.log(count.where(count > 1))
    beyond = (load - capacity_factor * choices / count).clip(min=0).sum("expert")
    result = {
        "expert_load": share,
        "expert_probability": mean,
        "entropy": sums["entropy"] / tokens,
        "relative_entropy": sums["entropy"] / tokens / log_experts,
        "load_entropy": -(share * np.log(share.where(share > 0))).sum("expert").where(is_known) / log_experts,
        "balance": (count * (share * mean).sum("expert")).where(is_known),
        "dropped": (beyond / choices).where(is_known),
        "similarity": similarity.assign_coords(layer=table["layer"]),
        "nonfinite": sums["nonfinite"],
    }
    labels = {
        "experts": ("layer", list(experts)),
        "expert": ("expert", np.arange(load.sizes["expert"]), {"long_name": "expert", "units": "1"}),
    }
    return stride(xr.Dataset(result).drop_vars("column", errors="ignore").assign_coords(labels))
