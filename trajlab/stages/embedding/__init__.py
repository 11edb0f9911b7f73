"""Features of layers in few dimensions, by PCA and t-SNE, and kNN accuracy."""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.observe import observe
from trajlab.replays.observers.observer import INPUT, Observable
from trajlab.replays.observers.outputs import Outputs
from trajlab.replays.observers.pooled import Pooled
from trajlab.replays.probe_kinds import probe_of
from trajlab.scan.graph import map_blocks
from trajlab.stages.embedding.neighbors import METRICS, chance
from trajlab.stages.embedding.reduce import Plan, reduction
from trajlab.statistics.result import Meaning, annotate
from trajlab.statistics.shown_steps import shown_steps
from trajlab.statistics.units import on_one_probe

OUTPUT = "output"
"""Name of the output of the network, as a layer."""

POOLS = ("mean", "flat")
MOST_TSNE = 3
"""Largest number of components of t-SNE."""

_VOTE = "share of labeled samples whose label wins the vote of their k nearest others"
MEANINGS = {
    "pca": Meaning(
        "principal component", "activation", "coordinates along the directions of largest variance", nominal=True
    ),
    "explained_variance_ratio": Meaning("share of the variance", "1", "s² / Σs²", share=True),
    "tsne": Meaning("t-SNE", "1", "coordinates that minimize tsne_kl", nominal=True),
    "tsne_kl": Meaning(
        "divergence of t-SNE", "nat", "KL(P ‖ Q), P neighbor probabilities of the features, Q of the embedding"
    ),
    "tsne_perplexity": Meaning("perplexity of t-SNE", "1", "min(perplexity, (samples − 1)/3)"),
    "knn_accuracy": Meaning("kNN accuracy", "1", _VOTE, share=True),
    "knn_accuracy_pca": Meaning("kNN accuracy in the PCA", "1", f"{_VOTE}, in `pca`", share=True),
    "knn_accuracy_tsne": Meaning("kNN accuracy in the t-SNE", "1", f"{_VOTE}, in `tsne`", share=True),
    "knn_chance": Meaning("share of the largest class", "1", "largest number of a label / labeled samples", share=True),
    "singular_values": Meaning("singular value of the features", "activation", "s of the features − their means"),
    "effective_rank": Meaning("effective rank of the features", "1", "exp(−Σ p ln p), p = s/Σs"),
    "participation_ratio": Meaning("participation ratio of the features", "1", "(Σs²)² / Σs⁴"),
    "nonfinite": Meaning("samples with features that are NaN or Inf", "samples", "count"),
    "constant": Meaning("features that are the same for all samples", "features", "count"),
    "target": Meaning("target of the sample", "1", "label or value of the sample in the probe", nominal=True),
}


def embedding(
    replay: Callable[..., Mapping[str, xr.DataArray]],
    probe: xr.Dataset,
    *,
    layers: Sequence[str] = (),
    steps: Sequence[int] = (),
    max_steps: int = 5,
    kind: str = "valid",
    pool: str = "mean",
    components: int = 2,
    neighbors: int = 5,
    metric: str = "euclidean",
    tsne: bool = True,
    perplexity: float = 30.0,
    seed: int = 0,
) -> xr.Dataset:
    """Embed the features of layers by PCA and t-SNE, and measure kNN accuracy and effective dimension.

    Answers: which layer separates the classes, since when, and in how many directions do its features vary?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    probe
        The batch, optionally with `targets`. kNN accuracy needs one label a sample.
    layers
        Names or patterns of layers; "input" and "output" are those of the network. By default the inputs, unless they
        are integers such as tokens; all activations; and the output.
    steps
        Recorded steps to analyze; by default evenly spaced ones.
    max_steps
        Largest number of evenly spaced steps. t-SNE takes a second for each layer and step.
    kind
        Kind of examples: valid, train, uniform, gaussian or shuffled.
    pool
        Features of a layer: "mean" of each unit over its positions, or "flat", all values, with 0 at padding. Inputs
        are always flat.
    components
        Number of components of PCA and t-SNE; with t-SNE at most 3.
    neighbors
        Number k of nearest samples that vote on a label; at most all others.
    metric
        Distance between features, for neighbors and t-SNE: euclidean or cosine.
    tsne
        Whether to embed by t-SNE.
    perplexity
        Perplexity of t-SNE, lowered to a third of the other samples where these are few.
    seed
        Seed of noise inputs, and of t-SNE where it has more components than the features have dimensions.

    Returns
    -------
    pca, tsne : (step, layer, sample, component)
        Coordinates of the samples, aligned over the steps: the sign of a principal component agrees best with the
        previous step; t-SNE starts from the principal components and is rotated or mirrored to agree best with the
        previous step. NaN for excluded samples; t-SNE also where all samples are equal or fewer than 4.
    explained_variance_ratio : (step, layer, component)
        Share of each principal component in the variance.
    tsne_kl, tsne_perplexity : (step, layer)
        Divergence that t-SNE minimized, and its perplexity.
    knn_accuracy, knn_accuracy_pca, knn_accuracy_tsne : (step, layer)
        Leave-one-out kNN accuracy with neighbors among the features, in the PCA and in the t-SNE; only with labels. Of
        classes with equal votes the first wins; samples at equal distance share a vote. Where all samples are equal it
        is below `knn_chance`, as each sample is missing from the vote of its class.
    knn_chance : ()
        Majority-class rate, the accuracy of always predicting the largest class.
    singular_values : (step, layer, direction)
        Singular values of the centered matrix of samples × features; rows of layers with fewer end in NaN.
    effective_rank, participation_ratio : (step, layer)
        Effective number of directions in which features vary; NaN where all samples are equal.
    nonfinite, constant : (step, layer)
        Samples with a feature that is NaN or Inf, which all else excludes, and features without variance.
    target : (sample)
        The target of each sample, if it has one.

    Raises
    ------
    MissingData
        The run has no probe or names no model, or a step or the kind of examples was not recorded.
    BadSetting
        A setting is out of range, or there is no such layer or kind.

    References
    ----------
    t-SNE: van der Maaten and Hinton 2008, JMLR 9; from principal components on: Kobak and Berens 2019,
    doi:10.1038/s41467-019-13056-x. Effective rank: Roy and Vetterli 2007. Participation ratio: Gao et al. 2017,
    doi:10.1101/214262.
    """
    _check(pool, metric, components, neighbors, perplexity, tsne)
    examples = probe_of(probe, kind, seed=seed)
    names = _names(replay, examples, layers)
    hidden = [name for name in names if name != INPUT]
    replayed = replay(layers=hidden or [INPUT], probe=examples)
    observed = observe(replayed, Pooled() if pool == "mean" else Outputs())
    first = next(iter(observed.values()))
    first = first.isel(step=shown_steps(first, steps, max_steps))
    at = first["step"].values
    tokens = getattr(replayed, "tokens", {})
    layer_values: dict[str, da.Array] = {}
    if INPUT in names:
        inputs = examples["inputs"]
        values = inputs.sel(step=at) if "step" in inputs.dims else inputs.expand_dims("step")
        values = values.transpose("step", "sample", ...)
        layer_values[INPUT] = values.chunk(dict.fromkeys(values.dims, -1) | {"step": 1}).data
    for name, array in observed.items() if hidden else ():
        label = OUTPUT + name if not name or name.startswith("[") else name
        if name in tokens and pool != "mean":
            dim, is_token = tokens[name]
            array = array.where(xr.DataArray(is_token, dims=("sample", dim)), 0.0)
        layer_values[label] = array.sel(step=at).transpose("step", "sample", ...).data
    features = [prod(array.shape[2:]) for array in layer_values.values()]
    target, labels = _targets(examples, first.sizes["sample"])
    plan = Plan(components, neighbors, metric, tsne, perplexity, seed)
    directions = min(first.sizes["sample"], max(features))
    variables = reduction(layer_values, len(at), directions, labels, plan)
    if labels is not None:
        variables["knn_chance"] = xr.Variable((), map_blocks(chance, labels, drop_axis=0, dtype=float))
    if target is not None:
        variables["target"] = target
    coords = {
        "step": ("step", at, {"long_name": "optimizer step", "units": "1"}),
        "layer": np.array(list(layer_values), dtype=object),
        "features": ("layer", features),
        **{
            dim: (dim, np.arange(1, size + 1), {"long_name": dim, "units": "1"})
            for dim, size in (("component", components), ("direction", directions))
        },
    }
    return annotate(
        xr.Dataset(variables, coords), MEANINGS, kind=kind, pool=pool, metric=metric, neighbors=neighbors,
        perplexity=perplexity, seed=seed, **on_one_probe(observed.values()),
    )  # fmt: skip


def _check(pool: str, metric: str, components: int, neighbors: int, perplexity: float, tsne: bool) -> None:
    for name, value, choices in (("pool", pool, POOLS), ("metric", metric, METRICS)):
        if value not in choices:
            raise BadSetting(f"cannot use {name}={value!r}: choose {' or '.join(choices)}")
    if components < 1 or neighbors < 1 or not perplexity >= 1:
        raise BadSetting(
            f"cannot use components={components}, neighbors={neighbors} and perplexity={perplexity}: choose 1 or more "
            "for each"
        )
    if tsne and components > MOST_TSNE:
        raise BadSetting(
            f"cannot compute t-SNE with components={components}: choose {MOST_TSNE} or fewer, or skip it (--no-tsne)"
        )


def _names(replay: Callable[..., Mapping[str, xr.DataArray]], examples: xr.Dataset, layers: Sequence[str]) -> list[str]:
    """Return names and patterns of layers as `replay` takes them; "" is the network itself."""
    if layers:
        return ["" if name == OUTPUT else name for name in layers]
    replayed = replay(probe=examples)
    activations = [layer.name for layer in replayed.layers] if isinstance(replayed, Observable) else list(replayed)
    inputs = [INPUT] if examples["inputs"].dtype.kind == "f" else []
    return [*inputs, *(name for name in activations if name not in (INPUT, OUTPUT)), ""]


def _targets(examples: xr.Dataset, samples: int) -> tuple[xr.Variable | None, da.Array | None]:
    """Return the targets, if there is one a sample, and the labels, if the targets are labels."""
    if "targets" not in examples or examples["targets"].shape != (samples,):
        return None, None
    target = xr.Variable("sample", examples["targets"].data)
    if target.dtype.kind not in "iub":
        return target, None
    return target, target.chunk(sample=-1).astype(np.int64).data
