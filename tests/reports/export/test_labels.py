import numpy as np
import xarray as xr

from trajlab.reports.export.labels import labels_of


def test_labels_of__name_each_value_in_the_order_of_the_array():
    coords = {"run": ["a", "b"], "seed": ("run", [7, 8]), "step": [0, 10, 20], "both": (("run", "step"), np.eye(2, 3))}
    array = xr.DataArray(np.arange(6.0).reshape(2, 3), coords, ("run", "step"))
    labels = {name: values.tolist() for name, values in labels_of(array).items()}
    assert labels == {
        "run": ["a", "a", "a", "b", "b", "b"],
        "seed": [7, 7, 7, 8, 8, 8],
        "step": [0, 10, 20, 0, 10, 20],
    }


def test_labels_of__a_dim_without_labels_is_counted_and_a_scalar_has_none():
    assert labels_of(xr.DataArray([5.0, 6.0], dims="bin"))["bin"].tolist() == [0, 1]
    assert labels_of(xr.DataArray(1.0, {"step": 3})) == {}
