from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from trajlab.scan.kernels.term_products import product_name
from trajlab.statistics.result import Sums
from trajlab.statistics.samples import estimated, holds_samples, sampled, term_error, with_products


def table(**columns):
    coords = {"parameter": ["a", "b"], "step": [0, 1]}
    sizes = {"numel": ("parameter", [20, 3]), "sampled": ("parameter", [2, 3])}
    return xr.Dataset({name: (("parameter", "step"), values) for name, values in columns.items()}, coords | sizes)


def test_sampled__are_tensors_with_fewer_entries_than_their_shape():
    whole = xr.DataArray(np.zeros((2, 6)), dims=("step", "sample"), attrs={"shape": (2, 3)})
    part = xr.DataArray(np.zeros((2, 4)), dims=("step", "sample"), attrs={"shape": (2, 3)})
    plain = xr.DataArray(np.zeros((2, 4)), dims=("step", "in"))
    assert list(sampled({"whole": whole, "part": part, "plain": plain})) == ["part"]


def test_estimated__scales_sums_and_leaves_extremes():
    sums = table(total=np.ones((2, 2)), largest=np.ones((2, 2)))
    sums["largest"].attrs["pooling"] = "max"
    scaled = estimated(sums)
    assert scaled.total.values.tolist() == [[10, 10], [1, 1]] and scaled.largest.values.tolist() == [[1, 1], [1, 1]]
    assert scaled.largest.attrs == {"pooling": "max"}
    empty = sums.assign_coords(numel=("parameter", [0, 3]), sampled=("parameter", [0, 3]))
    assert estimated(empty).total.values.tolist() == [[1, 1], [1, 1]]


def test_with_products__of_whole_parameters_are_0():
    products = xr.Dataset(
        {"x_x": (("parameter", "step"), [[4.0]])}, {"parameter": ["a"], "step": [1]}
    )  # the first step has no move
    both = with_products(table(x=np.ones((2, 2))), products)
    np.testing.assert_array_equal(both.x_x, [[np.nan, 4], [np.nan, 0]])
    assert with_products(both, None) is both


def test_holds_samples():
    assert holds_samples(table()) and not holds_samples(table().isel(parameter=[1]))


def test_term_error__is_the_spread_over_all_samples_that_could_be_drawn(rng):
    """Of the total of 2x − 3y, its mean square over all samples of 3 of 6 entries, exactly."""
    x, y = rng.standard_normal((2, 6))
    truth, misses, variances = (2 * x - 3 * y).sum(), [], []
    for chosen in combinations(range(6), 3):
        terms = {"x": x[list(chosen)], "y": y[list(chosen)]}
        columns = {name: values.sum() for name, values in terms.items()}
        columns |= {product_name(a, b): (terms[a] * terms[b]).sum() for a in "xy" for b in "xy"}
        sums = Sums(**{name: xr.Variable((), value) for name, value in columns.items()}, numel=xr.Variable((), 6.0),
                    sampled=xr.Variable((), 3.0))  # fmt: skip
        variances.append(float(term_error({"x": 2.0, "y": -3.0}, sums, total=False)) ** 2)
        misses.append(2 * (2 * columns["x"] - 3 * columns["y"]) - truth)
    assert np.mean(misses) == pytest.approx(0, abs=1e-12)
    assert np.mean(variances) == pytest.approx(np.mean(np.square(misses)))
