"""Map each input of a convolution to the output gradients and kernel taps that contribute to its gradient."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""How numpy names the ways of padding with what is there."""


class Convolution(NamedTuple):
    """A convolution over any number of axes, but for its channels.

    Parameters
    ----------
    size, out
        Shape of the map that goes in, and of the one that comes out.
    kernel, stride, dilation
        Of each axis.
    padding
        Of each axis, before and after.
    mode
        What it is padded with: ``zeros``, ``reflect``, ``replicate`` or ``circular``.
    transposed
        Whether it is a transposed convolution.
    """

    size: tuple[int, ...]
    out: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    mode: str = "zeros"
    transposed: bool = False


class Taps(NamedTuple):
    """Where the factors of each sum are: a map of gradients is put into a row of numbers with zeros about it.

    Input positions fall into phases that meet the same taps: one for each remainder of the stride. At a position, tap
    t meets the number ``row[base + offset[t]]``.

    Parameters
    ----------
    source, target
        Entry ``source[e]`` of the flat map is added to entry ``target[e]`` of the row.
    span
        Length of the row.
    order
        The flat taps of the kernel, phase by phase.
    offset
        How far from its base each of them meets the row, in that order.
    phase_taps
        Where the taps of each phase begin, and the last end.
    base
        Bases of the positions, phase by phase.
    phase_bases
        Where the bases of each phase begin, and the last end.
    """

    source: np.ndarray
    target: np.ndarray
    span: int
    order: np.ndarray
    offset: np.ndarray
    phase_taps: np.ndarray
    base: np.ndarray
    phase_bases: np.ndarray


@lru_cache(maxsize=256)
def taps_of(convolution: Convolution) -> Taps:
    """Lay out the way back through a convolution."""
    return _shifted(convolution) if convolution.mode == "zeros" else _gathered(convolution)


def _shifted(convolution: Convolution) -> Taps:
    """Put the map into a larger one of zeros, in which each tap is a shift."""
    axes = [_axis(convolution, axis) for axis in range(len(convolution.size))]
    low = [max(0, -min((int(shift.min()) for _, _, shift in phases if len(shift)), default=0)) for phases in axes]
    length = [
        before + max([out, *(int(positions.max() + shift.max()) + 1 for _, positions, shift in phases if len(shift))])
        for phases, before, out in zip(axes, low, convolution.out, strict=True)
    ]
    pitch = _pitch(length)
    span = int(np.prod(length))
    order, offset, base, phase_taps, phase_bases = [], [], [], [0], [0]
    for phase in np.ndindex(*(len(phases) for phases in axes)):
        parts = [axes[axis][number] for axis, number in enumerate(phase)]
        taps = _joined([tap for tap, _, _ in parts], _pitch(convolution.kernel))
        if not len(taps):
            continue
        shift = _joined([shift + before for (_, _, shift), before in zip(parts, low, strict=True)], pitch)
        positions = _joined([positions for _, positions, _ in parts], pitch)
        order.append(taps)
        offset.append(shift)
        base.append(positions)
        phase_taps.append(phase_taps[-1] + len(taps))
        phase_bases.append(phase_bases[-1] + len(positions))
    target = _joined([np.arange(out) + before for out, before in zip(convolution.out, low, strict=True)], pitch)
    return Taps(
        np.arange(len(target)), target, span, _whole(order), _whole(offset), np.array(phase_taps),
        _whole(base), np.array(phase_bases),
    )  # fmt: skip


def _axis(convolution: Convolution, axis: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the phases of an axis: their taps, the offsets of their positions, and the shift of each tap."""
    size, stride, before = convolution.size[axis], convolution.stride[axis], convolution.padding[axis][0]
    tap = np.arange(convolution.kernel[axis])
    if convolution.transposed:
        return [(tap, np.arange(size) * stride, tap * convolution.dilation[axis] - before)]
    reach = before - tap * convolution.dilation[axis]
    phases = []
    for rest in range(min(stride, size)):
        met = (rest + reach) % stride == 0
        phases.append((tap[met], np.arange(len(range(rest, size, stride))), (rest + reach[met]) // stride))
    return phases


def _gathered(convolution: Convolution) -> Taps:
    """Put a map into the row for each tap, where inputs that stand in several places gather what leads to any."""
    count = int(np.prod(convolution.size))
    sources, taps, stands_at = [], [], []
    for axis, (size, out, kernel) in enumerate(zip(convolution.size, convolution.out, convolution.kernel, strict=True)):
        stands = np.pad(np.arange(size), convolution.padding[axis], mode=MODES[convolution.mode])  # type: ignore[call-overload]
        position, tap = np.meshgrid(np.arange(out), np.arange(kernel), indexing="ij")
        sources.append(position.ravel())
        taps.append(tap.ravel())
        stands_at.append(stands[position * convolution.stride[axis] + tap * convolution.dilation[axis]].ravel())
    flat_taps = np.arange(int(np.prod(convolution.kernel)))
    target = _joined(taps, _pitch(convolution.kernel)) * count + _joined(stands_at, _pitch(convolution.size))
    return Taps(
        _joined(sources, _pitch(convolution.out)), target, len(flat_taps) * count, flat_taps, flat_taps * count,
        np.array([0, len(flat_taps)]), np.arange(count), np.array([0, count]),
    )  # fmt: skip


def _pitch(shape: Sequence[int]) -> list[int]:
    """Return the stride of each axis in a flat array."""
    return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]


def _joined(parts: Sequence[np.ndarray], pitch: Sequence[int]) -> np.ndarray:
    """Return the flat positions of all combinations of positions along the axes."""
    flat = np.zeros(1, np.int64)
    for part, apart in zip(parts, pitch, strict=True):
        flat = (flat[:, None] + part * apart).ravel()
    return flat


def _whole(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
