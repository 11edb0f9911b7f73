import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure, panels


def test_distribution__of_updates_is_that_of_differences(rng):
    values = rng.normal(size=(6, 4, 5)).astype(np.float32).cumsum(0)
    run = trajlab.from_arrays({"w": values, "b": values[:, 0]}, steps=[0, 1, 10, 11, 20, 21])
    result = trajlab.run("distribution", run, of="updates").compute()
    differences = trajlab.from_arrays({"w": np.diff(values, axis=0), "b": np.diff(values[:, 0], axis=0)})
    expected = trajlab.run("distribution", differences).compute()
    assert result.step.values.tolist() == [1, 10, 11, 20, 21] and result.attrs["of"] == "updates"
    for name in ("mean", "std", "quantiles", "histogram", "ks_prev", "total_std", "max"):
        np.testing.assert_array_equal(result[name], expected[name])
    np.testing.assert_allclose(result["std"].sel(parameter="w"), np.diff(values.astype(float), axis=0).std((1, 2)))


def test_distribution__of_updates_counts_nan_and_needs_two_steps(rng):
    values = rng.normal(size=(3, 4))
    values[1, 2] = np.inf
    values[2, 2] = np.inf
    result = trajlab.run("distribution", trajlab.from_arrays({"w": values}), of="updates").compute()
    assert result.nonfinite.values.ravel().tolist() == [1, 1]
    with pytest.raises(MissingData, match="no tensor was recorded at two steps; record more snapshots"):
        trajlab.run("distribution", trajlab.from_arrays({"w": values[:1]}), of="updates")
    with pytest.raises(BadSetting, match="of='change': choose values or updates"):
        trajlab.run("distribution", trajlab.from_arrays({"w": values}), of="change")


@pytest.fixture
def study():
    runs = {}
    for seed, init in enumerate(("he", "he", "xavier")):
        runs[f"{init}-{seed}"] = trajlab.example(seed=seed)
        runs[f"{init}-{seed}"].facts["describe"] = {"init": init, "seed": seed}
    return runs


def test_first_and_last__has_a_row_for_each_kind_of_run_and_densities_of_both_steps(study):
    result = trajlab.run("distribution", study).compute()
    first = figure(result, variable="first_and_last")
    axes = [ax for ax in first.figure.axes]
    names = [ax.get_title() for ax in axes if ax.get_title()]
    assert len(axes) == 2 * len(names) and [ax.get_ylabel() for ax in axes if ax.get_ylabel()] == ["he", "xavier"]
    last, outline = first.patches
    edges = result.bin_edges.sel(parameter=names[0]).isel(run=0, missing_dims="ignore").values
    for patch, step in ((outline, 0), (last, -1)):
        counts = result.histogram.sel(parameter=names[0]).isel(run=0, step=step).values
        np.testing.assert_allclose(patch.get_data().values, counts / counts.sum() / np.diff(edges))
    single = figure(result, variable="first_and_last", run="he-1", parameter=names[0])
    assert len(single.figure.axes) == 1
    assert "ends" in [panel.key for panel in panels(result)]
