import numpy as np
import pytest

from trajlab.scan.block import Block
from trajlab.scan.kernels import histogram
from trajlab.scan.kernels.histogram import EDGES, KEYS, Histogram, bins_of, count_rows, histogram_cuts
from trajlab.scan.track import Track, computable


def test_edges__rise_over_all_floats():
    assert (np.diff(EDGES) >= 0).all()
    assert EDGES[KEYS // 2] == 0


def test_histogram_cuts__are_nearly_even():
    edges = EDGES[histogram_cuts(-1.0, 3.0, 8)]
    np.testing.assert_allclose(edges[1:-1], np.linspace(-1, 3, 9)[1:-1], rtol=1 / 128, atol=1e-3)
    assert edges[0] < -1e38 and edges[-1] > 1e38


def test_bins__hold_hand_counted_values():
    keys, upto = bins_of(np.array([1.0, 1.003, 2.0, -0.0, 0.0, np.nan, np.inf], np.float32))
    assert EDGES[keys[:-1]].tolist() == [0, 1, 2]
    assert upto.tolist() == [0, 2, 4, 5]


@pytest.mark.parametrize("tables", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, 4, 50_001])
def test_count_rows__agrees_with_numpy_in_any_number_of_tables(rng, tables, dtype, size):
    rows = np.maximum(rng.standard_normal((3, size)), 0).astype(dtype)
    rows[1, size // 2] = np.inf
    block, counts = Block(Track(list(rows))), np.zeros((3 * tables, KEYS), np.uint32)
    count_rows(block.rows.addresses, 0, size, block.rows.like, counts)
    bits = rows.astype(np.float32).view(np.uint32) >> 16
    expected = [np.bincount(row, minlength=KEYS) for row in bits]
    np.testing.assert_array_equal(counts.reshape(3, tables, KEYS).sum(1), expected)


@pytest.mark.parametrize("limit", [20, 1 << 32])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_histogram__of_parts_is_that_of_the_whole(rng, monkeypatch, limit, dtype):
    monkeypatch.setattr(histogram, "TABLE_LIMIT", limit)
    values = rng.standard_normal((4, 15)).astype(dtype)
    parts = Histogram()
    for part in values:
        parts.add(Block(Track([computable(part)])))
    keys, upto = bins_of(computable(values.reshape(-1)))
    np.testing.assert_array_equal(parts.finish(), [keys, upto])


def test_histogram__of_nothing_holds_no_bin():
    keys, upto = Histogram().finish()
    assert (keys.tolist(), upto.tolist()) == ([KEYS], [0])
