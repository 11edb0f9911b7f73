import numpy as np

from tests.replays.observers.folding import folded, layer
from trajlab.replays.observers.copies import ALIKE, Copies, copy_correlations, spread


def test_spread__by_hand():
    """Copies 1, 3 and 5, 5 of two samples: variances 1 and 0 within, means 2 and 5."""
    values = np.array([[[1.0, 7, 0]], [[3, 7, np.nan]], [[5, 7, 0]], [[5, 7, 0]]]).reshape(2, 2, 3)
    np.testing.assert_allclose(spread(values), [[0.5, 2.25], [0, 0], [np.nan, np.nan]])


def test_spread__of_equal_copies_of_a_number_that_is_no_float_is_exactly_0():
    assert (spread(np.full((3, 7, 2), 0.1)) == 0).all()


def test_copy_correlations__agree_with_corrcoef(rng):
    values = rng.standard_normal((3, 4, 6))
    rows = dict(zip(ALIKE, copy_correlations(values).T, strict=True))
    whole = np.corrcoef(values.reshape(12, 6))
    off = ~np.eye(6, dtype=bool), ~np.eye(4, dtype=bool)
    for sample in range(3):
        features = np.corrcoef(values[sample].T)[off[0]]
        own = slice(4 * sample, 4 * sample + 4)
        copies = whole[own, own][off[1]]
        others = np.delete(whole[own], np.arange(12)[own], 1)
        for name, expected in (("features", features), ("copies", copies), ("others", others)):
            np.testing.assert_allclose(rows[f"{name}_signed"][sample], expected.mean())
            np.testing.assert_allclose(rows[f"{name}_absolute"][sample], abs(expected).mean())


def test_copies__of_single_samples_have_a_spread_only(rng):
    results, _ = folded(Copies(1), [layer("a"), layer("b", (2,))], [rng.random((4, 3)), rng.random((4, 2))])
    assert np.isnan(results["alike"]).all() and (results["spread"][:, 0] == 0).all()
    assert results["spread"].shape == (5, 2) and results["nonfinite"].tolist() == [0, 0]


def test_copies__follow_each_other_in_the_probe(rng):
    values = rng.random((6, 3))
    values[4, 1] = np.inf
    results, described = folded(Copies(3), [layer("a")], [values], batch=4)
    np.testing.assert_array_equal(
        results["spread"], spread(np.where(np.isinf(values), np.nan, values).reshape(2, 3, 3))
    )
    assert results["nonfinite"].tolist() == [1] and described["alike"].shape == (1, 2, len(ALIKE))
