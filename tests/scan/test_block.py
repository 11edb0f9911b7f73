import numpy as np
import pytest

from trajlab import sizes
from trajlab.scan.block import Block, Kernel, reduce
from trajlab.scan.track import Track


class Summing(Kernel):
    """Sums the entries of all rows, and writes down the tiles."""

    columns = ("sum",)

    def start(self, block, shared):
        return {"tiles": [], "sums": np.zeros(block.steps), "shared": shared}

    def add(self, block, lo, hi, state):
        state["tiles"].append((lo, hi))
        state["sums"] += [row[lo:hi].sum() for row in block.rows.arrays()]

    def finish(self, block, state):
        return state["sums"][:, None], (state["tiles"], state["shared"])


@pytest.mark.parametrize(
    ("size", "tiles"), [(3, [(0, 3)]), (10, [(0, 4), (4, 8), (8, 10)]), (8, [(0, 4), (4, 8)]), (0, [])]
)
def test_reduce__each_kernel_takes_each_tile_once(monkeypatch, size, tiles):
    monkeypatch.setattr(sizes, "TILE_ENTRIES", 4)
    rows = np.arange(2.0 * size).reshape(2, size)
    results = reduce([Summing(), Summing()], Block(Track(list(rows))), [5, None])
    for (out, total), shared in zip(results, (5, None), strict=True):
        assert out[:, 0].tolist() == rows.sum(1).tolist()
        assert total == (tiles, shared)


def test_reduce__kernels_that_divide_spans_themselves_take_several_tiles_at_once(monkeypatch):
    class InSpans(Summing):
        takes_spans = True

    monkeypatch.setattr(sizes, "TILE_ENTRIES", 4)
    rows = np.arange(60.0).reshape(3, 20)
    for entries, spans in ((1, [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20)]), (50, [(0, 8), (8, 16), (16, 20)])):
        monkeypatch.setattr(sizes, "WINDOW_ENTRIES", entries)
        (_, tiled), (_, in_spans) = reduce([Summing(), InSpans()], Block(Track(list(rows))))
        assert tiled[0] == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20)]
        assert in_spans[0] == spans


def test_reduce__tracks_beside_are_read_tile_by_tile_unless_they_are_gathered(monkeypatch):
    monkeypatch.setattr(sizes, "TILE_ENTRIES", 2)
    rows, weights = [np.ones(3)], [np.ones(3)]
    beside = Block(Track(rows), weights=Track(weights), other=Track(rows))
    assert len(beside.tracks()) == 3 and [*beside.tiles()] == [(0, 2), (2, 3)]
    gathered = Block(Track(rows), weights=Track([np.ones(9)]), indices=np.array([0, 4, 8]))
    assert [*gathered.tiles()] == [(0, 2), (2, 3)]


@pytest.mark.parametrize(
    ("shape", "size", "expected"), [((2, 3), 6, False), ((2, 3), 4, True), ((), 1, False), ((0, 3), 0, False)]
)
def test_block__is_a_sample_if_rows_are_shorter_than_the_tensor(shape, size, expected):
    block = Block(Track([np.zeros(size)]), shape=shape)
    assert (block.is_sample, block.size, block.steps) == (expected, size, 1)


def test_kernel__needs_columns_and_finish_and_nothing_else():
    block = Block(Track([np.zeros(1)]))
    with pytest.raises(NotImplementedError):
        _ = Kernel().columns
    with pytest.raises(NotImplementedError):
        reduce([Kernel()], block)
    kernel = Summing()
    assert kernel.summary == () and kernel.summarize(None, (1,), None).size == 0 and kernel.pooling == {}
