import numpy as np
import pytest

from tests.replays.observers.folding import folded, layer
from trajlab.replays.observers.gradient_histogram import BINS, CENTER, GradientHistogram, bin_edges, bins_of


def test_bins__hold_what_lies_between_their_edges(rng):
    edges = bin_edges()
    assert len(edges) == BINS + 1 and (np.diff(edges) > 0).all()
    values = np.concatenate([rng.standard_normal(500) * 10.0 ** rng.integers(-12, 5, 500), edges[1:-1], [0.0]])
    positions = bins_of(values)
    assert (edges[positions] <= values).all() and (values <= edges[positions + 1]).all()
    assert (bins_of(np.array([np.nan, np.inf, -np.inf])) == -1).all()
    assert bins_of(np.array([0.0, -0.0, 1e-40]))[0] == CENTER


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_gradient_histogram__counts_each_unit_over_samples_and_positions(batch):
    conv = layer("conv", (2, 1, 3), ("unit", "y", "x"))
    gradient = np.zeros((5, 2, 1, 3), np.float32)
    gradient[:, 0] = 1.5  # from 1 to 2
    gradient[1, 1] = [[-1.5, np.nan, -3e-3]]
    results, described = folded(GradientHistogram(), [conv], [gradient[:, :0]], gradients=[gradient], batch=batch)
    counts, edges = results["conv|histogram"], bin_edges()
    one = np.flatnonzero(edges == 1.0)[0]
    assert described["conv|histogram"].dims == ("unit", "bin")
    assert counts[0, one] == 15 and counts[0].sum() == 15
    assert counts[1].sum() == 14 and counts[1, CENTER] == 12
    assert counts[1, BINS - 1 - one] == 1 and counts[1, np.searchsorted(edges, -3e-3) - 1] == 1


def test_gradient_histogram__of_no_positions_is_empty():
    results, _ = folded(GradientHistogram(), [layer("fc", (3,))], [np.zeros((0, 3))], gradients=[np.zeros((0, 3))])
    assert results["fc|histogram"].sum() == 0
