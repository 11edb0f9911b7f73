import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.stages.learning_curves import learning_curves


def test_smoothed__is_the_exponential_average_of_pandas(rng):
    loss = rng.random(50)
    loss[[3, 4, 20]] = np.nan
    metrics = trajlab.from_arrays({}, metrics={"loss": [None if np.isnan(x) else x for x in loss]}).metrics
    result = learning_curves(metrics, smoothing=0.8).compute()
    kept = ~np.isnan(loss)
    expected = pd.Series(loss[kept]).ewm(alpha=0.2, adjust=True).mean()
    np.testing.assert_allclose(result.smoothed.sel(metric="loss").values[kept], expected, rtol=1e-12)
    assert np.isnan(result.smoothed.sel(metric="loss").values[~kept]).all()
    np.testing.assert_array_equal(result.value.sel(metric="loss"), loss)


def test_a_hand_made_case_with_nan_and_without_smoothing():
    metrics = trajlab.from_arrays({}, metrics={"loss": [2.0, np.nan, 1.0], "lr": [None, 0.1, None]}).metrics
    metrics = metrics.assign_coords(loss_measured=("step", [True, True, True]))
    result = learning_curves(metrics, smoothing=0.5).compute()
    assert result.metric.values.tolist() == ["loss", "lr"]
    assert result.role.values.tolist() == ["training loss", "learning rate"]
    np.testing.assert_array_equal(result.nonfinite.sel(metric="loss"), [0, 1, 0])
    np.testing.assert_allclose(result.smoothed.sel(metric="loss"), [2.0, np.nan, 4 / 3])
    plain = learning_curves(metrics, smoothing=0.0).compute()
    np.testing.assert_array_equal(plain.smoothed, plain.value)


def test_metrics_may_be_lazy_in_any_chunks(rng):
    values = rng.random(30)
    metrics = xr.Dataset({"b_loss": ("step", values), "acc": ("step", values)}, {"step": np.arange(30)})
    lazy = metrics.assign(b_loss=("step", da.from_array(values, chunks=7)))
    xr.testing.assert_identical(learning_curves(lazy).compute(), learning_curves(metrics).compute())


def test_what_it_refuses():
    metrics = xr.Dataset({"loss": ("step", [1.0])}, {"step": [0]})
    with pytest.raises(BadSetting, match="smoothing"):
        learning_curves(metrics, smoothing=1.0)
    with pytest.raises(MissingData, match="none of the metrics confusion"):
        learning_curves(xr.Dataset({"confusion": (("step", "class"), np.ones((2, 3)))}, {"step": [0, 1]}))
