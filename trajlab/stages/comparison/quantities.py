"""Quantities of two runs that are compared entry by entry, what they mean, and their errors."""

from functools import partial

import numpy as np
import xarray as xr

from trajlab.statistics.result import Meaning, Sums, pool
from trajlab.statistics.samples import SAMPLED, estimated, holds_samples, term_error
from trajlab.statistics.standard_errors import root_error, share_error

MEANINGS = {
    "distance": Meaning("distance between the runs", "weight", "|a_t − b_t|₂, samples scaled to the whole tensor"),
    "relative_distance": Meaning("relative distance between the runs", "1", "2 |a_t − b_t|₂ / (|a_t|₂ + |b_t|₂)"),
    "cosine": Meaning("cosine between the runs", "1", "a_t·b_t / (|a_t|₂ |b_t|₂)"),
    "changed": Meaning("share of entries whose bits differ", "1", "mean of bits(a_t) ≠ bits(b_t)", share=True),
    "update_cosine": Meaning(
        "cosine between the displacements since the start", "1", "u·v / (|u|₂ |v|₂), u = a_t − a_0, v = b_t − b_0"
    ),
    "update_cosine_null": Meaning(
        "standard deviation of the cosine between random directions",
        "1",
        "1/√n, of two random directions of n recorded entries; of all parameters together, each of n_t entries and in "
        "random directions as far as it moved, sqrt(Σ|u_t|²|v_t|²/n_t) / sqrt(Σ|u_t|² Σ|v_t|²)",
    ),
    "aligned_distance": Meaning(
        "distance between aligned runs",
        "weight",
        "|a_t − P b_t|₂, P the permutation of hidden units by weight matching",
    ),
    "line_loss": Meaning(
        "loss along the straight line", "1", "loss on the probe at (1 − α) a + α b, a and b at line_steps"
    ),
    "barrier": Meaning("loss barrier", "1", "max over α of L(α) − ((1 − α) L(0) + α L(1))"),
    "aligned_line_loss": Meaning(
        "loss along the straight line between aligned runs", "1", "loss on the probe at (1 − α) a + α P b"
    ),
    "aligned_barrier": Meaning("loss barrier between aligned runs", "1", "barrier on the line from a to P b"),
    "nonfinite": Meaning("entries that are NaN or Inf in either run", "entries", "count"),
    "line_steps": Meaning(
        "steps of the ends of the line", "steps", "optimizer step of the run at α = 0 and at α = 1", nominal=True
    ),
    "unshared_steps": Meaning("steps that only one of two runs recorded", "steps", "count; all else excludes them"),
}
for _name, _rows in (("weights", "incoming weights"), ("features", "activations on the probe")):
    _similarity = f"cosine of {_rows}" if _name == "weights" else f"correlation of {_rows}"
    MEANINGS |= {
        f"matched_{_name}": Meaning(
            f"similarity of units matched by {_name}", "1", f"mean {_similarity}, over matched pairs"
        ),
        f"matched_{_name}_greedy": Meaning(
            f"similarity of units matched greedily by {_name}", "1", f"mean {_similarity}, the most similar pair first"
        ),
        f"matched_{_name}_null": Meaning(
            f"similarity of units matched by shuffled {_name}", "1", "mean over shuffles of one run"
        ),
        f"matched_{_name}_null_95": Meaning(
            f"95 % quantile of the similarity by shuffled {_name}", "1", "95 % quantile over shuffles of one run"
        ),
        f"matched_{_name}_units": Meaning(f"units matched by {_name}", "units", "count of pairs"),
    }
for _name in ("distance", "relative_distance", "cosine", "changed", "update_cosine"):
    MEANINGS[f"{_name}_se"] = Meaning(
        f"standard error of the {MEANINGS[_name].long_name}", MEANINGS[_name].units, SAMPLED
    )
MEANINGS |= {
    "feature_cka": Meaning("CKA of the features of both runs", "1", "debiased CKA of the means over positions"),
    "feature_correlation": Meaning("correlation of units of both runs", "1", "ρ of a unit of each over the probe"),
    "feature_covariance": Meaning(
        "covariance of units of both runs", "activation²", "mean of (x − x̄)(y − ȳ), of a unit of each over the probe"
    ),
    "feature_match": Meaning("matched unit of the other run", "unit", "argmax of Σρ over all matchings", nominal=True),
    "feature_match_greedy": Meaning(
        "greedily matched unit of the other run", "unit", "pairs of the largest ρ first", nominal=True
    ),
}


def quantities_of(table: xr.Dataset, *, total: bool = False) -> dict[str, xr.Variable]:
    """Return the quantities of each parameter, or of all together, and their errors if any is sampled."""
    whole = estimated(table)
    sums = pool(whole) if total else Sums.of(whole)
    is_valid = sums.valid > 0
    aa, bb, distance = np.sqrt(sums.aa), np.sqrt(sums.bb), np.sqrt(sums.squares)
    result = {
        "distance": distance.where(is_valid),
        "relative_distance": 2 * distance / (aa + bb),
        "cosine": (sums.ab / (aa * bb)).clip(-1.0, 1.0),
        "changed": sums.changed / sums.valid,
        "update_cosine": (sums.uv / (np.sqrt(sums.uu) * np.sqrt(sums.vv))).clip(-1.0, 1.0),
        "update_cosine_null": _cosine_by_chance(Sums.of(whole), table["moved_valid"].variable, total=total),
        "nonfinite": sums.nonfinite if total else table["nonfinite"].variable,
    }
    return result | (_errors(Sums.of(table), sums, result, total) if holds_samples(table) else {})


def _cosine_by_chance(whole: Sums, recorded: xr.Variable, *, total: bool) -> xr.Variable:
    """Return the standard deviation of the cosine of displacements in random directions within each parameter.

    Parameters
    ----------
    whole
        Estimated sums over all entries of each parameter.
    recorded
        Number of recorded entries that the displacements were compared at.
    total
        Whether to return that of all parameters together, where each moves as far as it did.
    """
    if not total:
        return (recorded**-0.5).where(recorded > 0)
    ours, theirs = (square / square.sum("parameter", skipna=False) for square in (whole.uu, whole.vv))
    return np.sqrt((ours * theirs / recorded).where(recorded != 0, 0.0).sum("parameter", skipna=False))


def _errors(sums: Sums, whole: Sums, result: dict[str, xr.Variable], total: bool) -> dict[str, xr.Variable]:
    """Return the standard errors of `result` from sums over the sample, `sums`, and estimated ones, `whole`."""
    error = partial(term_error, sums=sums, total=total)
    aa, bb = np.sqrt(whole.aa), np.sqrt(whole.bb)
    relative = result["relative_distance"]
    slopes = {
        "squares": 1.0 / (2.0 * whole.squares),
        "aa": -1.0 / (2.0 * aa * (aa + bb)),
        "bb": -1.0 / (2.0 * bb * (aa + bb)),
    }
    errors = {
        "distance": root_error(error({"squares": 1.0}), result["distance"]),
        "relative_distance": (error(slopes) * relative).where(relative != 0, 0.0),
        "changed": share_error(sums.changed, sums.valid, sums, total=total),
    }
    for name, (product, ours, theirs) in {"cosine": ("ab", "aa", "bb"), "update_cosine": ("uv", "uu", "vv")}.items():
        first, second = getattr(whole, ours), getattr(whole, theirs)
        half = -result[name] / 2.0
        size = np.sqrt(first) * np.sqrt(second)
        errors[name] = error({product: 1.0 / size, ours: half / first, theirs: half / second})
    return {f"{name}_se": values.where(result[name].notnull()) for name, values in errors.items()}
