"""Dimensionality reduction of features: PCA, singular values, t-SNE and kNN accuracy.

Each step of a layer is a task of its own, as t-SNE takes a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize

from trajlab.scan.graph import Graph
from trajlab.scan.kernels.power_law import effective_rank
from trajlab.stages.embedding.neighbors import near
from trajlab.stages.embedding.tsne import aligned, embedded, neighborhood, turned

LAYER = ("step", "layer")
SHAPES: dict[str, tuple[str, ...]] = {
    "pca": (*LAYER, "sample", "component"),
    "explained_variance_ratio": (*LAYER, "component"),
    "tsne": (*LAYER, "sample", "component"),
    "tsne_kl": LAYER,
    "tsne_perplexity": LAYER,
    "knn_accuracy": LAYER,
    "knn_accuracy_pca": LAYER,
    "knn_accuracy_tsne": LAYER,
    "singular_values": (*LAYER, "direction"),
    "effective_rank": LAYER,
    "participation_ratio": LAYER,
    "nonfinite": LAYER,
    "constant": LAYER,
}
"""Dims of each variable."""


@dataclass(frozen=True)
class Plan:
    """How features are reduced.

    Parameters
    ----------
    components
        Number of components of PCA and t-SNE.
    neighbors
        Neighbors that vote on a label.
    metric
        Distance between features, for neighbors and t-SNE.
    tsne
        Whether to embed by t-SNE.
    perplexity
        Its perplexity, which is lowered to a third of the other samples.
    seed
        Its seed, where it starts from fewer principal components than it has.
    """

    components: int
    neighbors: int
    metric: str
    tsne: bool
    perplexity: float
    seed: int


class Reduced(NamedTuple):
    """Reduced features of a layer at a step.

    Attributes
    ----------
    variables
        Variables of `SHAPES` without step and layer.
    distances, indices
        Nearest samples among those that are finite.
    """

    variables: dict[str, Any]
    distances: np.ndarray
    indices: np.ndarray


def reduced(values: np.ndarray, labels: np.ndarray | None, plan: Plan) -> Reduced:
    """Compute principal components, singular values and kNN accuracy.

    Parameters
    ----------
    values
        Activations of a layer, (1, sample, …); samples with a value that is NaN or Inf are excluded.
    labels
        Labels of the samples, negative where there is none; None without labels.
    plan
        How.
    """
    features = values.reshape(values.shape[1], -1).astype(np.float64)
    kept = np.all(np.isfinite(features), axis=1)
    features, labels = features[kept, :], None if labels is None else labels[kept]
    peak = abs(features).max(initial=0.0)
    exponent = int(np.frexp(peak)[1])
    features = np.ldexp(features, -exponent)  # exact, and squares stay in the range of float64
    varies = np.any(features != features[:1], axis=0)
    centered = np.where(varies, features - features.mean(0), 0.0) if len(features) else features
    scores, singular = _components(centered)
    around = near(
        features if plan.metric == "cosine" else centered, metric=plan.metric, labels=labels,
        most=neighborhood(plan.perplexity, len(features)) if plan.tsne else 0, neighbors=plan.neighbors,
    )  # fmt: skip
    scores = scores[:, : plan.components]
    accuracy = near(scores, labels=labels, neighbors=plan.neighbors).accuracy
    shown = np.full((len(kept), plan.components), np.nan)
    shown[kept, : scores.shape[1]] = np.ldexp(scores, exponent)
    variables = {
        "pca": shown,
        "singular_values": np.ldexp(singular, exponent),
        **_spread(singular, plan.components),
        "knn_accuracy": around.accuracy,
        "knn_accuracy_pca": accuracy,
        "nonfinite": float((~kept).sum()),
        "constant": float(np.sum(~varies)) if len(features) else np.nan,
    }
    return Reduced(variables, around.distances, around.indices)


def _components(centered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of samples along the directions of largest variance, and the singular values."""
    if not centered.size:
        return np.empty((len(centered), 0)), np.empty(0)
    wide = centered.shape[1] > centered.shape[0]
    square = np.transpose(np.linalg.qr(centered.T, mode="r")) if wide else centered
    left, singular, _ = np.linalg.svd(square, full_matrices=False)
    return left * singular, singular


def _spread(singular: np.ndarray, components: int) -> dict[str, Any]:
    """Return explained variance and effective dimensions from singular values; NaN where nothing varies."""
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (singular / singular.max(initial=0.0)) ** 2
        ratio = variance / variance.sum()
    return {
        "explained_variance_ratio": ratio[:components],
        "effective_rank": float(effective_rank(singular)),
        "participation_ratio": 1.0 / (ratio**2).sum() if singular.any() else np.nan,
    }


def mapped(
    part: Reduced, scores: Sequence[np.ndarray], step: int, labels: np.ndarray | None, plan: Plan
) -> dict[str, Any]:
    """Embed samples by t-SNE, starting from their principal components, and compute kNN accuracy there."""
    coordinates, divergence, perplexity = embedded(
        part.distances, part.indices, scores[step], plan.perplexity, plan.seed
    )
    kept = np.isfinite(coordinates[:, 0])
    accuracy = near(
        coordinates[kept], labels=None if labels is None else labels[kept], neighbors=plan.neighbors
    ).accuracy
    return {"tsne": coordinates, "tsne_kl": divergence, "tsne_perplexity": perplexity, "knn_accuracy_tsne": accuracy}


def reduction(
    activations: Mapping[str, da.Array], steps: int, directions: int, labels: da.Array | None, plan: Plan
) -> dict[str, xr.Variable]:
    """Reduce the features of layers at each step, lazily.

    Parameters
    ----------
    activations
        Activations by layer, (step, sample, …), a chunk a step; only one step where all steps are equal.
    steps
        Number of steps.
    directions
        Largest number of singular values.
    labels
        Labels of the samples, (sample), in one chunk.
    plan
        How.
    """
    sizes = {
        "step": steps, "layer": len(activations), "sample": next(iter(activations.values())).shape[1],
        "component": plan.components, "direction": directions,
    }  # fmt: skip
    wanted = {
        name: dims
        for name, dims in SHAPES.items()
        if ("tsne" not in name or plan.tsne) and ("knn" not in name or labels is not None)
    }
    shapes = {name: tuple(sizes[dim] for dim in dims) for name, dims in wanted.items()}
    names = [series.name for series in activations.values()]
    labeled = "" if labels is None else labels.name
    graph = Graph(f"embedding-{tokenize(names, labeled, plan, shapes)}")
    labels_argument = None if labels is None else graph.whole(labels)
    by_array = {series.name: _lay_out(graph, series, labels_argument, plan) for series in activations.values()}
    table = graph.add(("table", 0), _table, [by_array[name] for name in names], shapes)
    return {
        key: xr.Variable(dims, graph.array(key, shapes[key], dict.__getitem__, table, key))
        for key, dims in wanted.items()
    }


def _lay_out(graph: Graph, series: da.Array, labels: Any, plan: Plan) -> Any:
    """Add the tasks of one layer, and return the result of the last as an argument."""
    steps = range(len(series))
    parts = [graph.add((f"{series.name}-reduced", i), reduced, graph.chunk(series, i), labels, plan) for i in steps]
    scores = graph.add((f"{series.name}-aligned", 0), _aligned, parts)
    plots = [
        graph.add((f"{series.name}-mapped", i), mapped, parts[i], scores, i, labels, plan)
        for i in (steps if plan.tsne else ())
    ]
    return graph.add((f"{series.name}-whole", 0), _joined, parts, plots, scores)


def _aligned(parts: Sequence[Reduced]) -> list[np.ndarray]:
    return aligned([part.variables["pca"] for part in parts])


def _joined(
    parts: Sequence[Reduced], plots: Sequence[dict[str, Any]], scores: Sequence[np.ndarray]
) -> list[dict[str, Any]]:
    """Join the results of all steps."""
    variables = [part.variables | {"pca": components} for part, components in zip(parts, scores, strict=True)]
    maps = turned([plot["tsne"] for plot in plots])
    plots = [plot | {"tsne": rotated} for plot, rotated in zip(plots, maps, strict=True)] or [{} for _ in parts]
    return [of_step | plot for of_step, plot in zip(variables, plots, strict=True)]


def _table(layers: Sequence[Sequence[dict[str, Any]]], shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Join the results of all layers, NaN where there is none."""
    table = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    for column, steps in enumerate(layers):
        for name, whole in table.items():
            for row in range(len(whole)):
                values = np.asarray(steps[row % len(steps)][name])
                index: Any = (row, column, *map(slice, values.shape))
                whole[index] = values
    return table
