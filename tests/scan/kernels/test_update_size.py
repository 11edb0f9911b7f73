import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.update_size import UPDATES, Updates
from trajlab.scan.track import Track
from trajlab.sizes import TILE_ENTRIES


def table(rows, kernel=Updates(1e-8, 1e-5), previous=None):  # noqa: B008
    ((out, _),) = reduce([kernel], Block(Track(list(rows), previous)))
    return dict(zip(UPDATES, out.T, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dirty", [False, True])
def test_updates__agree_with_numpy(rng, dtype, dirty):
    rows = rng.standard_normal((4, TILE_ENTRIES + 5)).astype(dtype)
    rows[1] = rows[0] * (1 + rng.uniform(0, 3e-5, TILE_ENTRIES + 5))
    rows[3] = rows[2]
    if dirty:
        rows[0, :4], rows[1, 2:6] = np.inf, np.nan
        rows[2:, 7], rows[3, 8], rows[2, 9], rows[2:, 10] = np.inf, -np.inf, np.inf, np.nan
    actual = table(rows)
    for step in (1, 2, 3):
        w, v = rows[step].astype(np.float64), rows[step - 1].astype(np.float64)
        known = np.isfinite(w) & np.isfinite(v)
        assert actual["valid"][step] == known.sum()
        assert actual["change"][step] == pytest.approx(abs(w[known] - v[known]).sum(), rel=1e-12)
        assert actual["size"][step] == pytest.approx(abs(v)[known].sum(), rel=1e-12)
        assert actual["apart"][step] == (~np.isclose(w, v)).sum()
    assert all(np.isnan(column[0]) for column in actual.values())


def test_updates__go_on_from_the_row_before_the_block(rng):
    rows = rng.standard_normal((4, 50))
    whole, part = table(rows), table(rows[2:], previous=rows[1])
    for name in UPDATES:
        np.testing.assert_array_equal(part[name], whole[name][2:])
