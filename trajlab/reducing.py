"""Features of samples in few numbers: principal components, singular values, t-SNE, and what neighbors tell.

Each step of a layer is a task of its own, as t-SNE takes a second; that of the steps of a layer starts where their
principal components are, once the signs of these are those of the step before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import xarray as xr
from threadpoolctl import ThreadpoolController

from trajlab.kernels.blas import one_thread
from trajlab.nearest import near

START = 1e-4
"""Standard deviation of the first component where t-SNE starts, as in scikit-learn."""

FEWEST = 4
"""Samples from which on there is a t-SNE: perplexity 1 looks at three neighbors."""

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
"""What is found, with its dims."""


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
        What near is among the features, for neighbors and t-SNE.
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
    """What is known of the features of a layer at a step.

    Attributes
    ----------
    found
        Variables of `SHAPES` without step and layer.
    distances, places
        Nearest samples among those that are finite.
    """

    found: dict[str, Any]
    distances: np.ndarray
    places: np.ndarray


def reduced(values: np.ndarray, labels: np.ndarray | None, plan: Plan) -> Reduced:
    """Find principal components, singular values and what neighbors tell.

    Parameters
    ----------
    values
        What a layer gives, (sample, …); samples with a value that is not finite are left out.
    labels
        Labels of the samples, negative where there is none; None without labels.
    plan
        How.
    """
    features = np.asarray(values).reshape(len(values), -1).astype(np.float64)
    kept = np.isfinite(features).all(1)
    features, labels = features[kept], None if labels is None else np.asarray(labels)[kept]
    peak = abs(features).max(initial=0.0)
    exponent = int(np.frexp(peak)[1])
    features = np.ldexp(features, -exponent)  # exact, and squares stay in the range of float64
    varies = np.ptp(features, axis=0) > 0 if len(features) else np.zeros(features.shape[1], bool)
    centered = np.where(varies, features - features.mean(0), 0.0) if len(features) else features
    with one_thread():
        scores, singular = _components(centered)
        around = near(
            features if plan.metric == "cosine" else centered, metric=plan.metric, labels=labels,
            most=_neighborhood(len(features), plan) if plan.tsne else 0, neighbors=plan.neighbors,
        )  # fmt: skip
        scores = scores[:, : plan.components]
        accuracy = near(scores, labels=labels, neighbors=plan.neighbors).accuracy
    shown = np.full((len(kept), plan.components), np.nan)
    shown[kept, : scores.shape[1]] = np.ldexp(scores, exponent)
    found = {
        "pca": shown,
        "singular_values": np.ldexp(singular, exponent),
        **_spread(singular, plan.components),
        "knn_accuracy": around.accuracy,
        "knn_accuracy_pca": accuracy,
        "nonfinite": float((~kept).sum()),
        "constant": float((~varies).sum()) if len(features) else np.nan,
    }
    return Reduced(found, around.distances, around.places)


def _components(centered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the coordinates of samples along the directions in which they vary most, and the singular values."""
    if not centered.size:
        return np.empty((len(centered), 0)), np.empty(0)
    wide = centered.shape[1] > centered.shape[0]
    square = np.linalg.qr(centered.T, mode="r").T if wide else centered
    left, singular, _ = np.linalg.svd(square, full_matrices=False)
    return left * singular, singular


def _spread(singular: np.ndarray, components: int) -> dict[str, Any]:
    """Give what singular values say of the number of directions; 0/0 where nothing varies."""
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (singular / singular.max(initial=0.0)) ** 2
        share = singular / singular.sum()
        ratio = variance / variance.sum()
    used = share[share > 0]
    known = bool(used.size)
    return {
        "explained_variance_ratio": ratio[:components],
        "effective_rank": np.exp(-(used * np.log(used)).sum()) if known else np.nan,
        "participation_ratio": 1.0 / (ratio**2).sum() if known else np.nan,
    }


def aligned(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Give each component the sign in which it is nearest to that of the step before, (sample, component) each.

    The sign of a component is free; at first its largest value is positive.
    """
    out: list[np.ndarray] = []
    before = np.zeros_like(scores[0])
    for own in scores:
        known = np.nan_to_num(own)
        toward = (known * before).sum(0)
        largest = np.take_along_axis(known, abs(known).argmax(0)[None], 0)[0] if len(known) else toward
        sign = np.where(np.where(toward != 0, toward, largest) < 0, -1.0, 1.0)
        out.append(own * sign)
        before = np.where(np.isfinite(own).any(0), known * sign, before)
    return out


def embedded(part: Reduced, scores: np.ndarray, labels: np.ndarray | None, plan: Plan) -> dict[str, Any]:
    """Embed samples by t-SNE, from their principal components on.

    Parameters
    ----------
    part
        Who is near whom.
    scores
        Principal components, (sample, component); NaN for samples that are left out.
    labels
        Labels of the samples.
    plan
        How.
    """
    from scipy.sparse import csr_matrix
    from sklearn.manifold import TSNE

    shown = np.full(scores.shape, np.nan)
    kept = np.flatnonzero(np.isfinite(scores[:, 0]))
    count = len(kept)
    spread = scores[kept, 0].std() if count else 0.0
    if count < FEWEST or not spread > 0:
        return {"tsne": shown, "tsne_kl": np.nan, "tsne_perplexity": np.nan, "knn_accuracy_tsne": np.nan}
    start = START * scores[kept] / spread
    random = START * np.random.default_rng(plan.seed).standard_normal(start.shape)
    start = np.where(np.nan_to_num(start).any(0), start, random).astype(np.float32)
    rows = np.arange(count + 1) * part.places.shape[1]
    graph = csr_matrix((part.distances.ravel(), part.places.ravel(), rows), (count, count))
    with one_thread(), _openmp().limit(limits=1):
        tsne = TSNE(
            scores.shape[1], perplexity=_perplexity(count, plan), init=start, metric="precomputed", n_jobs=1,
            random_state=plan.seed,
        )  # fmt: skip
        shown[kept] = tsne.fit_transform(graph)
        own = None if labels is None else np.asarray(labels)[kept]
        accuracy = near(shown[kept], labels=own, neighbors=plan.neighbors).accuracy
    return {
        "tsne": shown,
        "tsne_kl": tsne.kl_divergence_,
        "tsne_perplexity": tsne.perplexity,
        "knn_accuracy_tsne": accuracy,
    }


def _perplexity(count: int, plan: Plan) -> float:
    return min(plan.perplexity, (count - 1) / 3)


def _neighborhood(count: int, plan: Plan) -> int:
    """Give how many neighbors t-SNE looks at, as in scikit-learn."""
    return min(count - 1, int(3 * _perplexity(count, plan) + 1)) if count >= FEWEST else 0


@cache
def _openmp() -> ThreadpoolController:
    """Give what limits the threads that t-SNE would start; the limit holds for the thread that sets it."""
    return ThreadpoolController().select(user_api="openmp")


def reduction(
    lives: Mapping[str, Sequence[Any]], steps: np.ndarray, samples: int, directions: int, labels: Any, plan: Plan
) -> dict[str, xr.Variable]:
    """Reduce the features of layers at each step, lazily.

    Parameters
    ----------
    lives
        By name of the layer, what it gives at each of the steps, or one for all steps, (sample, …) each.
    steps
        The steps.
    samples
        Number of samples.
    directions
        Largest number of singular values.
    labels
        Labels of the samples, or None.
    plan
        How.
    """
    call = {f.__name__: dask.delayed(f, pure=True) for f in (reduced, aligned, embedded, _table)}
    layers = []
    for values in lives.values():
        parts = [call["reduced"](one, labels, plan) for one in values]
        scores = call["aligned"]([part.found["pca"] for part in parts])
        found: list[Any] = [[part.found, {"pca": scores[i]}] for i, part in enumerate(parts)]
        if plan.tsne:
            found = [
                [*own, call["embedded"](p, scores[i], labels, plan)]
                for i, (own, p) in enumerate(zip(found, parts, strict=True))
            ]
        layers.append(found)
    sizes = {
        "step": len(steps), "layer": len(lives), "sample": samples, "component": plan.components,
        "direction": directions,
    }  # fmt: skip
    wanted = {
        name: dims
        for name, dims in SHAPES.items()
        if ("tsne" not in name or plan.tsne) and ("knn" not in name or labels is not None)
    }
    shapes = {name: tuple(sizes[dim] for dim in dims) for name, dims in wanted.items()}
    table = call["_table"](layers, shapes)
    return {name: xr.Variable(dims, da.from_delayed(table[name], shapes[name], float)) for name, dims in wanted.items()}


def _table(layers: Sequence[Sequence[Sequence[dict[str, Any]]]], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Put together what was found, NaN where nothing was."""
    table = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    for column, steps in enumerate(layers):
        for name, whole in table.items():
            for row in range(len(whole)):
                values = np.asarray({k: v for one in steps[row % len(steps)] for k, v in one.items()}[name])
                whole[(row, column, *(slice(n) for n in values.shape))] = values
    return table
