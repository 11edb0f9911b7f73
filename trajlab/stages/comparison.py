"""How far runs are from each other."""

from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import MissingData
from trajlab.kernels.across import Across
from trajlab.lazily import lazily
from trajlab.result import Meaning, Sums, annotate, stride, with_totals
from trajlab.scan import Tensor, by_name, scan

MEANINGS = {
    "distance": Meaning("distance between the runs", "weight", "|a_t − b_t|₂"),
    "relative_distance": Meaning("relative distance between the runs", "1", "2 |a_t − b_t|₂ / (|a_t|₂ + |b_t|₂)"),
    "cosine": Meaning("cosine between the runs", "1", "a_t·b_t / (|a_t|₂ |b_t|₂)"),
    "changed": Meaning("share of entries whose bits differ", "1", "mean of bits(a_t) ≠ bits(b_t)"),
    "update_cosine": Meaning(
        "cosine of the ways since the start", "1", "u·v / (|u|₂ |v|₂), u = a_t − a_0, v = b_t − b_0"
    ),
    "update_cosine_null": Meaning(
        "standard deviation of the cosine of random ways", "1", "1/√n, of two random directions of n entries"
    ),
    "nonfinite": Meaning("entries that are NaN or Inf in either run", "entries", "count"),
    "unshared_steps": Meaning("steps that only one of two runs has", "steps", "count; they are left out"),
}


def comparison(weight: Tensor, other_weight: Tensor) -> xr.Dataset:
    """How far each two runs are from each other, and whether they went the same way.

    Answers: did two runs end in the same place, and did a perturbed run come back to its control or its parent?

    Parameters
    ----------
    weight
        One parameter's life, dims (step, ...), or those of many by name.
    other_weight
        The same of another run.

    Returns
    -------
    distance, relative_distance, cosine : (step, parameter)
        How far the runs are from each other at equal steps. The relative distance is taken from the mean of both
        norms: 0 for equal runs, √2 for orthogonal ones of one norm, at most 2.
    changed : (step, parameter)
        Share of entries that are not the same to the bit.
    update_cosine : (step, parameter)
        Whether both runs moved in the same direction since the first step that both recorded; NaN there.
    update_cosine_null : (step, parameter)
        What chance gives: the cosine of two random directions has mean 0 and this standard deviation.
    nonfinite : (step, parameter)
        Entries that are NaN or Inf in either run. They are left out of all else.
    unshared_steps : ()
        Steps that only one of the runs recorded, which are left out.
    total_… : (step)
        The same of the whole network, from the sums over all entries; with many tensors only.

    Of several runs each of these is stacked on `run` and `other`, the same both ways, and unknown for a run with
    itself. A parent is one more `other`, at its own equal steps; `drift` takes distances from a fixed step of it.

    Raises
    ------
    MissingData
        The runs share no step, or their tensors differ in name or shape.
    """
    ours, theirs = by_name(weight), by_name(other_weight)
    shared, unshared = _steps(ours, theirs)
    table, _ = scan(Across(), weight, other=other_weight, reference=int(shared[0]))
    result = lazily(partial(_result, shared=shared), table)
    result["unshared_steps"] = xr.Variable((), unshared)
    return annotate(result, MEANINGS)


def _steps(ours: dict[str, xr.DataArray], theirs: dict[str, xr.DataArray]) -> tuple[np.ndarray, int]:
    """Give the steps at which both runs recorded all tensors, and count those of only one run."""
    steps = [_recorded(tensors) for tensors in (ours, theirs)]
    shared = np.intersect1d(*steps)
    if not len(shared):
        ends = [f"{one[0]} to {one[-1]}" if len(one) else "none" for one in steps]
        raise MissingData(
            f"steps that both runs recorded were asked for; one has {ends[0]}, the other {ends[1]}, and none are the "
            "same. Compare runs that were recorded at the same steps."
        )
    return shared, len(np.union1d(*steps)) - len(shared)


def _recorded(tensors: dict[str, xr.DataArray]) -> np.ndarray:
    """Give the steps at which all tensors were recorded."""
    first, *others = [array["step"].values for array in tensors.values()] or [np.empty(0, np.int64)]
    for steps in others:
        first = np.intersect1d(first, steps)
    return first


def _result(table: xr.DataArray, *, shared: np.ndarray) -> xr.Dataset:
    return stride(with_totals(_quantities, table.sel(step=shared).to_dataset("column")).drop_vars("sampled"))


def _quantities(sums: Sums) -> dict[str, xr.Variable]:
    known, moved = sums.valid > 0, sums.moved_valid > 0
    aa, bb, distance = np.sqrt(sums.aa), np.sqrt(sums.bb), np.sqrt(sums.squares)
    return {
        "distance": distance.where(known),
        "relative_distance": 2 * distance / (aa + bb),
        "cosine": (sums.ab / (aa * bb)).clip(-1.0, 1.0),
        "changed": sums.changed / sums.valid,
        "update_cosine": (sums.uv / np.sqrt(sums.uu * sums.vv)).clip(-1.0, 1.0),
        "update_cosine_null": (1 / np.sqrt(sums.moved_valid)).where(moved),
        "nonfinite": sums.nonfinite,
    }
