"""What the features of layers look like in few dimensions, and how well neighbors tell the classes."""

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
"""Name of what the network gives, as a layer."""

POOLS = ("mean", "flat")
MOST_TSNE = 3
"""Components that t-SNE can have."""

_VOTE = "share of labeled samples whose k nearest other ones mostly have their label"
MEANINGS = {
    "pca": Meaning("principal component", "activation", "coordinates along the directions of most variance"),
    "explained_variance_ratio": Meaning("share of the variance", "1", "s² / Σs²", share=True),
    "tsne": Meaning("t-SNE", "1", "coordinates in which neighbors are likely where they are among the features"),
    "tsne_kl": Meaning("divergence of t-SNE", "nat", "KL(P ‖ Q) of the neighborhoods among the features and in it"),
    "tsne_perplexity": Meaning("perplexity of t-SNE", "1", "what was asked for, at most (samples − 1)/3"),
    "knn_accuracy": Meaning("share of samples that neighbors tell (kNN)", "1", _VOTE, share=True),
    "knn_accuracy_pca": Meaning(
        "share of samples that neighbors in the PCA tell", "1", f"{_VOTE}, in `pca`", share=True
    ),
    "knn_accuracy_tsne": Meaning(
        "share of samples that neighbors in the t-SNE tell", "1", f"{_VOTE}, in `tsne`", share=True
    ),
    "knn_chance": Meaning("share of the largest class", "1", "largest number of a label / labeled samples", share=True),
    "singular_values": Meaning("singular value of the features", "activation", "s of features − their means"),
    "effective_rank": Meaning("effective rank of the features", "1", "exp(−Σ p ln p), p = s/Σs"),
    "participation_ratio": Meaning("participation ratio of the features", "1", "(Σs²)² / Σs⁴"),
    "nonfinite": Meaning("samples with features that are NaN or Inf", "samples", "count"),
    "constant": Meaning("features that are the same for all samples", "features", "count"),
    "target": Meaning("target of the sample", "1", "label, or value, that the sample has in the probe"),
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
    """Embed the features of layers by PCA and t-SNE, and tell how well neighbors and few directions tell samples apart.

    Answers: which layer tells the classes apart, since when, and in how many directions do its features vary?

    Parameters
    ----------
    replay
        Puts the snapshots through the network, as `trajlab.replay` does.
    probe
        The batch, perhaps with `targets`. What neighbors tell takes one label for each sample.
    layers
        Layers, or patterns of names; "input" is what goes into the network and "output" what it gives. By default the
        inputs, unless they are integers, such as tokens; all activations; and the output.
    steps
        Recorded steps; by default evenly spaced ones.
    max_steps
        Number of evenly spaced steps at most. A t-SNE takes a second for each layer and step.
    kind
        Kind of examples: valid, train, uniform, gaussian or shuffled.
    pool
        What features are: the mean of each unit over its positions, or all values, flat. Inputs are always flat.
    components
        Number of components of PCA and t-SNE; with t-SNE at most 3.
    neighbors
        How many nearest samples vote on a label; at most all others.
    metric
        What near is among the features, for neighbors and t-SNE: euclidean or cosine.
    tsne
        Whether to embed by t-SNE.
    perplexity
        Perplexity of t-SNE; of few samples it is lowered to a third of the others.
    seed
        Seed of kinds that are noise, and of t-SNE where features have fewer dimensions than it.

    Returns
    -------
    pca, tsne : (step, layer, sample, component)
        Coordinates of the samples. The sign of a principal component is that in which it is nearest to the one of the
        step before. So that steps can be compared, t-SNE starts from the principal components and is turned, or
        mirrored, to where it is nearest to that of the step before. NaN for samples that are left out; t-SNE also where
        all are the same, and of fewer than 4.
    explained_variance_ratio : (step, layer, component)
        Share of each principal component in the variance.
    tsne_kl, tsne_perplexity : (step, layer)
        What t-SNE made as small as it could, and its perplexity.
    knn_accuracy, knn_accuracy_pca, knn_accuracy_tsne : (step, layer)
        Share of the samples whose label most of their nearest neighbors have, each left out of its own vote: neighbors
        among the features, in the PCA and in the t-SNE. Of classes with as many votes the first wins; samples that are
        equally far share a vote. Where all samples are the same it is below `knn_chance`, as each sample is missing in
        the vote of its class. Only with labels.
    knn_chance : ()
        What always answering the largest class gets right.
    singular_values : (step, layer, direction)
        Of the matrix of samples by features less their means. A layer with fewer ends in NaN.
    effective_rank, participation_ratio : (step, layer)
        In how many directions features vary; NaN where all samples are the same.
    nonfinite, constant : (step, layer)
        Samples with a feature that is NaN or Inf, which are left out of all else, and features without variance.
    target : (sample)
        The target of each sample, if it has one.

    Raises
    ------
    MissingData
        The run has no probe, names no model, or has not recorded a step or the kind.
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
    seen = observe(replayed, Pooled() if pool == "mean" else Outputs())
    some = next(iter(seen.values()))
    some = some.isel(step=shown_steps(some, steps, max_steps))
    at = some["step"].values
    lives: dict[str, da.Array] = {}
    if INPUT in names:
        inputs = examples["inputs"]
        own = inputs.sel(step=at) if "step" in inputs.dims else inputs.expand_dims("step")
        own = own.transpose("step", "sample", ...)
        lives[INPUT] = own.chunk(dict.fromkeys(own.dims, -1) | {"step": 1}).data
    for name, array in seen.items() if hidden else ():
        label = OUTPUT + name if not name or name.startswith("[") else name
        lives[label] = array.sel(step=at).transpose("step", "sample", ...).data
    features = [prod(life.shape[2:]) for life in lives.values()]
    target, labels = _targets(examples, some.sizes["sample"])
    plan = Plan(components, neighbors, metric, tsne, perplexity, seed)
    directions = min(some.sizes["sample"], max(features))
    found = reduction(lives, len(at), directions, labels, plan)
    if labels is not None:
        found["knn_chance"] = xr.Variable((), map_blocks(chance, labels, drop_axis=0, dtype=float))
    if target is not None:
        found["target"] = target
    coords = {
        "step": ("step", at, {"long_name": "optimizer step", "units": "1"}),
        "layer": np.array(list(lives), dtype=object),
        "features": ("layer", features),
        **{
            dim: (dim, np.arange(1, size + 1), {"long_name": dim, "units": "1"})
            for dim, size in (("component", components), ("direction", directions))
        },
    }
    return annotate(
        xr.Dataset(found, coords), MEANINGS, kind=kind, pool=pool, metric=metric, neighbors=neighbors,
        perplexity=perplexity, seed=seed, **on_one_probe(seen.values()),
    )  # fmt: skip


def _check(pool: str, metric: str, components: int, neighbors: int, perplexity: float, tsne: bool) -> None:
    for name, value, known in (("pool", pool, POOLS), ("metric", metric, METRICS)):
        if value not in known:
            raise BadSetting(f"{name}={value!r} was asked for; there are {' and '.join(known)}. Choose one.")
    if components < 1 or neighbors < 1 or not perplexity >= 1:
        raise BadSetting(
            f"components={components}, neighbors={neighbors} and perplexity={perplexity} were asked for; each is at "
            "least 1. Change the setting."
        )
    if tsne and components > MOST_TSNE:
        raise BadSetting(
            f"components={components} of t-SNE were asked for; it has at most {MOST_TSNE}. Leave t-SNE out (--no-tsne)."
        )


def _names(replay: Callable[..., Mapping[str, xr.DataArray]], examples: xr.Dataset, layers: Sequence[str]) -> list[str]:
    """Give names and patterns of layers as `replay` takes them; "" is the network itself."""
    if layers:
        return ["" if name == OUTPUT else name for name in layers]
    found = replay(probe=examples)
    activations = [layer.name for layer in found.layers] if isinstance(found, Observable) else list(found)
    inputs = [INPUT] if examples["inputs"].dtype.kind == "f" else []
    return [*inputs, *(name for name in activations if name not in (INPUT, OUTPUT)), ""]


def _targets(examples: xr.Dataset, samples: int) -> tuple[xr.Variable | None, da.Array | None]:
    """Give the targets, if there is one for each sample, and the labels, if they are these."""
    if "targets" not in examples or examples["targets"].shape != (samples,):
        return None, None
    target = xr.Variable("sample", examples["targets"].data)
    if target.dtype.kind not in "iub":
        return target, None
    return target, target.chunk(sample=-1).astype(np.int64).data
