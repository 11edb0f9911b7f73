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
    em_sum, em_l2, ab_out, em_sum_l1, ab_out_l1
        Of output channels.
    ab_sum, ab_l2, ab_net, ab_sum_l1, ab_net_l1
        Of input channels.
    """

    em_sum: np.ndarray
    em_l2: np.ndarray
    ab_out: np.ndarray
    em_sum_l1: np.ndarray
    ab_out_l1: np.ndarray
    ab_sum: np.ndarray
    ab_l2: np.ndarray
    ab_net: np.ndarray
    ab_sum_l1: np.ndarray
    ab_net_l1: np.ndarray


OF_OUTPUTS = Sums._fields[:5]
"""Sums of output channels."""

OF_INPUTS = Sums._fields[5:]
"""Sums of input channels."""


def local_gradients(gradient: np.ndarray, filters: Filters) -> Sums:
    """Sum the local gradients LG_ij = transposed convolution of G_i with K_ij, over channels and positions.

    With ‖·‖ the L2 norm over the positions p of a map: em_sum_i = Σ_j ‖LG_ij‖, em_l2_i = sqrt(Σ_j ‖LG_ij‖²),
    ab_out_i = ‖G_i‖, ab_sum_j = Σ_i ‖LG_ij‖, ab_l2_j = sqrt(Σ_i ‖LG_ij‖²) and ab_net_j = ‖Σ_i LG_ij‖. The suffix
    `_l1` marks the same with Σ_p |·| in place of ‖·‖. Products are float32, and so are sums over taps, over output
    channels, and over runs of at most `RUN` positions; all others are float64. Scales that are powers of two, taken
    from each map and filter, keep squares within the range of float32. NaN and Inf go on.

    Parameters
    ----------
    gradient
        G of some samples, (sample, output channel, …).
    filters
        The kernels K.
    """
    samples, outputs = gradient.shape[:2]
    inputs = filters.groups * filters.inputs
    channels = [outputs] * len(OF_OUTPUTS) + [inputs] * len(OF_INPUTS)
    sums = Sums(*(np.zeros((samples, count)) for count in channels))
    taps = taps_of(filters.convolution)
    maps = np.ascontiguousarray(gradient, np.float32).reshape(samples, outputs, int(np.prod(gradient.shape[2:])))
    longest = int(np.diff(taps.phase_bases).max(initial=0))
    if not (longest and samples and outputs and inputs):
        sums.ab_out[:] = np.sqrt(np.square(maps, dtype=np.float64).sum(2))
        sums.ab_out_l1[:] = np.abs(maps).sum(2, dtype=np.float64)
        return sums
    columns = max(1, sizes.LOCAL_GRADIENT_ENTRIES // filters.inputs)
    run = min(longest, RUN, columns)
    pairs = outputs // filters.groups * filters.inputs
    together = max(1, min(samples, columns // run, sizes.LOCAL_GRADIENT_PAIRS // pairs))
    _sum(maps, maps.view(np.int32), filters.packed, filters.scale, filters.groups, taps, run, together, sums)
    return sums


def _power(largest: np.ndarray) -> np.ndarray:
    """Return the power of two just above each size, 1 for zero, NaN and Inf."""
    with np.errstate(invalid="ignore"):
        power = np.ldexp(1.0, np.frexp(largest.astype(np.float64))[1])
    return np.where(np.isfinite(largest) & (largest > 0), power, 1.0)


@inner
def _lay(map_, bits, taps, row):
    """Write a map into its row, divided by its scale; return the scale (0 for a map of zeros), Σ|v| and Σv².

    The largest size is found among the bits without the sign, which are in the order of the sizes, NaN last.
    """
    row[:] = 0
    top = np.int32(0)
    total, squares = 0.0, 0.0
    for q in range(map_.size):
        value = np.float64(map_[q])
        total += abs(value)
        squares += value * value
        top = max(top, bits[q] & np.int32(0x7FFFFFFF))
    if top == 0:
        return 0.0, total, squares
    exponent = (top >> 23) - 126
    scale = math.ldexp(1.0, max(exponent, -125)) if exponent < 129 else 1.0
    up = 1.0 / scale
    for e in range(taps.source.size):
        row[taps.target[e]] += np.float32(map_[taps.source[e]] * up)
    return scale, total, squares


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


@inner
def _add_pairs(pairs, scale, output, entry, sample, sums):
    """Add norms of the local gradients of a sample and a group, from their squares over the positions."""
    for i in range(pairs.shape[0]):
        total, squares = 0.0, 0.0
        for j in range(pairs.shape[1]):
            square = scale[i] ** 2 * pairs[i, j]
            norm = math.sqrt(square)
            total += norm
            squares += square
            sums.ab_sum[sample, entry + j] += norm
            sums.ab_l2[sample, entry + j] += square
        sums.em_sum[sample, output + i] = total
        sums.em_l2[sample, output + i] = math.sqrt(squares)


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
    pairs = np.empty((together, group_outputs, inputs))
    for start in range(0, samples, together):
        some = min(together, samples - start)
        for group in range(groups):
            channel = group * group_outputs
            for s in range(some):
                top[s] = 0.0
                pairs[s] = 0.0
                for i in range(group_outputs):
                    map_ = maps[start + s, channel + i]
                    peak, total, square = _lay(map_, bits[start + s, channel + i], taps, rows[i, s])
                    sums.ab_out[start + s, channel + i] = math.sqrt(square)
                    sums.ab_out_l1[start + s, channel + i] = total
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
                                sums.em_sum_l1[start + s, channel + i] += size
                                sums.ab_sum_l1[start + s, group * inputs + j] += size
                                pairs[s, i, j] += np.float64(squares[j])
                    for s in range(some):
                        for p in range(s * count, (s + 1) * count):
                            for j in range(inputs):
                                value = np.float64(net[p, j])
                                sums.ab_net_l1[start + s, group * inputs + j] += top[s] * abs(value)
                                sums.ab_net[start + s, group * inputs + j] += top[s] ** 2 * (value * value)
            for s in range(some):
                _add_pairs(pairs[s], scale[s], channel, group * inputs, start + s, sums)
    for sample in range(samples):
        for j in range(groups * inputs):
            sums.ab_net[sample, j] = math.sqrt(sums.ab_net[sample, j])
            sums.ab_l2[sample, j] = math.sqrt(sums.ab_l2[sample, j])
