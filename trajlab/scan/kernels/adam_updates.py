"""Sums over the updates of Adam, from its two moments."""

from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import jit
from trajlab.scan.tiles import tile

ADAM = ("valid", "nonfinite", "direction_square", "direction_max", "first_square", "second", "idle", "compared",
        "fading")  # fmt: skip
"""Columns of `adam_updates`: entries at which both moments are finite, and at which one is not; over the former Σu²
and max|u| of u = m̂ / (√v̂ + ε), Σm̂², Σv̂, and those with m = v = 0; then the entries with a second moment above 0 at
the step before, and those of them whose second moment has only faded since, as it does without a gradient."""


@jit
def adam_updates(first, second, second_before, lo, hi, like, like_second, scales, out):
    """Add one tile of moments to `out`, (step, `ADAM`).

    Parameters
    ----------
    first, second
        Addresses of the first and second moments, (step); 0 where the second was not kept.
    second_before
        Address of the second moment at the step before the first, 0 if there is none.
    lo, hi
        The tile.
    like, like_second
        Empty arrays of the element types.
    scales
        1/(1 − β₁ᵏ), 1/(1 − β₂ᵏ), ε, and c and d of c·v + d, the largest second moment that is left of one without a
        gradient, (step, 5).
    out
        The sums so far.
    """
    before = second_before
    for s in range(first.size):
        if second[s] != 0:
            m = tile(first[s], lo, hi, like)
            v = tile(second[s], lo, hi, like_second)
            of_first, of_second, epsilon = scales[s, 0], scales[s, 1], scales[s, 2]
            valid = 0
            idle = 0
            square = 0.0
            largest = 0.0
            m_square = 0.0
            v_sum = 0.0
            for i in range(m.size):
                x = np.float64(m[i])
                y = np.float64(v[i])
                if np.isfinite(x) and np.isfinite(y):
                    valid += 1
                    idle += (x == 0.0) & (y == 0.0)
                    x *= of_first
                    y *= of_second
                    u = x / (np.sqrt(y) + epsilon) if x != 0.0 else 0.0
                    square += u * u
                    largest = max(largest, abs(u))
                    m_square += x * x
                    v_sum += y
            out[s, 0] += valid
            out[s, 1] += m.size - valid
            out[s, 2] += square
            out[s, 3] = max(out[s, 3], largest)
            out[s, 4] += m_square
            out[s, 5] += v_sum
            out[s, 6] += idle
            if before != 0:
                w = tile(before, lo, hi, like_second)
                compared = 0
                fading = 0
                for i in range(v.size):
                    if w[i] > 0 and np.isfinite(w[i]) and np.isfinite(v[i]):
                        compared += 1
                        fading += np.float64(v[i]) <= scales[s, 3] * np.float64(w[i]) + scales[s, 4]
                out[s, 7] += compared
                out[s, 8] += fading
        before = second[s]


@dataclass(frozen=True)
class AdamUpdates(Kernel):
    """Kernel: the columns `ADAM` of each step of the first moment, beside which the second stands as weights.

    Parameters
    ----------
    steps
        Optimizer steps, rising.
    scales
        `scales` of `adam_updates` at each of them.
    """

    columns = ADAM
    pooling = {"direction_max": "max"}
    steps: tuple[int, ...]
    scales: tuple[tuple[float, ...], ...]

    def start(self, block: Block, shared: None) -> np.ndarray:
        """Return sums of zero."""
        return np.zeros((block.steps, len(ADAM)))

    def add(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Add one tile."""
        if block.weights is not None:
            second, before, like = block.weights.addresses, block.weights.previous_address, block.weights.like
            scales = self._scales_of(block)
            adam_updates(block.rows.addresses, second, before, lo, hi, block.rows.like, like, scales, state)

    def _scales_of(self, block: Block) -> np.ndarray:
        """Return the scales at the steps of a block, (step, 5)."""
        steps = np.empty(0, np.int64) if block.step is None else block.step
        return np.array(self.scales, np.float64)[np.searchsorted(np.array(self.steps), steps)]

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the sums; NaN where the second moment was not kept, or not at the step before."""
        kept, before = np.zeros(block.steps, bool), False
        if block.weights is not None:
            positions = block.weights.positions
            kept = np.ones(block.steps, bool) if positions is None else positions >= 0
            before = block.weights.previous is not None
        known_before = np.append(before, kept[:-1])
        state[~kept] = np.nan
        state[~known_before, ADAM.index("compared") :] = np.nan
        scales = self._scales_of(block)
        state[np.isnan(scales[:, :3]).any(1), 2:4] = np.nan
        state[np.isnan(scales[:, 3]), ADAM.index("compared") :] = np.nan
        return state, None
