"""Linear interpolation between the last weights of two runs, as a trajectory."""

from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab import sizes
from trajlab.errors import BadSetting, MissingData
from trajlab.replays.alignment import Chain, orders_at, permuted, state_at
from trajlab.runs.tensors import Series, Tensors, attributes_of, common_steps
from trajlab.runs.trajectory import Trajectory
from trajlab.scan.graph import delayed

POINTS = 11
"""Points of a line, both ends among them."""

ENDS = ("shared", "own")
"""Steps of the ends: the last that both runs recorded, or the last of each run."""


def between(
    one: Trajectory,
    other: Trajectory,
    *,
    points: int = POINTS,
    align: bool = False,
    chain: Chain | None = None,
    ends: str = "shared",
) -> Trajectory:
    """Return the linear interpolation between the last weights of two runs as a trajectory; lazily.

    Its steps are the points, 0 the end of the first run and the last one that of the second, where `metrics.alpha`
    goes from 0 to 1 and the coord `ends` holds the optimizer steps of both ends. Buffers lie on the line too: the
    statistics of batch normalization are those between the ends, not what a pass of data through the points would give,
    so that a barrier may be due to them (Jordan et al. 2022, REPAIR, arXiv:2211.08403). Integers are rounded.

    Parameters
    ----------
    one, other
        The runs, of one architecture.
    points
        How many points, 2 or more.
    align
        Bring the hidden units of the second run into the order of the first before.
    chain
        Its hidden layers; by default those of the first run.
    ends
        "shared" takes both ends at the last step that both runs recorded, "own" takes the last step of each.

    Raises
    ------
    MissingData
        The runs share no step, or their tensors differ in name or shape.
    BadSetting
        There are too few points, the units can not be aligned, or `ends` is neither "shared" nor "own".

    Examples
    --------
    >>> import trajlab
    >>> one, other = (trajlab.from_arrays({"w": np.full((1, 2), end)}) for end in (0.0, 10.0))
    >>> trajlab.between(one, other, points=5).weights["w"].values[:, 0]
    array([ 0. ,  2.5,  5. ,  7.5, 10. ])
    """
    if points < 2:
        raise BadSetting(f"cannot interpolate at points={points}: a line has 2 or more")
    if ends not in ENDS:
        raise BadSetting(f"cannot interpolate with ends={ends!r}: choose {' or '.join(ENDS)}")
    step, other_step = _last_steps(one, other, ends)
    orders: Any = None
    if align:
        if chain is None:
            from trajlab.replays.permutable import chain as chain_of_run

            chain = chain_of_run(one)
        if chain.reason:
            raise BadSetting(f"cannot align the units of {other.source or 'a run'}: {chain.reason}; leave align out")
        orders = orders_at(chain, one.weights, other.weights, step, other_step)
    steps, alphas = np.arange(points), np.linspace(0.0, 1.0, points)
    groups = []
    for ours, theirs in ((one.weights, other.weights), (one.buffers, other.buffers)):
        series = {}
        there = state_at(theirs, other_step)
        for name, here in state_at(ours, step).items():
            end = there[name]
            if chain is not None and orders is not None:
                moved = delayed(permuted)(chain, orders, name, end)
                end = da.from_delayed(moved, here.shape, here.dtype)
            series[name] = Series(steps, _line(here, end, alphas), tuple(here.shape))
        groups.append(series)
    line = Trajectory(
        Tensors(groups[0], attributes_of(one.facts, groups[0])),
        buffers=Tensors(groups[1]),
        metrics=xr.Dataset({"alpha": ("step", alphas)}, {"step": steps, "ends": ("end", [step, other_step])}),
        probe=one.probe,
        facts=one.facts | {"between": [one.source, other.source], "aligned": align},
        source=" to ".join(run.source for run in (one, other) if run.source),
    )
    line.trusted = one.trusted
    return line.with_model(one.model, device=one.device, unit_axis=one.unit_axis)


def between_architectures(first: Trajectory, second: Trajectory) -> str:
    """Return in which tensor two runs differ in name or shape, in words; empty if in none."""
    both = [run.weights.series | run.buffers.series for run in (first, second)]
    return difference(*({name: tuple(series.shape) for name, series in run.items()} for run in both))


def difference(ours: Mapping[str, tuple[int, ...]], theirs: Mapping[str, tuple[int, ...]]) -> str:
    """Return the first tensor in which two mappings of shapes differ, in words; empty if there is none.

    >>> difference({"w": (2, 3)}, {"w": (2, 4)}), difference({"w": (2,)}, {"w": (2,)})
    ('w is (2, 3) in one and (2, 4) in the other', '')
    """
    name = next((name for name in (*ours, *theirs) if ours.get(name) != theirs.get(name)), None)
    if name is None:
        return ""
    return f"{name} is {ours.get(name, 'missing')} in one and {theirs.get(name, 'missing')} in the other"


def _last_steps(first: Trajectory, second: Trajectory, ends: str) -> tuple[int, int]:
    """Return the step of each end, at which all tensors of its run were recorded; the tensors must be the same."""
    both = [run.weights.series | run.buffers.series for run in (first, second)]
    if different := between_architectures(first, second):
        raise MissingData(f"cannot interpolate between two runs: {different}; choose runs of one architecture")
    recorded = [common_steps(series.steps for series in run.values()) for run in both]
    if ends == "shared":
        recorded = [common_steps(recorded)] * 2
    if not all(map(len, recorded)):
        raise MissingData(
            "cannot interpolate between two runs: they share no step; choose runs recorded at the same steps, or "
            "ends='own' for the last step of each"
            if ends == "shared"
            else "cannot interpolate between two runs: one recorded no step with all its tensors; choose another run"
        )
    return int(recorded[0][-1]), int(recorded[1][-1])


def _line(here: Any, there: Any, alphas: np.ndarray) -> da.Array:
    """Return the points between two tensors, (point, ...), as many in a chunk as are small together."""
    ends = [(end if isinstance(end, da.Array) else da.from_array(end, chunks=-1)).rechunk(-1) for end in (here, there)]
    together = max(1, sizes.CHUNK_BYTES // max(here.nbytes, 1))
    along, axes = da.from_array(alphas, chunks=min(together, len(alphas))), tuple(range(1, here.ndim + 1))
    return da.blockwise(
        _points, (0, *axes), along, (0,), ends[0], axes, ends[1], axes, concatenate=True, dtype=here.dtype,
        meta=np.empty((0,) * (here.ndim + 1), here.dtype),
    )  # fmt: skip


def _points(alphas: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the points at some alphas; the ends are the tensors themselves, to the bit."""
    out = np.empty((len(alphas), *np.shape(here)), here.dtype)
    for point, alpha in enumerate(alphas):
        if alpha in (0.0, 1.0):
            out[point] = there if alpha else here
            continue
        values = (1 - alpha) * np.asarray(here, np.float64) + alpha * np.asarray(there, np.float64)
        out[point] = values.round() if here.dtype.kind in "iub" else values
    return out
