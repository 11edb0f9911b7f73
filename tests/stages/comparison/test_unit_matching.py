from itertools import permutations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import trajlab
from trajlab.replays.observe import observe
from trajlab.replays.observers.sampled_outputs import SampledOutputs
from trajlab.stages.comparison import unit_matching
from trajlab.stages.comparison.unit_matching import MATCHES, feature_rows, feature_table, greedy, matches


def found(a, b, shuffles=0):
    return dict(zip(MATCHES, matches(a, b, shuffles=shuffles), strict=True))


@given(seed=st.integers(0, 1000), units=st.integers(1, 5), others=st.integers(1, 5))
def test_matches__are_the_best_of_all_there_are(seed, units, others):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((units, 4, 2)), rng.standard_normal((others, 4, 2))
    x, y = (rows.reshape(len(rows), -1) for rows in (a, b))
    alike = x @ y.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)
    alike = alike if units <= others else alike.T
    best = max(
        np.mean([row[i] for row, i in zip(alike, order, strict=False)])
        for order in permutations(range(alike.shape[1]), alike.shape[0])
    )
    result = found(a, b)
    assert result["best"] == pytest.approx(best)
    assert result["greedy"] <= result["best"] + 1e-12
    assert result["units"] == min(units, others)


def test_greedy__takes_the_most_alike_pair_first():
    rows, columns = greedy(np.array([[0.5, 0.9, 0.1], [0.2, 0.8, 0.3]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 2])


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (30, 30), (1, 4), (0, 3)])
@pytest.mark.parametrize("values", [3, 10**6])
def test_greedy__is_that_of_a_loop_over_all_pairs_ties_included(rng, shape, values):
    similarity = rng.integers(0, values, shape) / values
    pairs, free = {}, [set(range(n)) for n in shape]
    for flat in np.argsort(-similarity, axis=None, kind="stable"):
        row, column = divmod(int(flat), shape[1])
        if row in free[0] and column in free[1]:
            free[0].remove(row), free[1].remove(column)
            pairs[row] = column
    rows, columns = greedy(similarity)
    assert dict(zip(rows.tolist(), columns.tolist(), strict=True)) == pairs


def test_matches__of_many_units_shuffle_less_often(rng, monkeypatch):
    calls = []
    monkeypatch.setattr(
        unit_matching, "shuffled_match", lambda similarity, samples, *, shuffles: calls.append(shuffles) or (0, 0)
    )
    for units in (20, 30):
        monkeypatch.setattr(unit_matching, "MANY_UNITS", 25)
        matches(*rng.standard_normal((2, units, 8, 1)), shuffles=12)
    assert calls == [12, 5]


def test_matches__a_permuted_copy_is_the_same_and_chance_is_less(rng):
    rows = rng.standard_normal((12, 50, 3))
    result = found(rows, rows[rng.permutation(12)], shuffles=30)
    assert result["best"] == pytest.approx(1)
    assert 0 < result["null"] < result["null_95"] < 0.4


def test_matches__of_independent_units_lie_within_chance(rng):
    """The null is calibrated: 1 of 20 independent pairs of runs passes its 95 % quantile."""
    above = [
        result["best"] > result["null_95"]
        for result in (found(*rng.standard_normal((2, 8, 40, 1)), shuffles=40) for _ in range(100))
    ]
    assert np.mean(above) < 0.13


def test_matches__units_without_direction_are_left_out(rng):
    a, b = rng.standard_normal((2, 4, 20, 1))
    a[0] = 0
    b[1, 3] = np.nan
    assert found(a, b)["units"] == 3
    assert found(a, b)["best"] == pytest.approx(found(a[1:], b[[0, 2, 3]])["best"])
    assert found(np.zeros((2, 3, 1)), b[:, :3])["units"] == 0
    assert np.isnan(found(np.zeros((2, 3, 1)), b[:, :3], 5)["null"])


def test_feature_table__of_replays_keeps_few_values_and_says_the_same_as_arrays(monkeypatch):
    monkeypatch.setattr("trajlab.stages.comparison.unit_matching.VALUES", 60)
    torch.manual_seed(0)

    def net():
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 2))

    probe = torch.randn(12, 1, 6, 6)
    states = [[net().state_dict() for _ in range(2)] for _ in range(2)]
    runs = [trajlab.from_arrays({key: torch.stack([s[key] for s in run]) for key in run[0]}) for run in states]
    ours, theirs = (trajlab.replay(run, model=net, probe=probe) for run in runs)
    actual = feature_table(feature_rows(ours, theirs, [0, 1], [])[0], [0, 1], shuffles=3)
    assert ours._arrays is None
    expected = feature_table(feature_rows(dict(ours), dict(theirs), [0, 1], [])[0], [0, 1], shuffles=3)
    xr.testing.assert_allclose(actual.compute(), expected.compute(), rtol=1e-12)  # BLAS depends on the memory layout
    assert actual.layer.values.tolist() == ["1", "4"]
    picked = observe(ours, SampledOutputs(60))
    assert picked["1"].dims == ("step", "unit", "sample", "position") and picked["1"].shape == (2, 4, 12, 5)
    assert np.isfinite(actual).all() and (actual.sel(column="null") > 0).all()
