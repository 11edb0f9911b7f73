"""Sums of products of the terms of each entry, from which standard errors of sums over a sample of entries follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from trajlab.runs.disk.rows import Rows
from trajlab.scan.block import Block, Kernel
from trajlab.scan.track import Track, flat_rows

PAIR_TERMS = (
    ("squares",),
    ("reference_l2", "reference_ww", "reference_rr", "reference_dot", "reference_changed_ww"),
    ("previous_l2", "previous_rr"),
)
"""Groups of columns of the kernel `Pairs` whose terms are multiplied; the columns are the sums of these terms."""

ACROSS_TERMS = (("squares", "aa", "bb", "ab"), ("uu", "vv", "uv"))
"""The same of the kernel `Across`."""


def product_name(first: str, second: str) -> str:
    """Return the name of the column of the products of two terms, in either order.

    >>> product_name("uv", "uu")
    'uu*uv'
    """
    return "*".join(sorted((first, second)))


def _columns(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(product_name(*pair) for group in groups for pair in combinations_with_replacement(group, 2))


def _products(groups: Sequence[Sequence[str]], terms: Mapping[str, np.ndarray]) -> list[float]:
    pairs = [pair for group in groups for pair in combinations_with_replacement(group, 2)]
    return [float(terms[first] @ terms[second]) if first in terms else np.nan for first, second in pairs]


def _wide(row: Rows | np.ndarray) -> np.ndarray:
    return (flat_rows(row)[0] if isinstance(row, Rows) else row).astype(np.float64)


def _finite(*rows: np.ndarray) -> list[np.ndarray]:
    """Return the entries of rows that are finite in all of them."""
    both = np.logical_and.reduce([np.isfinite(row) for row in rows])
    return [row[both] for row in rows]


@dataclass(frozen=True)
class PairProducts(Kernel):
    """Kernel: the products of `PAIR_TERMS` over the entries that the kernel `Pairs` takes into each term."""

    columns = _columns(PAIR_TERMS)

    def finish(self, block: Block, state: None) -> tuple[np.ndarray, None]:
        """Return the sums of products of each step; NaN where there is no row before."""
        reference, before = _wide(block.rows.reference), block.rows.previous
        previous = None if before is None else _wide(before)
        out = np.empty((block.steps, len(self.columns)))
        for step, row in enumerate(block.rows.arrays()):
            w = _wide(row)
            x, r = _finite(w, reference)
            (alone,) = _finite(w)
            terms = {"squares": alone**2, "reference_l2": (x - r) ** 2, "reference_ww": x**2}
            terms |= {"reference_rr": r**2, "reference_dot": x * r, "reference_changed_ww": np.where(x != r, x**2, 0.0)}
            if previous is not None:
                x, v = _finite(w, previous)
                terms |= {"previous_l2": (x - v) ** 2, "previous_rr": v**2}
            out[step] = _products(PAIR_TERMS, terms)
            previous = w
        return out, None


@dataclass(frozen=True)
class AcrossProducts(Kernel):
    """Kernel: the products of `ACROSS_TERMS` over the entries that the kernel `Across` takes into each term."""

    columns = _columns(ACROSS_TERMS)

    def finish(self, block: Block, state: None) -> tuple[np.ndarray, None]:
        """Return the sums of products of each step; NaN where the other run has no row."""
        other = block.other if block.other is not None else Track()
        others, positions = other.arrays(), other.positions
        a_0, b_0 = _wide(block.rows.reference), _wide(other.reference)
        out = np.full((block.steps, len(self.columns)), np.nan)
        for step, row in enumerate(block.rows.arrays()):
            position = step if positions is None else positions[step]
            if position < 0:
                continue
            a, b = _wide(row), _wide(others[position])
            x, y = _finite(a, b)
            terms = {"squares": (x - y) ** 2, "aa": x**2, "bb": y**2, "ab": x * y}
            x, y, x_0, y_0 = _finite(a, b, a_0, b_0)
            terms |= {"uu": (x - x_0) ** 2, "vv": (y - y_0) ** 2, "uv": (x - x_0) * (y - y_0)}
            out[step] = _products(ACROSS_TERMS, terms)
        return out, None
