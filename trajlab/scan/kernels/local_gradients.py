"""Sum the gradients that each output channel of a convolution sends back to each input channel."""

import math
from typing import NamedTuple

import numpy as np

from trajlab import sizes
from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.convolution_taps import Convolution, taps_of

RUN = 256
"""Positions at most over which numbers are summed as float32."""


class Filters(NamedTuple):
    """Kernels of a convolution, as they are laid out for the way back.

    Parameters
    ----------
    convolution
        The convolution.
    packed
        (output channel, tap, input channel of its group) float32, in the order of the taps; each output channel
        divided by its scale.
    scale
        A power of two for each output channel, that brings its largest weight to 0.5 to 1.
    norm
        |K_i|₂ of each output channel.
    groups, inputs
        Groups of channels, and input channels of each.
    """

    convolution: Convolution
    packed: np.ndarray
    scale: np.ndarray
    norm: np.ndarray
    groups: int
    inputs: int

    @classmethod
    def of(cls, weight: np.ndarray, convolution: Convolution, groups: int = 1) -> "Filters":
        """Lay out the weight of a convolution, (output, input of the group, …), or of a transposed one."""
        if convolution.transposed:
            weight = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
            weight = weight.reshape(-1, *weight.shape[2:])
        outputs, inputs = weight.shape[:2]
        order = taps_of(convolution).order
        packed = np.zeros((outputs, len(order), inputs), np.float32)
        scale = _power(np.abs(weight).reshape(outputs, -1).max(1, initial=0.0))
        kernels = weight.reshape(outputs, inputs, -1)
        for output in range(outputs):
            packed[output] = (kernels[output].T / scale[output])[order]
        norm = scale * np.sqrt(np.square(packed, dtype=np.float64).sum((1, 2)))
        return cls(convolution, packed, scale, norm, groups, inputs)


class Sums(NamedTuple):
    """Sums of local gradients for each sample, (sample, channel) float64.

    Parameters
    ----------
    em_sum, em_l2, ab_out
        Of output channels.
    ab_sum, ab_net
        Of input channels.
    """

    em_sum: np.ndarray
    em_l2: np.ndarray
    ab_out: np.ndarray
    ab_sum: np.ndarray
    ab_net: np.ndarray


def local_gradients(gradient: np.ndarray, filters: Filters) -> Sums:
    """Sum the local gradients LG_ij = transposed convolution of G_i with K_ij, over channels and positions.

    With p the positions of an input map: em_sum_i = Σ_jp |LG_ij(p)|, em_l2_i = sqrt(Σ_jp LG_ij(p)²),
    ab_sum_j = Σ_ip |LG_ij(p)|, ab_net_j = Σ_p |Σ_i LG_ij(p)| and ab_out_i = Σ|G_i|. Products are float32, and so are
    sums over taps, over output channels, and over runs of at most `RUN` positions; all others are float64. Scales that
    are powers of two, taken from each map and filter, keep squares within the range of float32. NaN and Inf go on.

    Parameters
    ----------
    gradient
        G of some samples, (sample, output channel, …).
    filters
        The kernels K.
    """
    samples, outputs = gradient.shape[:2]
    inputs = filters.groups * filters.inputs
    sums = Sums(*(np.zeros((samples, channels)) for channels in (outputs, outputs, outputs, inputs, inputs)))
    taps = taps_of(filters.convolution)
    maps = np.ascontiguousarray(gradient, np.float32).reshape(samples, outputs, int(np.prod(gradient.shape[2:])))
    longest = int(np.diff(taps.phase_bases).max(initial=0))
    if not (longest and samples and outputs and inputs):
        sums.ab_out[:] = np.abs(maps).sum(2, dtype=np.float64)
        return sums
    columns = max(1, sizes.LOCAL_GRADIENT_ENTRIES // filters.inputs)
    run = min(longest, RUN, columns)
    together = min(samples, columns // run)
    _sum(maps, maps.view(np.int32), filters.packed, filters.scale, filters.groups, taps, run, together, sums)
    return sums


def _power(largest: np.ndarray) -> np.ndarray:
    """Return the power of two just above each size, 1 for zero, NaN and Inf."""
    with np.errstate(invalid="ignore"):
        power = np.ldexp(1.0, np.frexp(largest.astype(np.float64))[1])
    return np.where(np.isfinite(largest) & (largest > 0), power, 1.0)


@inner
def _lay(map_, bits, taps, row):
    """Write a map into its row, divided by its scale; return the scale (0 for a map of zeros) and Σ|v|.

    The largest size is found among the bits without the sign, which are in the order of the sizes, NaN last.
    """
    row[:] = 0
    top = np.int32(0)
    total = 0.0
    for q in range(map_.size):
        total += np.float64(abs(map_[q]))
        top = max(top, bits[q] & np.int32(0x7FFFFFFF))
    if top == 0:
        return 0.0, total
    exponent = (top >> 23) - 126
    scale = math.ldexp(1.0, max(exponent, -125)) if exponent < 129 else 1.0
    up = 1.0 / scale
    for e in range(taps.source.size):
        row[taps.target[e]] += np.float32(map_[taps.source[e]] * up)
    return scale, total


@inner
def _gather(rows, taps, begin, end, first, last, out):
    """Write the numbers that each tap of a phase meets at some positions of each sample, (tap, sample and position)."""
    count = last - first
    for t in range(end - begin):
        offset = taps.offset[begin + t]
        for s in range(rows.shape[0]):
            for p in range(count):
                out[t, s * count + p] = rows[s, taps.base[first + p] + offset]


@inner
def _add(local, share, net, sizes, squares):
    """Add local gradients, (position, channel), times their share to the net ones, and Σ|v| and Σv² of each channel."""
    for p in range(local.shape[0]):
        for j in range(local.shape[1]):
            value = local[p, j]
            sizes[j] += abs(value)
            squares[j] += value * value
            net[p, j] += share * value


@jit
def _sum(maps, bits, packed, filter_scale, groups, taps, run, together, sums):
    samples, outputs = maps.shape[:2]
    group_outputs, inputs = outputs // groups, packed.shape[2]
    rows = np.empty((group_outputs, together, taps.span), np.float32)
    scale = np.empty((together, group_outputs))
    top = np.empty(together)
    most_taps = np.diff(taps.phase_taps).max()
    met = np.empty(most_taps * together * run, np.float32)
    local_numbers = np.empty(together * run * inputs, np.float32)
    net = np.empty((together * run, inputs), np.float32)
    sizes, squares = np.empty(inputs, np.float32), np.empty(inputs, np.float32)
    for start in range(0, samples, together):
        some = min(together, samples - start)
        for group in range(groups):
            channel = group * group_outputs
            for s in range(some):
                top[s] = 0.0
                for i in range(group_outputs):
                    peak, total = _lay(maps[start + s, channel + i], bits[start + s, channel + i], taps, rows[i, s])
                    sums.ab_out[start + s, channel + i] = total
                    scale[s, i] = peak * filter_scale[channel + i]
                    top[s] = max(top[s], scale[s, i])
            for phase in range(taps.phase_taps.size - 1):
                begin, end = taps.phase_taps[phase], taps.phase_taps[phase + 1]
                for first in range(taps.phase_bases[phase], taps.phase_bases[phase + 1], run):
                    count = min(run, taps.phase_bases[phase + 1] - first)
                    columns = some * count
                    numbers = met[: (end - begin) * columns].reshape(end - begin, columns)
                    local = local_numbers[: columns * inputs].reshape(columns, inputs)
                    net[:columns] = 0
                    for i in range(group_outputs):
                        _gather(rows[i, :some], taps, begin, end, first, first + count, numbers)
                        np.dot(numbers.T, packed[channel + i][begin:end], local)
                        for s in range(some):
                            if scale[s, i] == 0:
                                continue
                            sizes[:] = 0
                            squares[:] = 0
                            here = slice(s * count, (s + 1) * count)
                            _add(local[here], np.float32(scale[s, i] / top[s]), net[here], sizes, squares)
                            for j in range(inputs):
                                size = scale[s, i] * np.float64(sizes[j])
                                sums.em_sum[start + s, channel + i] += size
                                sums.em_l2[start + s, channel + i] += scale[s, i] ** 2 * np.float64(squares[j])
                                sums.ab_sum[start + s, group * inputs + j] += size
                    for s in range(some):
                        for p in range(s * count, (s + 1) * count):
                            for j in range(inputs):
                                sums.ab_net[start + s, group * inputs + j] += top[s] * np.float64(abs(net[p, j]))
    for s in range(samples):
        for i in range(outputs):
            sums.em_l2[s, i] = math.sqrt(sums.em_l2[s, i])
