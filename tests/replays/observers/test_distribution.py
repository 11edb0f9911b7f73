import numpy as np
import pytest

from tests.replays.observers.folding import folded, layer
from trajlab.errors import BadSetting
from trajlab.replays.observers.distribution import COLUMNS, ValueDistribution
from trajlab.scan.kernels.distribution import EXACT


def columns(values, of=None, batch=2, **options):
    results, _ = folded(ValueDistribution(**options), [of or layer()], [values], batch=batch)
    return dict(zip(COLUMNS, results["table"][0], strict=True)), results["values"][0]


def test_value_distribution__of_few_values_is_sorted(rng):
    values = rng.standard_normal((5, 3)).astype(np.float32)
    values[1, 0], values[2, 2] = np.nan, 0
    table, kept = columns(values)
    finite = values[np.isfinite(values)].astype(float)
    np.testing.assert_array_equal(kept, np.sort(values.ravel()))
    assert (table["count"], table["nonfinite"], table["zeros"]) == (14, 1, 1)
    np.testing.assert_allclose([table["mean"], table["m2"]], [finite.mean(), ((finite - finite.mean()) ** 2).sum()])
    means = np.nanmean(values.astype(float), axis=0)
    assert table["variance_along"] == pytest.approx(means.var())


@pytest.mark.parametrize(("along", "axes"), [("sample", (1, 2)), ("unit", (0, 2)), ("x", (0, 1))])
@pytest.mark.parametrize("batch", [1, 3])
def test_value_distribution__variance_is_of_the_means_along_a_dim(rng, along, axes, batch):
    values = rng.standard_normal((5, 3, 4)).astype(np.float32)
    table, _ = columns(values, layer(shape=(3, 4), dims=("unit", "x")), batch, along=along)
    assert table["variance_along"] == pytest.approx(values.astype(float).mean(axes).var())


def test_value_distribution__of_many_values_is_counted_in_bins(rng):
    values = rng.standard_normal((4, EXACT)).astype(np.float32)
    table, (low, high, upto) = columns(values, layer(shape=(EXACT,)))
    assert upto[-1] == table["count"] == values.size and (low <= high).all() and (high[:-1] <= low[1:]).all()
    assert low[0] <= values.min() and values.max() <= high[-1]


def test_value_distribution__units_that_are_unknown_have_no_variance(rng):
    values = rng.random((5, 3))
    assert np.isnan(columns(values, layer(unknown_units="tokens"))[0]["variance_along"])
    assert np.isnan(columns(np.full((2, 3), np.nan))[0]["variance_along"])
    integers, kept = columns(np.arange(6).reshape(2, 3), layer(dtype=np.int64))
    assert integers["mean"] == 2.5 and kept.dtype == np.float64


def test_value_distribution__says_which_dims_there_are():
    with pytest.raises(BadSetting, match="'z'.*sample, unit, x"):
        ValueDistribution(along="z").outputs([layer(shape=(3, 4), dims=("unit", "x"))], 5)
