import numpy as np
import pytest

from trajlab.scan.block import Block
from trajlab.scan.kernels.term_products import AcrossProducts, PairProducts, product_name
from trajlab.scan.track import Track


def columns(kernel, block):
    out, _ = kernel.finish(block, None)
    return {name: values.tolist() for name, values in zip(kernel.columns, out.T, strict=True)}


def test_pair_products__by_hand():
    """Rows (1, 2) and (3, ∞) from the reference (1, 1): the second step has one finite entry."""
    rows = [np.array([1.0, 2.0]), np.array([3.0, np.inf])]
    products = columns(PairProducts(), Block(Track(rows, None, np.ones(2))))
    assert products["squares*squares"] == [1 + 16, 81]
    assert products[product_name("reference_l2", "reference_ww")] == [0 + 4, 4 * 9]
    assert products[product_name("reference_dot", "reference_rr")] == [1 + 2, 3]
    assert products[product_name("reference_changed_ww", "reference_ww")] == [0 + 16, 81]
    np.testing.assert_array_equal(products[product_name("previous_l2", "previous_rr")], [np.nan, 4 * 1])


def test_pair_products__go_on_from_the_row_before(rng):
    rows = list(rng.standard_normal((3, 5)))
    whole = np.array([*columns(PairProducts(), Block(Track(rows, None, rows[0]))).values()])
    later = np.array([*columns(PairProducts(), Block(Track(rows[1:], rows[0], rows[0]))).values()])
    np.testing.assert_array_equal(later, whole[:, 1:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_across_products__agree_with_numpy_where_the_other_run_has_a_row(rng, dtype):
    a, b = rng.standard_normal((2, 3, 6)).astype(dtype)
    a[2, 0] = np.nan
    other = Track([b[0], b[2]], reference=b[0], positions=np.array([0, -1, 1]))
    products = columns(AcrossProducts(), Block(Track(list(a), reference=a[0]), other=other))
    x, y = a[2, 1:].astype(float), b[2, 1:].astype(float)
    u, v = x - a[0, 1:], y - b[0, 1:]
    assert products[product_name("squares", "ab")][2] == pytest.approx(((x - y) ** 2 * x * y).sum())
    assert products[product_name("uu", "uv")][2] == pytest.approx((u**2 * u * v).sum())
    assert all(np.isnan(values[1]) for values in products.values())
    assert products[product_name("uu", "vv")][0] == 0


def test_product_name__does_not_depend_on_the_order():
    assert product_name("a", "b") == product_name("b", "a") and len(set(AcrossProducts.columns)) == 10 + 6
