"""Mark units whose incoming entries are nonzero, or changed since the previous row."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import jit
from trajlab.scan.tiles import tile


@jit
def units(rows, previous, lo, hi, like_bits, indices, per_unit, mask, out):
    """Mark the units of which an entry of one tile differs in masked bits from zero, or from the row before.

    Parameters
    ----------
    rows
        Addresses of the rows, (step), uint64.
    previous
        Addresses of the rows that these are compared with, (step); 0 stands for a row of zeros.
    lo, hi
        The tile.
    like_bits
        Empty array of the signed integers of the size of an entry.
    indices
        Positions of the entries in the flat parameter, (entry); empty if all entries are there.
    per_unit
        Entries of the parameter that lead into one unit.
    mask
        Bits that count, as a signed integer.
    out
        (step, unit), set to 1 where an entry differs.
    """
    for s in range(rows.size):
        row = tile(rows[s], lo, hi, like_bits)
        before = tile(previous[s] if previous[s] != 0 else rows[s], lo, hi, like_bits)
        keep = 0 if previous[s] == 0 else -1
        if indices.size:
            for i in range(hi - lo):
                if (row[i] ^ (before[i] & keep)) & mask != 0:
                    out[s, indices[lo + i] // per_unit] = 1.0
            continue
        start = 0
        while start < hi - lo:
            unit = (lo + start) // per_unit
            stop = min(hi - lo, (unit + 1) * per_unit - lo)
            differs = np.int64(0)
            for i in range(start, stop):
                differs |= (row[i] ^ (before[i] & keep)) & mask
            if differs != 0:
                out[s, unit] = 1.0
            start = stop


@dataclass(frozen=True)
class Units(Kernel):
    """Kernel: for each unit of a parameter whether any of its recorded entries is marked.

    A unit is an index along the first axis of the parameter. One of which no entry was recorded is NaN; so are all
    of them at a step that has none before it to differ from.

    Parameters
    ----------
    units
        Length of the parameter's first axis.
    numel
        Entries of the whole parameter.
    mode
        What marks an entry: "nonzero", which NaN is too, or "changed", its bits differing from the row before.
    """

    units: int
    numel: int
    mode: Literal["nonzero", "changed"]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(f"unit_{i}" for i in range(self.units))

    def start(self, block: Block, shared: None) -> np.ndarray:
        """Return marks of no unit."""
        return np.zeros((block.steps, self.units))

    def add(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Add one tile."""
        changed = self.mode == "changed"
        before = np.append(block.rows.previous_address, block.rows.addresses[:-1])
        units(
            block.rows.addresses,
            before if changed else np.zeros_like(before),
            lo,
            hi,
            block.rows.like_bits,
            np.empty(0, np.int64) if block.indices is None else block.indices,
            self.numel // self.units,
            -1 if changed else np.iinfo(block.rows.like_bits.dtype).max,
            state,
        )

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the marks of each step."""
        if block.indices is not None:
            sampled = np.bincount(block.indices // (self.numel // self.units), minlength=self.units) > 0
            state[:, ~sampled] = np.nan
        if self.mode == "changed" and block.rows.previous is None:
            state[0] = np.nan
        return state, None
