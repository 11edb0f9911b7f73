import ml_dtypes
import numpy as np
import pytest
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.statistics.units import (
    UnitLayer,
    at_steps,
    changed_table,
    layers_of,
    nonzero_table,
    on_one_probe,
    shape_of,
    side_by_side,
)


def activation(units=3, **attrs):
    return xr.DataArray(np.zeros((2, 4, units)), {"step": [0, 5]}, ("step", "sample", "unit"), attrs=attrs)


def parameter(values, **attrs):
    values = np.asarray(values)
    dims = ("step", "out", "in")[: values.ndim]
    return xr.DataArray(values, {"step": 5 * np.arange(len(values))}, dims, attrs=attrs)


def test_layers_of__activations_name_what_feeds_them():
    layers = layers_of({"relu": activation(source="fc"), "out": activation(2, activation=False)}, {"w": None})
    assert layers[0] == UnitLayer("relu", "fc", 3, "fc.weight", "fc.bias")
    assert layers[1] == UnitLayer("out", "", 2, "", "", rectify=True)
    tanh = activation(activation=False, nonlinearity="tanh", can_die=None, dead_at="|h| = 1", unknown_units="tokens")
    assert layers_of({"tanh": tanh}, {})[0] == UnitLayer(
        "tanh", "", 3, "", "", rectify=False, can_die=None, dead_at="|h| = 1", has_units=False
    )


def test_layers_of__without_activations_those_of_weights():
    tensors = {
        "fc.weight": parameter(np.zeros((2, 3, 4))),
        "fc.bias": parameter(np.zeros((2, 3))),
        "lstm.weight_ih_l0": parameter(np.zeros((2, 8, 4))),
        "weight": parameter(np.zeros((2, 5, 4))),
        "wte.weight": parameter(np.zeros((2, 9, 4)), kind="embedding"),
        "empty.weight": parameter(np.zeros((2, 0, 4))),
        "sampled.weight": parameter(np.zeros((2, 6)), shape=(7, 2)),
    }
    layers = layers_of({}, tensors)
    assert [(layer.name, layer.source, layer.units, layer.weight, layer.bias) for layer in layers] == [
        ("fc", "fc", 3, "fc.weight", "fc.bias"),
        ("lstm.weight_ih_l0", "lstm", 8, "lstm.weight_ih_l0", "lstm.bias_ih_l0"),
        ("weight", "", 5, "weight", "bias"),
        ("sampled", "sampled", 7, "sampled.weight", "sampled.bias"),
    ]
    assert shape_of(tensors["sampled.weight"]) == (7, 2) and shape_of(tensors["fc.weight"]) == (3, 4)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float64])
def test_tables__mark_units_by_their_incoming_weights(dtype):
    rows = np.array([[[0, 0], [1, 0], [0, 0]], [[0, -2], [1, 0], [0, 0]], [[0, -2], [1, np.nan], [0, 0]]], dtype)
    tensor = parameter(
        rows if dtype != ml_dtypes.bfloat16 else rows.astype(np.float32), stored_dtype=np.dtype(dtype).name
    )
    nonzero, changed = nonzero_table(tensor).compute(), changed_table(tensor).compute()
    assert nonzero.values.tolist() == [[0, 1, 0], [1, 1, 0], [1, 1, 0]]
    np.testing.assert_array_equal(changed, [[np.nan] * 3, [1, 0, 0], [0, 1, 0]])
    assert nonzero.step.values.tolist() == [0, 5, 10] and set(nonzero.coords) == {"step"}


def test_tables__of_a_sample_know_the_units_of_its_entries_only():
    """Entries 1 and 4 of 3 units with 2 weights each: of units 0 and 2."""
    tensor = xr.DataArray(
        [[0.0, 7.0]], {"step": [0], "index": ("sample", [1, 4])}, ("step", "sample"), attrs={"shape": (3, 2)}
    )
    nonzero = nonzero_table(tensor).compute()
    assert nonzero.values[0, 2] == 1 and nonzero.values[0, 0] != 1 and nonzero.values[0, 1] != 1


def test_at_steps__are_unknown_where_a_table_has_none():
    table = xr.DataArray([[1.0, 2], [3, 4]], {"step": [0, 10]}, ("step", "unit"))
    np.testing.assert_array_equal(
        at_steps(table, np.array([0, 5, 10, 20])), [[1, 2], [np.nan] * 2, [3, 4], [np.nan] * 2]
    )
    assert np.isnan(at_steps(table, np.array([3]))).all()


def test_side_by_side__pads_narrow_layers_and_missing_tables():
    layers = [UnitLayer(name, "", units, "", "") for name, units in (("a", 1), ("b", 3), ("c", 2))]
    out = side_by_side([np.ones((2, 1, 4)), None, np.full((2, 2, 4), 5.0)], layers, 2)
    assert out.shape == (2, 3, 3, 4)
    np.testing.assert_array_equal(out[0, :, :, 0], [[1, np.nan, np.nan], [np.nan] * 3, [5, 5, np.nan]])


def test_on_one_probe__names_the_probe_and_what_was_not_observed():
    arrays = [activation(probe_sha256="ab", unobserved="lstm is no ReLU"), activation(unobserved="lstm is no ReLU"),
              activation(probe_sha256="ab", unobserved="gru is none")]  # fmt: skip
    assert on_one_probe(arrays) == {"probe_sha256": "ab", "unobserved": "lstm is no ReLU; gru is none"}
    assert on_one_probe([activation()]) == on_one_probe([]) == {}
    with pytest.raises(BadSetting, match="different probes .*aaaa, bbbb"):
        on_one_probe([activation(probe_sha256="bbbb"), activation(probe_sha256="aaaa")])
