import numpy as np
import pytest

from trajlab.scan.kernels.bars import add_pairs_to_bars, add_to_bars, bar_edges, bars_of_bins, bars_of_sorted
from trajlab.scan.kernels.split_bins import bins_of

LIMITS = [(-1.0, 3.0), (0.994, 1.008), (999.99, 1000.01), (-1e-41, 1e-41), (0.0, 1.0), (-1e308, 1e308)]


@pytest.mark.parametrize("limits", LIMITS)
def test_bar_edges__are_even(limits):
    even = 2 * np.linspace(limits[0] / 2, limits[1] / 2, 9)
    edges = bar_edges(*limits, 8, sorted_rows=True)
    np.testing.assert_array_equal(edges[1:-1], even[1:-1])
    assert edges[[0, -1]].tolist() == [-np.inf, np.inf]
    near = bar_edges(*limits, 8, sorted_rows=False)
    assert (np.abs(near[1:-1] - edges[1:-1]) <= (even[2] - even[1]) / 4).all()


def test_bar_edges__of_one_value_or_none_are_even_around_it():
    np.testing.assert_allclose(bar_edges(3.0, 3.0, 4, sorted_rows=True)[1:-1], [2.75, 3, 3.25])
    assert np.diff(bar_edges(1e30, 1e30, 4, sorted_rows=True)[1:-1]).min() > 0
    np.testing.assert_allclose(bar_edges(np.inf, -np.inf, 4, sorted_rows=True)[1:-1], [-0.25, 0, 0.25])


@pytest.mark.parametrize(("center", "spread"), [(0, 1), (1, 1e-3), (1000, 1e-3)])
def test_bars__of_all_kinds_of_rows_agree_with_numpy(rng, center, spread):
    values = (center + spread * rng.standard_normal(30_000)).astype(np.float32)
    edges = bar_edges(float(values.min()), float(values.max()), 32, sorted_rows=False)
    expected, _ = np.histogram(values.astype(np.float64), edges)
    out = np.empty(32)
    exact = bars_of_bins(bins_of(values), edges, out)
    assert exact == (center == 0)
    assert np.abs(out - expected).max() <= (0 if exact else 60) and out.sum() == 30_000
    bars_of_sorted(np.sort(values), edges, out)
    np.testing.assert_array_equal(out, expected)
    out[:] = 0
    for part in (values[:7], values[7:]):
        add_to_bars(part, edges, out)
    np.testing.assert_array_equal(out, expected)


def test_add_pairs_to_bars__splits_entries_by_their_bits():
    """Of (0, 1, 2, 3, NaN, 5) the 0 turns to −0, the 2 to 9, and the 5 was infinite."""
    r = np.array([0, 1, 2, 3, np.nan, np.inf], np.float32)
    w = np.array([-0.0, 1, 9, 3, 4, 5], np.float32)
    bars = np.zeros((2, 2))
    for part in (slice(2), slice(2, 6)):
        bits = w[part].view(np.int32), r[part].view(np.int32)
        add_pairs_to_bars(w[part], r[part], *bits, np.array([-np.inf, 2, np.inf]), *bars)
    assert bars.tolist() == [[1, 1], [1, 1]]
