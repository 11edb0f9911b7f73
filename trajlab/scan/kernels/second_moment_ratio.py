"""Sums that compare squared gradients with the second moments of Adam that they meet."""

from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel

SECOND_MOMENT_RATIO = ("valid", "gradient", "second", "relative", "gradient_gradient", "gradient_second",
                       "second_second", "relative_relative")  # fmt: skip
"""Columns over the entries finite in the gradient g and the second moment v: their number; Σg², Σv̂, and Σr of
r = g² / max(v̂', ε²), v' the second moment after g; and sums of the products of these terms."""


@dataclass(frozen=True)
class SecondMomentRatio(Kernel):
    """Kernel: the columns `SECOND_MOMENT_RATIO` of each step of a gradient; second moments stand beside it as weights.

    Parameters
    ----------
    steps
        Optimizer steps, rising.
    scales
        1/(1 − β₂ᵏ), 1/(1 − β₂ᵏ⁺¹), β₂ and ε at each of them, k the number of updates of the moment.
    """

    columns = SECOND_MOMENT_RATIO
    steps: tuple[int, ...]
    scales: tuple[tuple[float, ...], ...]

    def finish(self, block: Block, state: None) -> tuple[np.ndarray, None]:
        """Return the sums of each step; NaN where the second moment was not kept."""
        out = np.full((block.steps, len(SECOND_MOMENT_RATIO)), np.nan)
        if block.weights is None or block.step is None:
            return out, None
        seconds, positions = block.weights.arrays(), block.weights.positions
        at = np.searchsorted(np.array(self.steps), block.step)
        for step, row in enumerate(block.rows.arrays()):
            position = step if positions is None else positions[step]
            if position < 0 or at[step] == len(self.steps) or self.steps[at[step]] != block.step[step]:
                continue
            second = seconds[position].astype(np.float64)
            second = second if block.indices is None else second[block.indices]
            g = row.astype(np.float64) ** 2
            finite = np.isfinite(g) & np.isfinite(second)
            g, second = g[finite], second[finite]
            now, after, beta, epsilon = self.scales[at[step]]
            v = now * second
            divisor = np.maximum(after * (beta * second + (1 - beta) * g), epsilon**2)
            r = np.divide(g, divisor, out=np.zeros_like(g), where=g > 0)
            out[step] = g.size, g.sum(), v.sum(), r.sum(), g @ g, g @ v, v @ v, r @ r
        return out, None
