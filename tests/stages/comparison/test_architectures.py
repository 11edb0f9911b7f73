"""Features of networks of two architectures, against numpy and torch."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from torch import nn

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure, panels
from trajlab.figures.comparison import matched_order
from trajlab.replays.probe_batches import as_probe
from trajlab.reports.findings import findings
from trajlab.stages.comparison.unit_matching import matches, unit_matrices


def cnn():
    first, second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(96, 3))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.Tanh(), nn.Linear(7, 3))


INPUTS = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def run_of(build, seed):
    torch.manual_seed(seed)
    net = build()
    run = trajlab.from_arrays({name: value.detach().numpy()[None] for name, value in net.named_parameters()})
    run.facts["describe"] = {"seed": seed}
    return run.with_model(build, probe=as_probe((INPUTS, torch.arange(60) % 3))), net


@pytest.fixture(scope="module")
def two():
    (a, net), (b, other) = run_of(cnn, 0), run_of(mlp, 1)
    with torch.no_grad():
        features = net[:4](INPUTS).mean((2, 3)).double().numpy(), other[:3](INPUTS).double().numpy()
    return {"a": a, "b": b}, features


def test_comparison__of_two_architectures_compares_features_and_says_why_not_weights(two):
    runs, (ours, theirs) = two
    result = trajlab.run("comparison", runs, matrix_layer="3=2").compute()
    pair = result.sel(run="a", other="b")
    expected = np.corrcoef(ours.T, theirs.T)[:6, 6:]
    np.testing.assert_allclose(pair.feature_correlation, expected, atol=1e-6)
    np.testing.assert_allclose(pair.feature_covariance, np.cov(ours.T, theirs.T, ddof=0)[:6, 6:], atol=1e-8)
    rows, columns = linear_sum_assignment(expected, maximize=True)
    np.testing.assert_array_equal(pair.feature_match, columns)
    chosen = pair.feature_match_greedy.values.astype(int)
    assert expected[np.arange(len(chosen)), chosen].max() == expected.max() and len(set(chosen)) == len(chosen)
    assert pair.matched_features_greedy.item() == pytest.approx(
        expected[np.arange(len(chosen)), chosen].mean(), abs=1e-6
    )
    assert pair.matched_features.item() == pytest.approx(expected[rows, columns].mean(), abs=1e-6)
    assert result.layer.values.tolist() == ["last activation"] and "distance" not in result
    assert result.attrs["not_compared"] == "weights: 0.weight is (4, 1, 3, 3) in one and missing in the other"
    assert figure(result).get_title() is not None and findings(result)
    diagonal = np.diag(matched_order(result)[0])
    np.testing.assert_allclose(diagonal, np.sort(expected[rows, columns])[::-1], atol=1e-6)
    greedily = np.diag(matched_order(result, by="feature_match_greedy")[0])
    np.testing.assert_allclose(greedily, np.sort(expected[np.arange(len(chosen)), chosen])[::-1], atol=1e-6)
    for panel in panels(result):
        drawing = Figure(panel.size)
        panel.draw(drawing)
        if panel.key == "feature_correlation":
            titles = [ax.get_title() for ax in drawing.axes[:3]]
            assert titles == ["as they are", "sorted, best matching", "sorted, greedy matching"]


def test_comparison__of_a_study_of_two_architectures_compares_what_each_pair_shares(two):
    runs = {**two[0], "c": run_of(cnn, 2)[0]}
    result = trajlab.run("comparison", runs, shuffles=0, matrix_layer="3=2").compute().isel(step=-1)
    assert np.isfinite(result.total_distance.sel(run="a", other="c")) and "line_loss" in result
    assert result.total_distance.sel(run="a", other="b").isnull()
    known = result.feature_cka.sel(run="a").notnull()
    assert known.sel(other="c", layer=["1", "3"]).all() and known.sel(other="b", layer="last activation")


def test_comparison__of_two_architectures_without_features_is_refused(two):
    with pytest.raises(MissingData, match="cannot compare the weights: 0.weight is .* missing in the other"):
        trajlab.run("comparison", two[0], features=False)
    with pytest.raises(BadSetting, match="cannot compare the layers '9=8': one network has 1, 3, the other 2"):
        trajlab.run("comparison", two[0], layers=["9=8"])


def test_matches__absolute_ones_find_opposite_units(rng):
    rows = rng.normal(size=(5, 40, 1))
    rows -= rows.mean(1, keepdims=True)
    signed, absolute = (matches(rows, -rows[::-1], shuffles=0, absolute=absolute)[0] for absolute in (False, True))
    assert absolute == pytest.approx(1.0) and signed < 0.9
    np.testing.assert_array_equal(unit_matrices(rows, -rows[::-1], absolute=True)[2][:, 0], [4, 3, 2, 1, 0])


def test_unit_matrices__leave_out_constant_units_and_nan(rng):
    rows = rng.normal(size=(4, 30, 1))
    rows -= rows.mean(1, keepdims=True)
    rows[1], rows[2, 3] = 0.0, np.nan
    correlation, covariance, match, greedily = unit_matrices(rows, rows)
    np.testing.assert_array_equal(greedily, match)
    assert np.isnan(correlation[[1, 2]]).all() and np.isnan(match[[1, 2]]).all()
    assert match[[0, 3], 0].tolist() == [0, 3] and (covariance[1, [0, 1, 3]] == 0).all()
