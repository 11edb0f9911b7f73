import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.gradient_angles import SUCCESSIVE, Successive
from trajlab.scan.track import Track
from trajlab.sizes import TILE_ENTRIES


def table(rows, previous=None, **block):
    ((out, _),) = reduce([Successive()], Block(Track(list(rows), previous), **block))
    return dict(zip(SUCCESSIVE, out.T, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [None, np.nan, np.inf])
def test_successive__agrees_with_numpy(rng, dtype, bad):
    rows = rng.standard_normal((3, TILE_ENTRIES + 5)).astype(dtype)
    if bad is not None:
        rows[1, 7], rows[2, TILE_ENTRIES + 1] = bad, bad
    actual = table(rows)
    for step in (1, 2):
        q, g = rows[step - 1].astype(np.float64), rows[step].astype(np.float64)
        known = np.isfinite(q) & np.isfinite(g)
        q, g = q[known], g[known]
        assert actual["valid"][step] == known.sum()
        for name in SUCCESSIVE[1:]:
            product = np.prod([{"q": q, "g": g}[letter] for letter in name], axis=0)
            assert actual[name][step] == pytest.approx(product.sum(), rel=1e-12, abs=1e-9), name
    assert all(np.isnan(column[0]) for column in actual.values())


def test_successive__goes_on_from_the_row_before_the_block(rng):
    rows = rng.standard_normal((4, 50))
    whole, part = table(rows), table(rows[2:], previous=rows[1])
    for name in SUCCESSIVE:
        np.testing.assert_array_equal(part[name], whole[name][2:])
