"""Histogram of any number of values that come in parts, such as the activations of a layer."""

from typing import Any

import numpy as np

from trajlab.scan.block import Block
from trajlab.scan.kernels.histogram import HIGH, KEYS, LOW, OUTERMOST, count_rows, counts_of
from trajlab.scan.kernels.split_bins import (
    SAMPLE,
    Bins,
    Split,
    count_pieces,
    full_bins,
    joined,
    occupied_bins,
    split_of,
)

TABLES = 4
"""Number of tables that the values of a layer are counted in by turns: in a single table equal values in a row, such as
zeros, would each wait for the one before."""

TABLE_LIMIT = 1 << 32
"""Number of values that a table of 32 bits can hold in one bin."""


class Histogram:
    """Counts of any number of values, which come in parts; where the parts end changes nothing.

    The first `SAMPLE` values tell which bins are split.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self._tables = np.zeros((TABLES, KEYS), np.uint32)
        self._in_tables = 0
        self._counts: Any = 0
        self._sample: np.ndarray | None = np.empty(SAMPLE, dtype)
        self._sampled = 0
        self._split: Split | None = None

    def add(self, block: Block) -> None:
        """Count the entries of a block of one row in memory."""
        if self._in_tables + block.size >= TABLE_LIMIT:
            self._empty_tables()
        self._in_tables += block.size
        count_rows(block.rows.addresses, 0, block.size, block.rows.like, self._tables)
        (values,) = block.rows.arrays()
        if self._sample is not None:
            first, values = values[: SAMPLE - self._sampled], values[SAMPLE - self._sampled :]
            self._sample[self._sampled : self._sampled + len(first)] = first
            self._sampled += len(first)
            if self._sampled == SAMPLE:
                self._lay_out(self._sample)
        if self._split is not None:
            count_pieces(values, self._split)

    def finish(self) -> Bins:
        """Return the bins that hold finite values."""
        self._empty_tables()
        if self._sample is not None:
            self._lay_out(self._sample)
        keys, *parts, _ = occupied_bins(self._counts, LOW, HIGH)
        return Bins(*parts) if self._split is None else joined(keys, Bins(*parts), self._split)

    def _lay_out(self, sample: np.ndarray) -> None:
        """Split the bins that are full in the sample, and count it in them."""
        sample, self._sample = sample[: self._sampled], None
        keys, _, _, upto, _ = occupied_bins(counts_of(sample), LOW, HIGH)
        full = full_bins(keys, upto, sample.dtype, lambda: [sample])
        beyond = np.setdiff1d(OUTERMOST if sample.dtype == np.float64 else [], keys[full]).astype(keys.dtype)
        split = np.sort(np.concatenate([keys[full], beyond]))
        if len(split):
            self._split = split_of(split, sample)
            count_pieces(sample, self._split)

    def _empty_tables(self) -> None:
        self._counts = self._counts + self._tables.sum(0, dtype=np.int64)
        self._tables[:] = 0
        self._in_tables = 0
